#include "model/mixers/kv_cache.h"

#include <algorithm>

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

int64_t CausalPairs(int64_t seq, int64_t most) {
  const int64_t w = std::min(most, seq);
  return w * (w + 1) / 2 + (seq - w) * w;
}

absl::Status AppendTokens(Context& ctx, const Tensor& x, const MixerCall& call,
                          Tensor* cache) {
  // The operator takes keys and values: the same tokens twice, to one place.
  return kernels::CacheAppend(ctx, {x, x, call.lengths}, cache, cache);
}

Var RingAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                  float scale, int64_t window, const MixerCall& call,
                  Tensor* k_cache, Tensor* v_cache) {
  if (!tape.ok()) return Var();
  Context& ctx = tape.ctx();
  const int64_t seq = q.dim(1), capacity = k_cache->dim(1);
  const int64_t position = call.position.host;
  auto run = [&]() -> absl::StatusOr<Tensor> {
    Tensor o;
    if (seq != 1) {
      // History first: appending may overwrite the oldest slots of the ring.
      const int64_t history = std::min(position, capacity);
      Tensor all_k = k.value(), all_v = v.value();
      if (history > 0) {
        LT2_ASSIGN_OR_RETURN(
            all_k, WithHistory(ctx, *k_cache, position, history, k.value()));
        LT2_ASSIGN_OR_RETURN(
            all_v, WithHistory(ctx, *v_cache, position, history, v.value()));
      }
      kernels::AttentionResults r;
      LT2_RETURN_IF_ERROR(kernels::Attention(
          ctx, {q.value(), all_k, all_v, scale, window}, &r));
      o = r.o;
    }
    if (call.append) {
      const int64_t kept = std::min(seq, capacity);
      Tensor slots = call.lengths;
      if (kept < seq) {
        LT2_ASSIGN_OR_RETURN(slots, ctx.Empty(DType::kI32, slots.shape()));
        LT2_RETURN_IF_ERROR(ctx.Copy(call.lengths, &slots));
        LT2_RETURN_IF_ERROR(kernels::AdvanceLengths(ctx, seq - kept, &slots));
      }
      LT2_ASSIGN_OR_RETURN(Tensor new_k,
                           Tokens(ctx, k.value(), seq - kept, seq));
      LT2_ASSIGN_OR_RETURN(Tensor new_v,
                           Tokens(ctx, v.value(), seq - kept, seq));
      LT2_RETURN_IF_ERROR(
          kernels::CacheAppend(ctx, {new_k, new_v, slots}, k_cache, v_cache));
    }
    if (seq == 1) {
      LT2_RETURN_IF_ERROR(kernels::AttentionDecode(
          ctx, {q.value(), *k_cache, *v_cache, call.next_lengths, scale}, &o));
    }
    return o;
  };
  absl::StatusOr<Tensor> o = run();
  if (!o.ok()) return tape.Fail(o.status());
  return tape.Constant(*o);
}

}  // namespace lt2::model
