// The device forms behind linear_attention.h. Arguments are checked and results
// prepared; seq >= 1 and no other extent is 0.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_INTERNAL_H_
#define LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_INTERNAL_H_

#include "kernels/linear_attention/linear_attention.h"

namespace lt2::kernels {

// The shapes that g may have; its rank tells them apart.
enum class Decay {
  kNone,     // undefined
  kHead,     // [v_heads]
  kToken,    // [batch, seq, v_heads]
  kChannel,  // [batch, seq, v_heads, d_k]
};

inline Decay DecayOf(const Tensor& g) {
  if (!g.defined()) return Decay::kNone;
  if (g.rank() == 1) return Decay::kHead;
  return g.rank() == 3 ? Decay::kToken : Decay::kChannel;
}

// Extents that LinearAttentionArgs and DeltaRuleArgs have in common.
struct RecurrenceSizes {
  template <typename Args>
  explicit RecurrenceSizes(const Args& args)
      : batch(args.q.dim(0)),
        seq(args.q.dim(1)),
        heads(args.q.dim(2)),
        v_heads(args.v.dim(2)),
        d_k(args.q.dim(3)),
        d_v(args.v.dim(3)) {}

  int64_t group() const { return v_heads / heads; }
  Shape state() const { return {batch, v_heads, d_k, d_v}; }
  Shape gate() const { return {batch, seq, v_heads}; }
  Shape channel_gate() const { return {batch, seq, v_heads, d_k}; }

  int64_t batch, seq, heads, v_heads, d_k, d_v;
};

absl::Status LinearAttentionCpu(Context& ctx, const LinearAttentionArgs& args,
                                LinearAttentionResults* results);
absl::Status LinearAttentionGradCpu(Context& ctx,
                                    const LinearAttentionGradArgs& args,
                                    LinearAttentionGradResults* results);
absl::Status LinearAttentionStepCpu(Context& ctx,
                                    const LinearAttentionArgs& args,
                                    LinearAttentionResults* results);

absl::Status LinearAttentionCuda(Context& ctx, const LinearAttentionArgs& args,
                                 LinearAttentionResults* results);
absl::Status LinearAttentionGradCuda(Context& ctx,
                                     const LinearAttentionGradArgs& args,
                                     LinearAttentionGradResults* results);
absl::Status LinearAttentionStepCuda(Context& ctx,
                                     const LinearAttentionArgs& args,
                                     LinearAttentionResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_INTERNAL_H_
