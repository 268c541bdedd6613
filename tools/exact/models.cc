#include "tools/exact/models.h"

#include "absl/types/span.h"
#include "kernels/core/philox.h"

namespace lt2::tools {
namespace {

using model::LoopedModel;

std::vector<int32_t> Ids(uint64_t seed, int64_t n) {
  Philox rng(seed, 0);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(rng.Below(kVocab)));
  }
  return ids;
}

absl::StatusOr<std::vector<float>> Logits(
    LoopedModel& model, const std::vector<int32_t>& ids,
    const model::ForwardOptions& options) {
  Context& ctx = model.ctx();
  const int64_t seq = static_cast<int64_t>(ids.size()) / kBatch;
  LT2_ASSIGN_OR_RETURN(const Tensor input,
                       ctx.FromHost<int32_t>(ids, {kBatch, seq}));
  model::Tape tape(ctx, model::Tape::kInference);
  const model::Var logits = model.Logits(tape, input, options);
  LT2_RETURN_IF_ERROR(tape.status());
  return ctx.ToHost<float>(logits.value());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Context>> OneThread() {
  ContextOptions options;
  options.poison = true;
  return Context::Create(Device::kCPU, options);
}

absl::StatusOr<std::vector<float>> ForwardLogits(LoopedModel& model) {
  return Logits(model, Ids(7, kBatch * kSeq), {});
}

absl::StatusOr<std::vector<float>> DecodeLogits(
    LoopedModel& model, int64_t steps,
    const std::function<void()>& after_prompt) {
  LT2_ASSIGN_OR_RETURN(auto state,
                       model::DecodeState::Create(model, kBatch, kSeq));
  model::ForwardOptions options;
  options.state = state.get();
  LT2_RETURN_IF_ERROR(
      Logits(model, Ids(8, kBatch * kPrompt), options).status());
  after_prompt();
  std::vector<float> all;
  for (int64_t step = 0; step < steps; ++step) {
    LT2_ASSIGN_OR_RETURN(const std::vector<float> logits,
                         Logits(model, Ids(9 + step, kBatch), options));
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

absl::StatusOr<std::unique_ptr<Training>> Training::Create(
    Context& ctx, const nlohmann::json& config) {
  auto training = std::make_unique<Training>();
  training->model_ = model::MakeModel(ctx, config, /*training=*/true);
  LT2_ASSIGN_OR_RETURN(
      training->optimizer_,
      model::Optimizer::Create(ctx, training->model_->parameters(), {}));
  training->step_ = std::make_unique<model::TrainStep>(
      *training->model_, *training->optimizer_, model::Recompute::kNothing);
  return training;
}

absl::StatusOr<model::StepMetrics> Training::Step(int64_t number) {
  return step_->Run(kBatch, kSeq, Ids(100 + number, kBatch * kSeq),
                    Ids(200 + number, kBatch * kSeq), /*lr=*/1e-2, number);
}

}  // namespace lt2::tools
