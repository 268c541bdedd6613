// The chunked forms in bf16: one for g per token or none, one for g per
// channel. delta_rule_cuda.cu chooses.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_FORMS_CUDA_CUH_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_FORMS_CUDA_CUH_

#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels {

absl::Status DeltaRuleScalarCuda(Context& ctx, const DeltaRuleArgs& args,
                                 DeltaRuleResults* results);
absl::Status DeltaRuleScalarGradCuda(Context& ctx,
                                     const DeltaRuleGradArgs& args,
                                     DeltaRuleGradResults* results);

absl::Status DeltaRuleChannelCuda(Context& ctx, const DeltaRuleArgs& args,
                                  DeltaRuleResults* results);
absl::Status DeltaRuleChannelGradCuda(Context& ctx,
                                      const DeltaRuleGradArgs& args,
                                      DeltaRuleGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_FORMS_CUDA_CUH_
