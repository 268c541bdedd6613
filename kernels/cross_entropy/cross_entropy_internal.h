// The implementations behind CrossEntropy and CrossEntropyGrad; shapes are
// checked and results allocated.

#ifndef LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_INTERNAL_H_
#define LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_INTERNAL_H_

#include "kernels/cross_entropy/cross_entropy.h"

namespace lt2::kernels {

absl::Status CrossEntropyCpu(Context& ctx, const CrossEntropyArgs& args,
                             CrossEntropyResults* results);
absl::Status CrossEntropyCuda(Context& ctx, const CrossEntropyArgs& args,
                              CrossEntropyResults* results);
absl::Status CrossEntropyGradCpu(Context& ctx, const CrossEntropyGradArgs& args,
                                 Tensor* dlogits);
absl::Status CrossEntropyGradCuda(Context& ctx,
                                  const CrossEntropyGradArgs& args,
                                  Tensor* dlogits);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_INTERNAL_H_
