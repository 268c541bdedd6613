// The folder that //evals:curriculum writes: results.json, results.md and,
// where there is gnuplot, results.svg, from the runs beside them in runs/.

#ifndef LT2_EVALS_CURRICULA_RESULTS_FOLDER_H_
#define LT2_EVALS_CURRICULA_RESULTS_FOLDER_H_

#include <string>
#include <vector>

#include "evals/curricula/preset.h"
#include "evals/curricula/results.h"

namespace lt2::evals {

// Of the runs `selected`, and of all others of the preset that have a folder in
// `runs`; one of another preset or patch is an error. Build and command are
// left empty.
absl::StatusOr<Results> CollectRuns(const Preset& preset,
                                    const std::vector<PlannedRun>& selected,
                                    const std::string& runs);

absl::StatusOr<Results> ReadResultsFolder(const std::string& folder);

// `success` as Report takes it (report.h).
absl::Status WriteResultsFolder(const Results& results, double success,
                                const std::string& folder);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_RESULTS_FOLDER_H_
