#include "model/looped/decode_graph.h"

namespace lt2::model {

absl::StatusOr<std::unique_ptr<DecodeGraph>> DecodeGraph::Create(
    LoopedModel& model, DecodeState* state, const ForwardOptions& options) {
  Context& ctx = model.ctx();
  auto decoder =
      std::unique_ptr<DecodeGraph>(new DecodeGraph(model, state, options));
  const int64_t batch = state->batch();
  LT2_ASSIGN_OR_RETURN(decoder->ids_, ctx.Zeros(DType::kI32, {batch, 1}));
  LT2_ASSIGN_OR_RETURN(
      decoder->logits_,
      ctx.Zeros(DType::kF32, {batch, model.config().vocab_size}));
  return decoder;
}

absl::Status DecodeGraph::Work() {
  Tape tape(model_.ctx(), Tape::kInference);
  const Var logits = model_.Logits(tape, ids_, options_);
  LT2_RETURN_IF_ERROR(tape.status());
  return model_.ctx().Copy(logits.value(), &logits_);
}

absl::StatusOr<Tensor> DecodeGraph::Step(const Tensor& ids) {
  Context& ctx = model_.ctx();
  if (!ids.defined() || ids.dtype() != DType::kI32 ||
      ids.device() != ctx.device() || ids.numel() != state_.batch()) {
    return InvalidArgument(
        "a decoding step takes i32 ids of ", state_.batch(),
        " sequences on the model's device, got ",
        ids.defined() ? ids.ToString() : "an undefined tensor");
  }
  LT2_RETURN_IF_ERROR(state_.CheckRoom(1));
  LT2_RETURN_IF_ERROR(ctx.Copy(ids, &ids_));
  if (graph_ != nullptr) {
    LT2_RETURN_IF_ERROR(graph_->Launch());
    ++state_.position_;  // the device's lengths are part of the graph
    return logits_;
  }
  if (!ctx.is_cuda() || model_.config().random_pattern()) {
    LT2_RETURN_IF_ERROR(Work());
    return logits_;
  }
  ArenaPool::Scope scope(&pool_);
  LT2_RETURN_IF_ERROR(Work());
  // A full state takes no further step to capture.
  if (!state_.CheckRoom(1).ok()) return logits_;
  const int64_t position = state_.position_;
  LT2_ASSIGN_OR_RETURN(graph_, CudaGraph::Capture(ctx, [&] { return Work(); }));
  state_.position_ = position;  // captured, not run
  return logits_;
}

}  // namespace lt2::model
