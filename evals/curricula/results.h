// results.json: what came of the runs of a preset, on one machine or several.

#ifndef LT2_EVALS_CURRICULA_RESULTS_H_
#define LT2_EVALS_CURRICULA_RESULTS_H_

#include <string>
#include <vector>

#include "evals/curricula/run_folder.h"
#include "kernels/core/status.h"

namespace lt2::evals {

inline constexpr int kCurriculumSchemaVersion = 1;

struct Results {
  std::string preset, title;
  Measure measure = Measure::kStage;
  double success = 0;
  std::string column_name;
  std::vector<int64_t> columns;
  std::string build, command;
  std::vector<RunOutcome> runs;  // in the order of the queue
};

Results MakeResults(const Preset& preset, std::vector<RunOutcome> runs);

nlohmann::json ResultsJson(const Results& results);

// Strict: an unknown key or another schema version is an error that names
// `source`.
absl::StatusOr<Results> ParseResultsJson(const nlohmann::json& json,
                                         const std::string& source);

// All runs of both, each once: one that is done before one that is not, then
// the one with more steps, then the first's. The presets must have the same
// name and columns, and a run the same configuration, wherever it ran. A line
// for each pair that is done in both with different logs is added to
// `warnings`: the same configuration should make the same log on the same kind
// of machine.
absl::StatusOr<Results> Merge(const Results& a, const Results& b,
                              std::vector<std::string>* warnings);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_RESULTS_H_
