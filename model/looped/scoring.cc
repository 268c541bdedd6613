#include "model/looped/scoring.h"

#include "kernels/cross_entropy/cross_entropy.h"

namespace lt2::model {

absl::StatusOr<Scores> Score(LoopedModel& model, int64_t batch, int64_t seq,
                             absl::Span<const int32_t> inputs,
                             absl::Span<const int32_t> targets,
                             const ForwardOptions& options) {
  Context& ctx = model.ctx();
  const int64_t n = batch * seq;
  if (static_cast<int64_t>(inputs.size()) != n ||
      static_cast<int64_t>(targets.size()) != n) {
    return InvalidArgument("a block of ", batch, " x ", seq, " needs ", n,
                           " inputs and targets, got ", inputs.size(), " and ",
                           targets.size());
  }
  LT2_ASSIGN_OR_RETURN(Tensor ids, ctx.FromHost<int32_t>(inputs, {batch, seq}));
  LT2_ASSIGN_OR_RETURN(Tensor wanted, ctx.FromHost<int32_t>(targets, {n}));
  Tape tape(ctx, Tape::kInference);
  const Var logits = model.Logits(tape, ids, options);
  LT2_RETURN_IF_ERROR(tape.status());
  kernels::CrossEntropyResults r;
  LT2_RETURN_IF_ERROR(kernels::CrossEntropy(ctx, {logits.value(), wanted}, &r));
  Scores scores;
  LT2_ASSIGN_OR_RETURN(scores.nll, ctx.ToHost<float>(r.loss));
  LT2_ASSIGN_OR_RETURN(scores.argmax, ctx.ToHost<int32_t>(r.argmax));
  return scores;
}

}  // namespace lt2::model
