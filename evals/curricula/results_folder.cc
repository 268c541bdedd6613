#include "evals/curricula/results_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "evals/curricula/plots.h"
#include "evals/curricula/report.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {

absl::StatusOr<Results> CollectRuns(const Preset& preset,
                                    const std::vector<PlannedRun>& selected,
                                    const std::string& runs) {
  std::vector<RunOutcome> outcomes;
  for (const PlannedRun& run : preset.runs) {
    const std::string folder = runs + "/" + run.name;
    const bool there = access(folder.c_str(), F_OK) == 0;
    const bool wanted =
        std::any_of(selected.begin(), selected.end(),
                    [&](const PlannedRun& s) { return s.name == run.name; });
    if (!wanted && !there) continue;
    if (there) LT2_RETURN_IF_ERROR(PrepareFolder(folder, run));  // the same?
    LT2_ASSIGN_OR_RETURN(RunOutcome outcome, ReadOutcome(folder, preset, run));
    outcomes.push_back(std::move(outcome));
  }
  return MakeResults(preset, std::move(outcomes));
}

absl::StatusOr<Results> ReadResultsFolder(const std::string& folder) {
  const std::string path = folder + "/results.json";
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  return ParseResultsJson(json, path);
}

absl::Status WriteResultsFolder(const Results& results, double success,
                                const std::string& folder) {
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      folder + "/results.json", ResultsJson(results).dump(1) + "\n"));
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      folder + "/results.md", Report(results, success, /*markdown=*/true)));
  const auto svg = RenderSvg(MedianFigure(results));
  if (absl::IsNotFound(svg.status())) {
    std::fprintf(stderr, "no results.svg: %s\n",
                 std::string(svg.status().message()).c_str());
    return absl::OkStatus();
  }
  if (!svg.ok()) return svg.status();
  return model::WriteFileAtomically(folder + "/results.svg", *svg);
}

}  // namespace lt2::evals
