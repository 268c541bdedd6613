// The small models that sections measure, and one step of each kind of work.

#ifndef LT2_TOOLS_EXACT_MODELS_H_
#define LT2_TOOLS_EXACT_MODELS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/looped/test_models.h"
#include "model/training/train_step.h"

namespace lt2::tools {

// Shapes of all that is measured: a batch of 2, 24 tokens of 29 words.
inline constexpr int64_t kBatch = 2, kSeq = 24, kVocab = 29;
// Of decoding: the prompt; the rest of kSeq comes token by token.
inline constexpr int64_t kPrompt = 16;

// A CPU context of one thread, with poisoned allocations: who reads what was
// never written gets NaN, not bits that differ from run to run.
absl::StatusOr<std::unique_ptr<Context>> OneThread();

// Logits [batch * seq, vocab] of a fixed batch.
absl::StatusOr<std::vector<float>> ForwardLogits(model::LoopedModel& model);

// Logits of decoding steps after a prompt, one after another. `after_prompt` is
// called between the prompt and the first step, which alone is then run if
// `steps` is 1.
absl::StatusOr<std::vector<float>> DecodeLogits(
    model::LoopedModel& model, int64_t steps,
    const std::function<void()>& after_prompt);

// A model that trains, with its optimiser.
class Training {
 public:
  static absl::StatusOr<std::unique_ptr<Training>> Create(
      Context& ctx, const nlohmann::json& config);
  // Step `number`, from 1, on the batch of that number.
  absl::StatusOr<model::StepMetrics> Step(int64_t number);
  model::LoopedModel& model() { return *model_; }
  const model::TrainStep& step() const { return *step_; }

 private:
  std::unique_ptr<model::LoopedModel> model_;
  std::unique_ptr<model::Optimizer> optimizer_;
  std::unique_ptr<model::TrainStep> step_;
};

}  // namespace lt2::tools

#endif  // LT2_TOOLS_EXACT_MODELS_H_
