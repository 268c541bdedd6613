#include "model/training/train_step.h"

#include <cmath>

#include "kernels/activation/activation.h"

namespace lt2::model {

absl::Status TrainStep::Shape(int64_t batch, int64_t seq) {
  Context& ctx = model_.ctx();
  if (ids_.defined() && ids_.dim(0) == batch && ids_.dim(1) == seq) {
    return absl::OkStatus();
  }
  graph_ = nullptr;
  warm_ = false;
  LT2_ASSIGN_OR_RETURN(ids_, ctx.Empty(DType::kI32, {batch, seq}));
  LT2_ASSIGN_OR_RETURN(targets_, ctx.Empty(DType::kI32, {batch * seq}));
  LT2_ASSIGN_OR_RETURN(loss_, ctx.Zeros(DType::kF32, {1}));
  LT2_ASSIGN_OR_RETURN(attached_loss_, ctx.Zeros(DType::kF32, {1}));
  const float one = 1;
  LT2_ASSIGN_OR_RETURN(one_, ctx.FromHost<float>({&one, 1}, {1}));
  return absl::OkStatus();
}

absl::Status TrainStep::Work(uint64_t step) {
  LT2_RETURN_IF_ERROR(optimizer_.ZeroGradients());
  Context& ctx = model_.ctx();
  Tape tape(ctx, Tape::kRecord);
  ForwardOptions options;
  options.step = step;
  options.recompute = recompute_;
  options.loops = loops_;
  const Var logits = model_.Logits(tape, ids_, options);
  const Var loss = CrossEntropy(tape, logits, targets_, model_.activation());
  LT2_RETURN_IF_ERROR(tape.Backward(loss, one_));
  LT2_RETURN_IF_ERROR(ctx.Copy(loss.value(), &loss_));
  LT2_RETURN_IF_ERROR(ctx.Zero(&attached_loss_));
  for (const Tape::Attached& a : tape.attached()) {
    LT2_RETURN_IF_ERROR(
        kernels::Add(ctx, {attached_loss_, a.loss}, &attached_loss_));
  }
  return optimizer_.Step();
}

absl::StatusOr<StepMetrics> TrainStep::Run(int64_t batch, int64_t seq,
                                           absl::Span<const int32_t> inputs,
                                           absl::Span<const int32_t> targets,
                                           double lr, int64_t number) {
  if (static_cast<int64_t>(inputs.size()) != batch * seq ||
      inputs.size() != targets.size()) {
    return InvalidArgument("a batch of ", batch, " x ", seq, " got ",
                           inputs.size(), " inputs and ", targets.size(),
                           " targets");
  }
  Context& ctx = model_.ctx();
  LT2_RETURN_IF_ERROR(Shape(batch, seq));
  LT2_RETURN_IF_ERROR(ctx.CopyFromHost(inputs.data(), &ids_));
  LT2_RETURN_IF_ERROR(ctx.CopyFromHost(targets.data(), &targets_));
  LT2_RETURN_IF_ERROR(optimizer_.SetStep(lr, number));
  const uint64_t step = static_cast<uint64_t>(number);
  if (model_.Phase(step) != phase_) {
    phase_ = model_.Phase(step);
    graph_ = nullptr;
    warm_ = false;
  }
  const bool capturable = ctx.is_cuda() && !model_.config().random_pattern();
  if (!capturable || !warm_) {
    LT2_RETURN_IF_ERROR(Work(step));
    warm_ = true;
  } else {
    if (graph_ == nullptr) {
      LT2_ASSIGN_OR_RETURN(graph_,
                           CudaGraph::Capture(ctx, [&] { return Work(step); }));
    }
    LT2_RETURN_IF_ERROR(graph_->Launch());
  }
  StepMetrics metrics;
  LT2_RETURN_IF_ERROR(ctx.CopyToHost(loss_, &metrics.loss));
  LT2_RETURN_IF_ERROR(
      ctx.CopyToHost(optimizer_.norm(), &metrics.gradient_norm));
  LT2_RETURN_IF_ERROR(ctx.CopyToHost(attached_loss_, &metrics.attached_loss));
  if (!std::isfinite(metrics.loss) || !std::isfinite(metrics.gradient_norm)) {
    return absl::AbortedError(absl::StrCat(
        "step ", number, ": loss is ", metrics.loss, ", gradient norm ",
        metrics.gradient_norm, "; first bad tensor: ", FirstBadTensor(),
        ". Lower the learning rate or resume from the last checkpoint"));
  }
  return metrics;
}

std::string TrainStep::FirstBadTensor() {
  Context& ctx = model_.ctx();
  auto bad = [&](const Tensor& t) -> int64_t {
    const auto values = ctx.ToHost<float>(t);
    if (!values.ok()) return -1;
    for (size_t i = 0; i < values->size(); ++i) {
      if (!std::isfinite((*values)[i])) return static_cast<int64_t>(i);
    }
    return -1;
  };
  // The optimiser has already spread NaN over the parameters: the gradients
  // tell where it came from. The last layers' come first in the backward pass.
  const std::vector<Parameter*>& parameters = model_.parameters();
  for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) {
    const int64_t at = bad((*p)->grad);
    if (at >= 0) return absl::StrCat("gradient of ", (*p)->name, "[", at, "]");
  }
  for (const Parameter* p : parameters) {
    const int64_t at = bad(p->value);
    if (at >= 0) return absl::StrCat(p->name, "[", at, "]");
  }
  return "the loss itself (logits)";
}

}  // namespace lt2::model
