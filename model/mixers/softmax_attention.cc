#include "model/mixers/softmax_attention.h"

#include <algorithm>
#include <cmath>

#include "model/mixers/kv_cache.h"

namespace lt2::model {
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
  call.Observe("q", q);
  call.Observe("k", k);
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim_));
  MixerState* state = call.state;
  Var o = state == nullptr
              ? Attention(tape, q, k, v, scale, call.window)
              : RingAttention(tape, q, k, v, scale, call.window, call,
                              &state->k_cache, &state->v_cache);
  o = Reshape(tape, o, {batch, seq, heads_ * head_dim_});
  if (use_gate_) o = SigmoidGate(tape, o, Linear(tape, x, wg_));
  return Linear(tape, o, wo_);
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
  // Each pair in the mask costs q.k and p v.
  return 2 * ParameterCount() * seq +
         4 * heads_ * head_dim_ * CausalPairs(seq, window > 0 ? window : seq);
}

int64_t SoftmaxAttention::StateBytes(int64_t tokens, int64_t window,
                                     DType activation) const {
  const int64_t kept = window > 0 ? std::min(tokens, window) : tokens;
  return 2 * kept * kv_heads_ * head_dim_ *
         static_cast<int64_t>(ByteSize(activation));
}

}  // namespace lt2::model
