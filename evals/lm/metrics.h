// Scores of items from a model's responses, and what they come to.
//
// Definitions (lm-evaluation-harness, whose names the metrics have where it has
// one; L_i is the log-likelihood of choice i in natural logarithms, lengths are
// those of the choice without the delimiter; ties go to the lowest index):
//
//   acc              1 if argmax L_i is the gold choice
//   acc_norm         the same of L_i / characters_i (Unicode code points)
//   acc_bytes        of L_i / bytes_i (UTF-8)
//   acc_tokens       of L_i / tokens_i (of the continuation, delimiter
//   included) acc_mutual_info  of L_i - L(choice_i | unconditional context)
//   perplexity       exp(-mean over items of L of the whole target)
//   word_perplexity  exp(-sum L / sum words), byte_perplexity with bytes
//   bits_per_byte    -sum L / (ln 2 sum bytes)
//   exact_match      1 if the filtered text is one of the answers
//   contains         1 if an answer occurs in it, ASCII case ignored
//   contains_all     share of the answers that occur in it
//
// Standard error: of a mean, s / sqrt(n) with s over n - 1; of anything else
// there is none ("N/A"). Intervals are 95 % percentile bootstraps over items.

#ifndef LT2_EVALS_LM_METRICS_H_
#define LT2_EVALS_LM_METRICS_H_

#include <string>
#include <vector>

#include "evals/lm/item.h"
#include "evals/scoring/task_score.h"
#include "evals/stats/stats.h"

namespace lt2::evals {

// To one request.
struct Response {
  double sum = 0;
  bool is_greedy = false;
  int64_t tokens = 0;        // of the continuation
  std::string text, reason;  // of a generation
};

// One metric of one item; its value over items is a function (identity or exp)
// of sum of numerators / sum of denominators.
struct ItemMetric {
  std::string name, filter = "none";
  double numerator = 0, denominator = 1;
  // For paired comparisons (//evals:compare); scored = 0 if the metric is none
  // that it knows.
  ItemScore row;
  std::string filtered;  // the text that a filter left
};

// An error if a log-likelihood is not finite.
absl::StatusOr<std::vector<ItemMetric>> ScoreItem(
    const Suite& suite, const Item& item, absl::Span<const Response> responses);

struct MetricResult {
  std::string name, filter;
  double value = 0, low = 0, high = 0;
  double stderr_mean = 0;  // NaN: none
  bool higher_is_better = true;
  std::string row_metric;  // "accuracy", "bits_per_byte" or ""
  std::vector<ItemScore> rows;

  // "acc,none", as lm-evaluation-harness writes it.
  std::string key() const { return name + "," + filter; }
};

// `items`: what ScoreItem gave for each, at least one.
absl::StatusOr<std::vector<MetricResult>> Aggregate(
    absl::Span<const std::vector<ItemMetric>> items);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_METRICS_H_
