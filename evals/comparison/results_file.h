// Reads what the leaderboard or //evals:lm wrote (results.json; its keys are in
// evals/README.md and evals/lm/README.md), strictly: an unknown key, a wrong
// type or another schema version is an error with the file's name and the key's
// path.

#ifndef LT2_EVALS_COMPARISON_RESULTS_FILE_H_
#define LT2_EVALS_COMPARISON_RESULTS_FILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/status.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

// What a comparison needs of one example.
struct ResultItem {
  int64_t index = 0, scored = 0, correct = 0;
  double nll = 0;  // NaN where the file has null
};

struct ResultRow {
  std::string model, task, metric;  // "accuracy" or "bits_per_byte"
  std::string data_digest, model_digest;
  int64_t task_version = 0, seed = 0, loops = 0, trained_loops = 0;
  bool higher_is_better = true;
  std::vector<ResultItem> items;  // ascending indices

  // "gdn-T4", or "gdn-T4@8" if evaluated at other loops than trained with.
  std::string label() const;
};

struct ResultsFile {
  std::string source, build, machine;
  std::vector<ResultRow> rows;
};

// `source` names the file in errors.
absl::StatusOr<ResultsFile> ParseResults(const nlohmann::json& json,
                                         const std::string& source);
absl::StatusOr<ResultsFile> ReadResults(const std::string& path);

}  // namespace lt2::evals

#endif  // LT2_EVALS_COMPARISON_RESULTS_FILE_H_
