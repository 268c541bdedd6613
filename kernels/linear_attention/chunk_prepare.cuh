// The two ends of the chunk engine that know about decay: from q, k and g to
// the operands of a chunk, and from the operands' gradients back to those of q,
// k and g. One pair for a decay per token (or none), one for a decay per
// channel.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_PREPARE_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_PREPARE_CUH_

#include "kernels/linear_attention/chunk_engine.cuh"

namespace lt2::kernels::chunked {

struct PrepareInputs {
  const bf16 *q, *k;  // [batch, seq, heads, d_k]
  const float* g;     // null, [v_heads], [batch, seq, v_heads] or [.., d_k]
  bool per_head;      // g is [v_heads]
  float scale;
};

template <typename Args>
PrepareInputs MakePrepareInputs(const Args& args) {
  return {cuda::Data<BFloat16>(args.q), cuda::Data<BFloat16>(args.k),
          cuda::Data<float>(args.g), DecayOf(args.g) == Decay::kHead,
          args.scale};
}

// Fills qe, kd, p and end; g is anything but per channel.
absl::Status PrepareScalar(Context& ctx, const Layout& layout,
                           const PrepareInputs& inputs,
                           const Operands& operands);

// The same for g per channel. Unless undefined, also what the delta rule makes
// its U and W from: ke bf16 [n, 64, d_k] = e^G K, and the strictly lower
// elements of kk f32 [n, 64, 64], kk_ij = sum_c k_ic k_jc e^{G_ic - G_jc}.
absl::Status PrepareChannel(Context& ctx, const Layout& layout,
                            const PrepareInputs& inputs,
                            const Operands& operands, const Tensor& ke,
                            const Tensor& kk);

// Where the gradients of q, k and g go.
struct InputGradients {
  Tensor dq, dk;  // bf16 [batch, seq, heads, d_k]
  Tensor dg;      // like g; undefined: not wanted
};

// Sums over the value heads of a query head where there are several: in order,
// in f32, through [batch, seq, v_heads, d_k] partial results.
absl::Status ScalarGradient(Context& ctx, const Layout& layout,
                            const PrepareInputs& inputs,
                            const OperandGradients& gradients,
                            const InputGradients& results);

// For g per channel. The delta rule gives beta and kk of PrepareChannel, and
// gets dbeta [batch, seq, v_heads].
struct DeltaGradient {
  const float* beta = nullptr;
  const float* kk = nullptr;
  float* dbeta = nullptr;
};
absl::Status ChannelGradient(Context& ctx, const Layout& layout,
                             const PrepareInputs& inputs,
                             const OperandGradients& gradients,
                             const DeltaGradient& delta,
                             const InputGradients& results);

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_PREPARE_CUH_
