// Linear attention on the CPU: the recurrence without beta.

#include "kernels/linear_attention/linear_attention_internal.h"
#include "kernels/linear_attention/recurrence_cpu.h"

namespace lt2::kernels {
namespace {

RecurrenceArgs ToRecurrence(const LinearAttentionArgs& args) {
  return {
      args.q,    args.k, args.v, /*beta=*/Tensor(), args.g, args.initial_state,
      args.scale};
}

}  // namespace

absl::Status LinearAttentionCpu(Context& ctx, const LinearAttentionArgs& args,
                                LinearAttentionResults* results) {
  RecurrenceCpu(ctx, ToRecurrence(args), results->o, results->final_state);
  return absl::OkStatus();
}

absl::Status LinearAttentionStepCpu(Context& ctx,
                                    const LinearAttentionArgs& args,
                                    LinearAttentionResults* results) {
  RecurrenceStepCpu(ctx, ToRecurrence(args), results->o, results->final_state);
  return absl::OkStatus();
}

absl::Status LinearAttentionGradCpu(Context& ctx,
                                    const LinearAttentionGradArgs& args,
                                    LinearAttentionGradResults* results) {
  const Decay decay = DecayOf(args.forward.g);
  const bool graded = decay == Decay::kToken || decay == Decay::kChannel;
  return RecurrenceGradCpu(
      ctx, ToRecurrence(args.forward), args.dout, args.dfinal_state,
      {results->dq, results->dk, results->dv, /*dbeta=*/Tensor(),
       graded ? results->dg : Tensor(), results->dinitial_state});
}

}  // namespace lt2::kernels
