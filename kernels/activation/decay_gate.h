// The log decay of Gated DeltaNet (Yang et al., arXiv 2412.06464; Mamba-2's
// parameterisation):
//
//   g[..,c] = -exp(a_log[h]) softplus(a[..,c] + dt_bias[c])      <= 0
//
// and the state is multiplied by e^g at each step. Channel c belongs to head
// h = c / (channels / heads): one channel per head is GDN and Mamba-2, where
// softplus(..) is the step size dt and g = -exp(a_log) dt; d_k channels per
// head are Kimi Delta Attention (a, g [B, S, H d_k], or [.., H, d_k] reshaped).
//
// softplus(z) = log(1 + e^z) is evaluated as max(z, 0) + log1p(e^-|z|): exact
// for any |z|.
//
// Gradients, with z = a + dt_bias[c]:
//   da         = -dg exp(a_log[h]) sg(z)
//   ddt_bias   = sum over rows of da
//   da_log     = sum over rows, and channels of the head, of dg g
//
// a and da are f32, or on CUDA bf16; everything else is f32. Parameter
// gradients are overwritten, and have the same bits in every run.
// Cost per element: 4 to 12 bytes, about 30 FLOPs; tiny beside the layer.

#ifndef LT2_KERNELS_ACTIVATION_DECAY_GATE_H_
#define LT2_KERNELS_ACTIVATION_DECAY_GATE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct DecayGateArgs {
  Tensor a;        // act [.., channels]
  Tensor a_log;    // f32 [heads], heads divides channels
  Tensor dt_bias;  // f32 [channels]
};
absl::Status DecayGateSupports(const DecayGateArgs& args);
absl::Status DecayGate(Context& ctx, const DecayGateArgs& args,
                       Tensor* g /* f32, shape of a */);

struct DecayGateGradArgs {
  Tensor a;        // act [.., channels]
  Tensor a_log;    // f32 [heads], heads divides channels
  Tensor dt_bias;  // f32 [channels]
  Tensor dg;       // f32, shape of a
};
struct DecayGateGradResults {
  Tensor da;        // like a
  Tensor da_log;    // f32 [heads]
  Tensor ddt_bias;  // f32 [channels]
};
absl::Status DecayGateGradSupports(const DecayGateGradArgs& args);
absl::Status DecayGateGrad(Context& ctx, const DecayGateGradArgs& args,
                           DecayGateGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_DECAY_GATE_H_
