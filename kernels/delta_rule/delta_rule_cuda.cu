// The delta rule on the GPU: which form a call gets, and the recurrence itself
// for f32 and for single steps.

#include "kernels/delta_rule/delta_rule_forms_cuda.cuh"
#include "kernels/linear_attention/recurrent.cuh"

namespace lt2::kernels {

absl::Status DeltaRuleCuda(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results) {
  if (args.q.dtype() == DType::kF32) {
    return DeltaRuleStepCuda(ctx, args, results);
  }
  return DecayOf(args.g) == Decay::kChannel
             ? DeltaRuleChannelCuda(ctx, args, results)
             : DeltaRuleScalarCuda(ctx, args, results);
}

absl::Status DeltaRuleGradCuda(Context& ctx, const DeltaRuleGradArgs& args,
                               DeltaRuleGradResults* results) {
  return DecayOf(args.forward.g) == Decay::kChannel
             ? DeltaRuleChannelGradCuda(ctx, args, results)
             : DeltaRuleScalarGradCuda(ctx, args, results);
}

// Takes any number of tokens.
absl::Status DeltaRuleStepCuda(Context& ctx, const DeltaRuleArgs& args,
                               DeltaRuleResults* results) {
  return recurrent::Run<true>(ctx, args, cuda::Data<float>(args.beta), results);
}

}  // namespace lt2::kernels
