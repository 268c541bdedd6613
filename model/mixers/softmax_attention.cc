#include "model/mixers/softmax_attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention.h"

namespace lt2::model {
namespace {

// Tokens [begin, end) of x [batch, seq, heads, dim], contiguous.
absl::StatusOr<Tensor> Tokens(Context& ctx, const Tensor& x, int64_t begin,
                              int64_t end) {
  if (begin == 0 && end == x.dim(1)) return x;
  const int64_t seq = x.dim(1);
  const Tensor rows = x.Reshape({x.dim(0) * seq, x.dim(2), x.dim(3)});
  LT2_ASSIGN_OR_RETURN(Tensor y, ctx.Empty(x.dtype(), {x.dim(0) * (end - begin),
                                                       x.dim(2), x.dim(3)}));
  for (int64_t b = 0; b < x.dim(0); ++b) {
    Tensor to = y.Slice(b * (end - begin), (b + 1) * (end - begin));
    LT2_RETURN_IF_ERROR(
        ctx.Copy(rows.Slice(b * seq + begin, b * seq + end), &to));
  }
  return y.Reshape({x.dim(0), end - begin, x.dim(2), x.dim(3)});
}

// The last `history` tokens of a ring buffer that has seen `position` tokens,
// oldest first, followed by the tokens of x.
absl::StatusOr<Tensor> WithHistory(Context& ctx, const Tensor& cache,
                                   int64_t position, int64_t history,
                                   const Tensor& x) {
  const int64_t batch = x.dim(0), seq = x.dim(1), capacity = cache.dim(1);
  const int64_t total = history + seq;
  LT2_ASSIGN_OR_RETURN(
      Tensor y, ctx.Empty(x.dtype(), {batch * total, x.dim(2), x.dim(3)}));
  const Tensor slots = cache.Reshape({batch * capacity, x.dim(2), x.dim(3)});
  const Tensor tokens = x.Reshape({batch * seq, x.dim(2), x.dim(3)});
  const int64_t oldest = (position - history) % capacity;
  const int64_t before_wrap = std::min(history, capacity - oldest);
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t to = b * total, from = b * capacity;
    Tensor head = y.Slice(to, to + before_wrap);
    LT2_RETURN_IF_ERROR(ctx.Copy(
        slots.Slice(from + oldest, from + oldest + before_wrap), &head));
    Tensor wrapped = y.Slice(to + before_wrap, to + history);
    LT2_RETURN_IF_ERROR(
        ctx.Copy(slots.Slice(from, from + history - before_wrap), &wrapped));
    Tensor tail = y.Slice(to + history, to + total);
    LT2_RETURN_IF_ERROR(ctx.Copy(tokens.Slice(b * seq, (b + 1) * seq), &tail));
  }
  return y.Reshape({batch, total, x.dim(2), x.dim(3)});
}

}  // namespace

SoftmaxAttention::SoftmaxAttention(const ModelConfig& config)
    : dim_(config.dim),
      heads_(config.n_heads),
      kv_heads_(config.n_kv_heads),
      head_dim_(config.head_dim()),
      use_gate_(config.use_attn_gate),
      use_rope_(config.use_rope),
      theta_(static_cast<float>(config.rope_theta)),
      layout_(config.rope_layout) {
  wq_.DeclareProjection("wq.weight", heads_ * head_dim_, dim_, dim_);
  wk_.DeclareProjection("wk.weight", kv_heads_ * head_dim_, dim_, dim_);
  wv_.DeclareProjection("wv.weight", kv_heads_ * head_dim_, dim_, dim_);
  wo_.DeclareProjection("wo.weight", dim_, heads_ * head_dim_, dim_);
  if (use_gate_) {
    wg_.Declare("wg.weight", {heads_ * head_dim_, dim_}, Init::kZeros, 0,
                /*takes_decay=*/true);
  }
}

std::vector<Parameter*> SoftmaxAttention::parameters() {
  std::vector<Parameter*> all = {&wq_, &wk_, &wv_, &wo_};
  if (use_gate_) all.push_back(&wg_);
  return all;
}

