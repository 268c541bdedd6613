// Scores of a model on the examples of a task.

#ifndef LT2_EVALS_SCORING_TASK_SCORE_H_
#define LT2_EVALS_SCORING_TASK_SCORE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "model/looped/looped_model.h"
#include "tasks/task.h"

namespace lt2::evals {

// One example's scores; sums over its scored positions.
struct ItemScore {
  int64_t index = 0;    // of the example in its split
  int64_t scored = 0;   // positions with a target
  int64_t correct = 0;  // of those, where the target is the most likely token
  double nll = 0;       // sum of -ln p(target)
};

struct ScoreOptions {
  tasks::Split split = tasks::Split::kTest;
  uint64_t seed = 0;
  int64_t loops = 0;   // 0: the model's loop_count
  int64_t batch = 16;  // rows of the fixed shape; the last block is padded
  // Text only: one row, the state carried from each example to the next, so
  // that the model sees all of the text before it. Indices must be consecutive.
  bool carry_state = false;
  // Called after each block with the number of examples done.
  std::function<void(int64_t)> progress;
};

// Scores the examples `indices`, in that order. All blocks have the shape
// [batch, max_length(split)], so a score does not depend on its neighbours.
absl::StatusOr<std::vector<ItemScore>> ScoreTask(
    model::LoopedModel& model, const tasks::Task& task,
    absl::Span<const int64_t> indices, const ScoreOptions& options);

// Sums over items.
struct TaskTotals {
  int64_t items = 0, scored = 0, correct = 0, perfect_items = 0;
  double nll = 0;

  double accuracy() const;           // correct / scored
  double sequence_accuracy() const;  // items without an error / items
  double loss() const;               // nats per scored position
  double bits() const;               // bits per scored position
};
TaskTotals Total(absl::Span<const ItemScore> items);

}  // namespace lt2::evals

#endif  // LT2_EVALS_SCORING_TASK_SCORE_H_
