// Compares two results.json of the leaderboard: //evals:compare.

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_split.h"
#include "evals/comparison/report.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"

ABSL_FLAG(std::string, models, "",
          "BASE:HEAD, compare these two models, not equal names");
ABSL_FLAG(double, accuracy_floor, 0.01,
          "difference in accuracy that matters, absolute");
ABSL_FLAG(double, bits_floor, 0.001,
          "difference in bits per byte that matters, share of the base's");
ABSL_FLAG(bool, all, false, "show rows that did not change too");
ABSL_FLAG(std::string, json, "", "also write the comparison to this file");

namespace lt2::evals {
namespace {

absl::StatusOr<int> Main(const std::vector<char*>& arguments) {
  if (arguments.size() != 3) {
    return InvalidArgument("expected two files, BASE.json HEAD.json, got ",
                           arguments.size() - 1);
  }
  CompareOptions options;
  options.accuracy_floor = absl::GetFlag(FLAGS_accuracy_floor);
  options.bits_floor = absl::GetFlag(FLAGS_bits_floor);
  if (!(options.accuracy_floor >= 0) || !(options.bits_floor >= 0)) {
    return InvalidArgument("--accuracy_floor and --bits_floor must be >= 0");
  }
  const std::string models = absl::GetFlag(FLAGS_models);
  if (!models.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(models, ':');
    if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
      return InvalidArgument("--models: expected BASE:HEAD, got '", models,
                             "'");
    }
    options.base_model = parts[0];
    options.head_model = parts[1];
  }
  LT2_ASSIGN_OR_RETURN(const ResultsFile base, ReadResults(arguments[1]));
  LT2_ASSIGN_OR_RETURN(const ResultsFile head, ReadResults(arguments[2]));
  LT2_ASSIGN_OR_RETURN(const std::vector<Comparison> comparisons,
                       Compare(base, head, options));
  std::fputs(
      ComparisonText(base, head, comparisons, absl::GetFlag(FLAGS_all)).c_str(),
      stdout);
  const std::string path = absl::GetFlag(FLAGS_json);
  if (!path.empty()) {
    LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
        path, ComparisonJson(base, head, comparisons).dump(1) + "\n"));
  }
  return ExitCode(comparisons);
}

}  // namespace
}  // namespace lt2::evals

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Compares two results.json of the leaderboard, example by example.\n"
      "  compare BASE.json HEAD.json [--models=BASE:HEAD] [--json=FILE]\n"
      "Exit codes: 0 nothing is worse, 1 something is worse, 2 nothing could "
      "be compared or an error, 3 unclear.");
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  const auto code = lt2::evals::Main(arguments);
  if (!code.ok()) {
    std::fprintf(stderr, "compare: %s\n",
                 std::string(code.status().message()).c_str());
    return 2;
  }
  return *code;
}
