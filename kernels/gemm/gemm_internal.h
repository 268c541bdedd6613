// The implementations behind Gemm. Shapes are checked and not empty.

#ifndef LT2_KERNELS_GEMM_GEMM_INTERNAL_H_
#define LT2_KERNELS_GEMM_GEMM_INTERNAL_H_

#include "kernels/gemm/gemm.h"

namespace lt2::kernels {

absl::Status GemmCpu(Context& ctx, const GemmArgs& args, const GemmShape& shape,
                     Tensor* c);
absl::Status GemmCuda(Context& ctx, const GemmArgs& args,
                      const GemmShape& shape, Tensor* c);

// One thread per element of c, k terms in order: for the shapes and alignments
// that cuBLASLt declines, and to check it against.
absl::Status GemmCudaPlain(Context& ctx, const GemmArgs& args,
                           const GemmShape& shape, Tensor* c);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_GEMM_GEMM_INTERNAL_H_
