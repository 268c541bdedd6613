// Short convolution: causal depthwise convolution over time, then SiLU.
//
//   pre[b,t,c] = sum_{j<K} w[c,j] x[b, t-K+1+j, c]  (+ bias[c])
//   y[b,t,c]   = silu(pre) or pre
//
// so w[c,K-1] multiplies the present input. Inputs before t = 0 are the K-1
// rows of initial_state (its last row is x[-1]), or zeros without one. The
// last K-1 inputs come back as final_state, so that a sequence may be cut
// anywhere: feeding final_state of one segment as initial_state of the next
// gives the bits of the whole. Segments may be shorter than K-1.
//
// Decoding in place: final_state may be the same tensor as initial_state.
//
// LT2's Gated DeltaNet, DeltaNet and KDA layers use K = 4 on q, k and v;
// Mamba-2 has a bias.
//
// Types: x, states, y are f32, or on CUDA all bf16; weight, bias and their
// gradients f32.
// Cost for n = B*S*C: forward 2n values, (2K+4)n FLOPs; gradient 3n values and
// about (6K+10)n FLOPs (pre is recomputed, not stored).
//
// Not supported: dilation, K > 8; the gradient with respect to
// initial_state (training sequences start at zero).

#ifndef LT2_KERNELS_CONV_SHORT_CONV_H_
#define LT2_KERNELS_CONV_SHORT_CONV_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

inline constexpr int64_t kShortConvMaxWidth = 8;

struct ShortConvArgs {
  Tensor x;              // act [B, S, C]
  Tensor weight;         // f32 [C, K]
  Tensor initial_state;  // optional, like x [B, K-1, C]
  bool silu = true;
  Tensor bias;  // optional f32 [C]
};
struct ShortConvResults {
  Tensor y;            // like x
  Tensor final_state;  // like x [B, K-1, C]
};
absl::Status ShortConvSupports(const ShortConvArgs& args);
absl::Status ShortConv(Context& ctx, const ShortConvArgs& args,
                       ShortConvResults* results);

struct ShortConvGradArgs {
  Tensor x;              // act [B, S, C]
  Tensor weight;         // f32 [C, K]
  Tensor initial_state;  // optional, like x [B, K-1, C]
  Tensor dy;             // like x
  bool silu = true;
  Tensor bias;  // optional f32 [C]
};
struct ShortConvGradResults {
  Tensor dx;       // like x
  Tensor dweight;  // f32 [C, K]
  Tensor dbias;    // f32 [C], if there is a bias
};
absl::Status ShortConvGradSupports(const ShortConvGradArgs& args);
absl::Status ShortConvGrad(Context& ctx, const ShortConvGradArgs& args,
                           ShortConvGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CONV_SHORT_CONV_H_
