// The CPU and CUDA forms behind rope.h; arguments are checked and not empty.

#ifndef LT2_KERNELS_ROPE_ROPE_INTERNAL_H_
#define LT2_KERNELS_ROPE_ROPE_INTERNAL_H_

#include "kernels/rope/rope.h"

namespace lt2::kernels {

absl::Status RopeCpu(Context& ctx, const RopeArgs& args, const Tensor& y);
absl::Status RopeCuda(Context& ctx, const RopeArgs& args, const Tensor& y);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ROPE_ROPE_INTERNAL_H_
