// The device forms behind delta_rule.h. Arguments are checked and results
// prepared; seq >= 1 and no other extent is 0.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_

#include "kernels/delta_rule/delta_rule.h"
#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels {

using DeltaRuleSizes = RecurrenceSizes;

absl::Status DeltaRuleCpu(Context& ctx, const DeltaRuleArgs& args,
                          DeltaRuleResults* results);
absl::Status DeltaRuleGradCpu(Context& ctx, const DeltaRuleGradArgs& args,
                              DeltaRuleGradResults* results);
absl::Status DeltaRuleStepCpu(Context& ctx, const DeltaRuleArgs& args,
                              DeltaRuleResults* results);

absl::Status DeltaRuleCuda(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results);
absl::Status DeltaRuleGradCuda(Context& ctx, const DeltaRuleGradArgs& args,
                               DeltaRuleGradResults* results);
absl::Status DeltaRuleStepCuda(Context& ctx, const DeltaRuleArgs& args,
                               DeltaRuleResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_
