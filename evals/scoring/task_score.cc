#include "evals/scoring/task_score.h"

#include <algorithm>
#include <cmath>

#include "model/looped/scoring.h"

namespace lt2::evals {
namespace {

double Ratio(double a, double b) { return b == 0 ? 0 : a / b; }

}  // namespace

absl::StatusOr<std::vector<ItemScore>> ScoreTask(
    model::LoopedModel& model, const tasks::Task& task,
    absl::Span<const int64_t> indices, const ScoreOptions& options) {
  if (task.vocab_size() > model.config().vocab_size) {
    return InvalidArgument("task ", task.name(), " has ", task.vocab_size(),
                           " tokens, the model's vocabulary ",
                           model.config().vocab_size);
  }
  const int64_t seq = task.max_length(options.split);
  const int64_t rows = options.carry_state ? 1 : options.batch;
  model::ForwardOptions forward;
  forward.loops = options.loops;
  std::unique_ptr<model::DecodeState> state;
  if (options.carry_state) {
    if (!indices.empty() &&
        task.passage(options.split, indices[0]).document >= 0) {
      return InvalidArgument("task ", task.name(),
                             " is scored document by document; the state "
                             "cannot be carried from one to the next");
    }
    LT2_ASSIGN_OR_RETURN(
        state, model::DecodeState::Create(
                   model, 1, seq * std::max<int64_t>(1, indices.size()),
                   options.loops));
    forward.state = state.get();
  }
  std::vector<ItemScore> items;
  for (size_t first = 0; first < indices.size(); first += rows) {
    // The last block repeats its last example to keep the shape.
    std::vector<int64_t> block;
    for (int64_t row = 0; row < rows; ++row) {
      block.push_back(indices[std::min(first + static_cast<size_t>(row),
                                       indices.size() - 1)]);
    }
    LT2_ASSIGN_OR_RETURN(
        const tasks::Batch batch,
        tasks::MakeBatch(task, options.split, options.seed, block, seq));
    LT2_ASSIGN_OR_RETURN(
        const model::Scores scores,
        model::Score(model, rows, seq, batch.inputs, batch.targets, forward));
    for (int64_t row = 0; row < rows && first + row < indices.size(); ++row) {
      ItemScore item;
      item.index = block[row];
      for (int64_t i = row * seq; i < (row + 1) * seq; ++i) {
        if (batch.targets[i] == tasks::kIgnore) continue;
        ++item.scored;
        item.correct += scores.argmax[i] == batch.targets[i];
        item.nll += scores.nll[i];
      }
      items.push_back(item);
    }
    if (options.progress) {
      options.progress(static_cast<int64_t>(items.size()));
    }
  }
  return items;
}

TaskTotals Total(absl::Span<const ItemScore> items) {
  TaskTotals t;
  for (const ItemScore& item : items) {
    ++t.items;
    t.scored += item.scored;
    t.correct += item.correct;
    t.perfect_items += item.scored > 0 && item.correct == item.scored;
    t.nll += item.nll;
  }
  return t;
}

double TaskTotals::accuracy() const { return Ratio(correct, scored); }
double TaskTotals::sequence_accuracy() const {
  return Ratio(perfect_items, items);
}
double TaskTotals::loss() const { return Ratio(nll, scored); }
double TaskTotals::bits() const { return loss() / std::log(2.0); }

}  // namespace lt2::evals
