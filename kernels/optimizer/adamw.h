// AdamW with decoupled weight decay (Loshchilov and Hutter, ICLR 2019, in
// PyTorch's form) and clipping by the global norm, over many tensors at once.
//
//   norm   = sqrt(sum over all tensors of g^2)
//   g'     = g min(1, max_grad_norm / (norm + 1e-6))
//   m      = beta1 m + (1 - beta1) g'
//   v      = beta2 v + (1 - beta2) g'^2
//   value -= lr lr_scale ( (m / bc1) / (sqrt(v / bc2) + eps)
//                          + weight_decay value )
//
// where bc1 = 1 - beta1^t and bc2 = 1 - beta2^t. lr, bc1 and bc2 are read from
// the device tensor `schedule`, so that a captured step can be launched again
// with another learning rate.
//
// Cost per element: about 15 FLOPs; 16 bytes read and 12 written (14 with a
// bf16 copy). State: 8 bytes per parameter beside the f32 master value.
//
// A norm of NaN makes every value NaN (the caller looks at norm and decides);
// an infinite norm scales finite gradients to 0. The norm is a sum in a fixed
// order: the same bits every run.

#ifndef LT2_KERNELS_OPTIMIZER_ADAMW_H_
#define LT2_KERNELS_OPTIMIZER_ADAMW_H_

#include "absl/types/span.h"
#include "kernels/core/context.h"

namespace lt2::kernels {

struct AdamWParameter {
  Tensor value;    // f32, the master copy, updated
  Tensor grad;     // f32, value's shape
  Tensor m, v;     // f32, value's shape, updated; zero before the first step
  Tensor compute;  // optional bf16 copy of value, refreshed
  float weight_decay = 0;
  float lr_scale = 1;
};

struct AdamWOptions {
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float eps = 1e-8f;
  float max_grad_norm = 1.0f;  // <= 0: no clipping
};

// norm: f32 [1]. The tensors are f32 of any shape.
absl::Status GlobalNorm(Context& ctx, absl::Span<const Tensor> tensors,
                        Tensor* norm);

absl::Status AdamWSupports(absl::Span<const AdamWParameter> parameters,
                           const AdamWOptions& options, Device device);

// schedule: f32 [3], lr, bc1, bc2. norm: f32 [1], from GlobalNorm.
absl::Status AdamWStep(Context& ctx,
                       absl::Span<const AdamWParameter> parameters,
                       const AdamWOptions& options, const Tensor& schedule,
                       const Tensor& norm);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_OPTIMIZER_ADAMW_H_
