#include "evals/scoring/text_score.h"

#include <cmath>
#include <map>
#include <numeric>

namespace lt2::evals {

absl::StatusOr<absl::optional<TextScore>> ScoreText(
    const tasks::Task& task, tasks::Split split,
    absl::Span<const ItemScore> items) {
  TextScore score;
  std::map<int64_t, size_t> place;  // of a document
  for (const ItemScore& item : items) {
    const tasks::Passage passage = task.passage(split, item.index);
    if (passage.document < 0) return absl::optional<TextScore>();
    const auto [at, is_new] =
        place.emplace(passage.document, score.nats.size());
    if (is_new) {
      score.nats.push_back(0);
      score.bytes.push_back(0);
    }
    score.nats[at->second] += item.nll;
    score.bytes[at->second] += static_cast<double>(passage.bytes);
    score.tokens += item.scored;
  }
  if (items.empty()) return absl::optional<TextScore>();
  std::vector<double> bits;
  for (double nats : score.nats) bits.push_back(nats / std::log(2.0));
  LT2_ASSIGN_OR_RETURN(score.bits_per_byte, RatioBootstrap(bits, score.bytes));
  return absl::optional<TextScore>(std::move(score));
}

nlohmann::json TextScore::ToJson() const {
  nlohmann::json json = {{"bits_per_byte", bits_per_byte.estimate},
                         {"bytes", static_cast<int64_t>(std::accumulate(
                                       bytes.begin(), bytes.end(), 0.0))},
                         {"tokens", tokens},
                         {"documents", bytes.size()}};
  if (bytes.size() > 1) {
    json["bits_per_byte_interval"] = {bits_per_byte.low, bits_per_byte.high};
  }
  return json;
}

}  // namespace lt2::evals
