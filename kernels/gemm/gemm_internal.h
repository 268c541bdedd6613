// The two implementations behind Gemm. Shapes have been checked.

#ifndef LT2_KERNELS_GEMM_GEMM_INTERNAL_H_
#define LT2_KERNELS_GEMM_GEMM_INTERNAL_H_

#include "kernels/gemm/gemm.h"

namespace lt2::kernels {

absl::Status GemmCpu(Context& ctx, const GemmArgs& args, const GemmShape& shape,
                     Tensor* c);
absl::Status GemmCuda(Context& ctx, const GemmArgs& args,
                      const GemmShape& shape, Tensor* c);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_GEMM_GEMM_INTERNAL_H_
