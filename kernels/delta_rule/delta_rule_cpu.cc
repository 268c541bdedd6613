// The delta rule on the CPU: the recurrence with beta. The code is that of
// kernels/linear_attention.

#include "kernels/delta_rule/delta_rule_internal.h"
#include "kernels/linear_attention/recurrence_cpu.h"

namespace lt2::kernels {
namespace {

RecurrenceArgs ToRecurrence(const DeltaRuleArgs& args) {
  return {args.q,    args.k, args.v, args.beta, args.g, args.initial_state,
          args.scale};
}

}  // namespace

absl::Status DeltaRuleCpu(Context& ctx, const DeltaRuleArgs& args,
                          DeltaRuleResults* results) {
  RecurrenceCpu(ctx, ToRecurrence(args), results->o, results->final_state);
  return absl::OkStatus();
}

absl::Status DeltaRuleStepCpu(Context& ctx, const DeltaRuleArgs& args,
                              DeltaRuleResults* results) {
  RecurrenceStepCpu(ctx, ToRecurrence(args), results->o, results->final_state);
  return absl::OkStatus();
}

absl::Status DeltaRuleGradCpu(Context& ctx, const DeltaRuleGradArgs& args,
                              DeltaRuleGradResults* results) {
  return RecurrenceGradCpu(
      ctx, ToRecurrence(args.forward), args.dout, args.dfinal_state,
      {results->dq, results->dk, results->dv, results->dbeta,
       args.forward.g.defined() ? results->dg : Tensor(),
       results->dinitial_state});
}

}  // namespace lt2::kernels
