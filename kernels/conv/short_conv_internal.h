// The CPU and CUDA forms behind short_conv.h. Arguments are checked, results
// allocated, and there is at least one element.

#ifndef LT2_KERNELS_CONV_SHORT_CONV_INTERNAL_H_
#define LT2_KERNELS_CONV_SHORT_CONV_INTERNAL_H_

#include "kernels/conv/short_conv.h"

namespace lt2::kernels {

absl::Status ShortConvCpu(Context& ctx, const ShortConvArgs& args,
                          const ShortConvResults& results);
// results.final_state shares no memory with args.initial_state, unless they
// are the same and seq <= kShortConvInPlaceSeq.
absl::Status ShortConvCuda(Context& ctx, const ShortConvArgs& args,
                           const ShortConvResults& results);
inline constexpr int64_t kShortConvInPlaceSeq = 8;

absl::Status ShortConvGradCpu(Context& ctx, const ShortConvGradArgs& args,
                              const ShortConvGradResults& results);
absl::Status ShortConvGradCuda(Context& ctx, const ShortConvGradArgs& args,
                               const ShortConvGradResults& results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CONV_SHORT_CONV_INTERNAL_H_
