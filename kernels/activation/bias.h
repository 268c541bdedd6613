// Operators that add a learned bias per channel, bias[c], first.
//
//   AddBias   y = x + bias[c]                        of a linear layer
//   Softplus  y = scale softplus(slope z),           z = x + bias[c]; f32
//
// Softplus covers the step size of Mamba-2 and every log-sigmoid decay, as
// logsigmoid(z) = -softplus(-z):
//   Mamba-2  dt = softplus(z)              slope  1, scale  1
//   GLA      g  = logsigmoid(z) / 16       slope -1, scale -1/16
//   HGRN2    g  = logsigmoid(x)            slope -1, scale -1, no bias
// LogSigmoidArgs makes the arguments of the last two. It is evaluated as
// max(z, 0) + log1p(e^-|z|): exact for any |z|.
//
// Gradients, with sg(z) = 1/(1 + e^-z):
//   AddBias   dx = dy (nothing to compute)         dbias = sum over rows of dy
//   Softplus  dx = dy scale slope sg(slope z)      dbias = sum over rows of dx
//
// x and dx are f32, or on CUDA bf16; bias, dbias and Softplus's y are f32. Any
// rank >= 1. Parameter gradients are overwritten, and have the same bits in
// every run. Cost per element: 4 to 12 bytes, 1 to 30 FLOPs.

#ifndef LT2_KERNELS_ACTIVATION_BIAS_H_
#define LT2_KERNELS_ACTIVATION_BIAS_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct AddBiasArgs {
  Tensor x;     // act [.., dim]
  Tensor bias;  // f32 [dim]
};
absl::Status AddBiasSupports(const AddBiasArgs& args);
// y may be the same tensor as x.
absl::Status AddBias(Context& ctx, const AddBiasArgs& args,
                     Tensor* y /* like x */);

struct AddBiasGradArgs {
  Tensor dy;  // act [.., dim]
};
absl::Status AddBiasGradSupports(const AddBiasGradArgs& args);
absl::Status AddBiasGrad(Context& ctx, const AddBiasGradArgs& args,
                         Tensor* dbias /* f32 [dim] */);

struct SoftplusArgs {
  Tensor x;     // act [.., dim]
  Tensor bias;  // optional f32 [dim]
  float slope = 1;
  float scale = 1;
};
absl::Status SoftplusSupports(const SoftplusArgs& args);
absl::Status Softplus(Context& ctx, const SoftplusArgs& args,
                      Tensor* y /* f32, shape of x */);

struct SoftplusGradArgs {
  SoftplusArgs forward;
  Tensor dy;  // f32, shape of x
};
struct SoftplusGradResults {
  Tensor dx;     // like x
  Tensor dbias;  // f32 [dim], if there is a bias
};
absl::Status SoftplusGradSupports(const SoftplusGradArgs& args);
absl::Status SoftplusGrad(Context& ctx, const SoftplusGradArgs& args,
                          SoftplusGradResults* results);

// logsigmoid(x + bias[c]) / divisor, as arguments of Softplus.
inline SoftplusArgs LogSigmoidArgs(const Tensor& x, const Tensor& bias,
                                   float divisor) {
  return {x, bias, -1.0f, -1.0f / divisor};
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_BIAS_H_
