#include "kernels/core/cuda_util.cuh"
#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels {

absl::Status DeltaRuleCuda(Context&, const DeltaRuleArgs&, DeltaRuleResults*) {
  return absl::UnimplementedError("DeltaRule on CUDA");
}
absl::Status DeltaRuleGradCuda(Context&, const DeltaRuleGradArgs&,
                               DeltaRuleGradResults*) {
  return absl::UnimplementedError("DeltaRuleGrad on CUDA");
}
absl::Status DeltaRuleStepCuda(Context&, const DeltaRuleArgs&,
                               DeltaRuleResults*) {
  return absl::UnimplementedError("DeltaRuleStep on CUDA");
}

}  // namespace lt2::kernels
