// Bits per byte of text: a measure of language models that does not depend on
// their tokenizers.
//
//   bits per byte = sum over documents of nats / (ln 2 * sum of bytes)
//
// where a document's nats are the sum of -ln p over its tokens (tasks/
// token_text.h says with which context). Documents, not tokens or windows, are
// the units of the interval: what one author writes is alike.

#ifndef LT2_EVALS_SCORING_TEXT_SCORE_H_
#define LT2_EVALS_SCORING_TEXT_SCORE_H_

#include <vector>

#include "absl/types/optional.h"
#include "evals/scoring/task_score.h"
#include "evals/stats/stats.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

struct TextScore {
  // One entry for each document that `items` touch, in their order.
  std::vector<double> nats;
  std::vector<double> bytes;
  int64_t tokens = 0;
  // Percentile bootstrap over documents, 95 %; one document has no interval
  // (low = high = estimate).
  Interval bits_per_byte;

  // {"bits_per_byte", "bits_per_byte_interval" (two documents or more),
  //  "bytes", "tokens", "documents"}
  nlohmann::json ToJson() const;
};

// Of the items of ScoreTask on the valid or test split. No value if the task
// does not tell passages (Task::passage). Exact over the documents if the items
// are all examples of the split; a document of which only some windows are
// there counts with those.
absl::StatusOr<absl::optional<TextScore>> ScoreText(
    const tasks::Task& task, tasks::Split split,
    absl::Span<const ItemScore> items);

}  // namespace lt2::evals

#endif  // LT2_EVALS_SCORING_TEXT_SCORE_H_
