// The implementations behind GlobalNorm and AdamWStep; arguments are checked.

#ifndef LT2_KERNELS_OPTIMIZER_ADAMW_INTERNAL_H_
#define LT2_KERNELS_OPTIMIZER_ADAMW_INTERNAL_H_

#include "kernels/optimizer/adamw.h"

namespace lt2::kernels {

// What max_grad_norm is divided by is norm plus this, as PyTorch does.
inline constexpr float kClipEpsilon = 1e-6f;

absl::Status GlobalNormCpu(Context& ctx, absl::Span<const Tensor> tensors,
                           Tensor* norm);
absl::Status GlobalNormCuda(Context& ctx, absl::Span<const Tensor> tensors,
                            Tensor* norm);
absl::Status AdamWStepCpu(Context& ctx,
                          absl::Span<const AdamWParameter> parameters,
                          const AdamWOptions& options, const Tensor& schedule,
                          const Tensor& norm);
absl::Status AdamWStepCuda(Context& ctx,
                           absl::Span<const AdamWParameter> parameters,
                           const AdamWOptions& options, const Tensor& schedule,
                           const Tensor& norm);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_OPTIMIZER_ADAMW_INTERNAL_H_
