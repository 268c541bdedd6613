// The implementations behind Sample; arguments are checked.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_INTERNAL_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_INTERNAL_H_

#include "kernels/sampling/sampling.h"

namespace lt2::kernels {

absl::Status SampleCpu(Context& ctx, const SamplingArgs& args, Tensor* ids);
absl::Status SampleCuda(Context& ctx, const SamplingArgs& args, Tensor* ids);
absl::Status CountTokensCpu(Context& ctx, const Tensor& ids, Tensor* counts);
absl::Status CountTokensCuda(Context& ctx, const Tensor& ids, Tensor* counts);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_INTERNAL_H_
