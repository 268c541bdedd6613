// The three norms as one: what norm.cc hands to the CPU and CUDA forms.
//
//   y = x rstd [w] [act(gate)],  rstd = 1/sqrt(sum(x^2) inv_count + eps)
//
// with inv_count = 1/dim for the mean, 1 for the L2 norm; absent factors are
// undefined tensors.

#ifndef LT2_KERNELS_NORM_NORM_INTERNAL_H_
#define LT2_KERNELS_NORM_NORM_INTERNAL_H_

#include "kernels/norm/norm.h"

namespace lt2::kernels {

// Above this CUDA gradients with a weight do not fit in shared memory.
inline constexpr int64_t kNormGradMaxDim = 12000;

struct NormForward {
  Tensor x, gate, weight;
  GateActivation activation = GateActivation::kSilu;
  float inv_count = 1, eps = 0;
  Tensor y, rstd;  // outputs
};

struct NormBackward {
  Tensor x;  // the input; with x_is_normalized, x * rstd
  Tensor gate, weight, rstd, dy;
  GateActivation activation = GateActivation::kSilu;
  bool x_is_normalized = false;
  float inv_count = 1;
  Tensor dx, dgate, dweight;  // outputs; the last two where the factor is
};

absl::Status NormForwardCpu(Context& ctx, const NormForward& norm);
absl::Status NormForwardCuda(Context& ctx, const NormForward& norm);
absl::Status NormBackwardCpu(Context& ctx, const NormBackward& norm);
absl::Status NormBackwardCuda(Context& ctx, const NormBackward& norm);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_NORM_NORM_INTERNAL_H_