Var SoftmaxAttention::Forward(Tape& tape, const Var& x, const MixerCall& call) {
  if (!tape.ok()) return Var();
  const int64_t batch = x.dim(0), seq = x.dim(1);
  auto project = [&](const Parameter& w, int64_t heads) {
    return Reshape(tape, Linear(tape, x, w), {batch, seq, heads, head_dim_});
  };
  Var q = project(wq_, heads_);
  Var k = project(wk_, kv_heads_);
  const Var v = project(wv_, kv_heads_);
  if (use_rope_) {
    q = Rope(tape, q, theta_, layout_, call.position);
    k = Rope(tape, k, theta_, layout_, call.position);
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  Var o = call.state == nullptr ? Attention(tape, q, k, v, scale, call.window)
                                : Continue(tape, q, k, v, call);
  o = Reshape(tape, o, {batch, seq, heads_ * head_dim_});
  if (use_gate_) o = SigmoidGate(tape, o, Linear(tape, x, wg_));
  return Linear(tape, o, wo_);
}

Var SoftmaxAttention::Continue(Tape& tape, const Var& q, const Var& k,
                               const Var& v, const MixerCall& call) const {
  if (!tape.ok()) return Var();
  Context& ctx = tape.ctx();
  MixerState& state = *call.state;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  const int64_t seq = q.dim(1), capacity = state.k_cache.dim(1);
  const int64_t position = call.position.host;
  auto run = [&]() -> absl::StatusOr<Tensor> {
    Tensor o;
    if (seq != 1) {
      // History first: appending may overwrite the oldest slots of the ring.
      const int64_t history = std::min(position, capacity);
      Tensor all_k = k.value(), all_v = v.value();
      if (history > 0) {
        LT2_ASSIGN_OR_RETURN(all_k, WithHistory(ctx, state.k_cache, position,
                                                history, k.value()));
        LT2_ASSIGN_OR_RETURN(all_v, WithHistory(ctx, state.v_cache, position,
                                                history, v.value()));
      }
      kernels::AttentionResults r;
      LT2_RETURN_IF_ERROR(kernels::Attention(
          ctx, {q.value(), all_k, all_v, scale, call.window}, &r));
      o = r.o;
    }
    const int64_t kept = std::min(seq, capacity);
    Tensor slots = call.lengths;
    if (kept < seq) {
      LT2_ASSIGN_OR_RETURN(slots, ctx.Empty(DType::kI32, slots.shape()));
      LT2_RETURN_IF_ERROR(ctx.Copy(call.lengths, &slots));
      LT2_RETURN_IF_ERROR(kernels::AdvanceLengths(ctx, seq - kept, &slots));
    }
    LT2_ASSIGN_OR_RETURN(Tensor new_k, Tokens(ctx, k.value(), seq - kept, seq));
    LT2_ASSIGN_OR_RETURN(Tensor new_v, Tokens(ctx, v.value(), seq - kept, seq));
    LT2_RETURN_IF_ERROR(kernels::CacheAppend(ctx, {new_k, new_v, slots},
                                             &state.k_cache, &state.v_cache));
    if (seq == 1) {
      LT2_RETURN_IF_ERROR(kernels::AttentionDecode(
          ctx,
          {q.value(), state.k_cache, state.v_cache, call.next_lengths, scale},
          &o));
    }
    return o;
  };
  absl::StatusOr<Tensor> o = run();
  if (!o.ok()) return tape.Fail(o.status());
  return tape.Constant(*o);
}

absl::Status SoftmaxAttention::InitState(Context& ctx, int64_t batch,
                                         int64_t capacity, int64_t window,
                                         DType activation,
                                         MixerState* state) const {
  if (window > 0) capacity = std::min(capacity, window);
  const Shape shape({batch, capacity, kv_heads_, head_dim_});
  LT2_ASSIGN_OR_RETURN(state->k_cache, ctx.Zeros(activation, shape));
  LT2_ASSIGN_OR_RETURN(state->v_cache, ctx.Zeros(activation, shape));
  return absl::OkStatus();
}

int64_t SoftmaxAttention::ParameterCount() const {
  const int64_t query = heads_ * head_dim_ * dim_;
  return (use_gate_ ? 3 : 2) * query + 2 * kv_heads_ * head_dim_ * dim_;
}

int64_t SoftmaxAttention::Flops(int64_t seq, int64_t window) const {
  // Pairs (query, key) in the mask; each costs q.k and p v.
  const int64_t w = window > 0 ? std::min(window, seq) : seq;
  const int64_t pairs = w * (w + 1) / 2 + (seq - w) * w;
  return 2 * ParameterCount() * seq + 4 * heads_ * head_dim_ * pairs;
}

int64_t SoftmaxAttention::StateBytes(int64_t tokens, int64_t window,
                                     DType activation) const {
  const int64_t kept = window > 0 ? std::min(tokens, window) : tokens;
  return 2 * kept * kv_heads_ * head_dim_ *
         static_cast<int64_t>(ByteSize(activation));
}

}  // namespace lt2::model
