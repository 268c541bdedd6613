// bazel run //bench:scaling -- [--preset=cpu|paper] [--out=FOLDER]
//     [--mixers=full,gdn,...] [--threads=N] [--list]
//
// Measures what the looped models cost by mixer, length, loops, phase and
// batch; bench/README.md explains the numbers. Writes scaling.json, scaling.md
// and figures to --out, which must exist. If it has a scaling.json of the same
// preset and machine, only what is missing there is measured.

#include <cstdio>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "bench/scaling/run.h"
#include "kernels/core/program.h"
#include "model/mixers/mixer.h"

ABSL_FLAG(std::string, preset, "cpu",
          "cpu (under 3 minutes), paper (a GPU) or tiny (a check)");
ABSL_FLAG(std::string, out, ".", "folder of the results");
ABSL_FLAG(std::vector<std::string>, mixers, {},
          "names of mixers, or two joined by '+'; 'all' = the registry");
ABSL_FLAG(int, threads, 0, "threads of the CPU; 0 = one for each core");
ABSL_FLAG(bool, list, false, "print the cells and stop");

namespace lt2::bench {
namespace {

absl::Status Main(const std::string& command) {
  LT2_ASSIGN_OR_RETURN(Preset preset, MakePreset(absl::GetFlag(FLAGS_preset)));
  const std::vector<std::string> mixers = absl::GetFlag(FLAGS_mixers);
  if (mixers == std::vector<std::string>{"all"}) {
    preset.mixers = model::MixerNames();
  } else if (!mixers.empty()) {
    preset.mixers = mixers;
  }
  if (absl::GetFlag(FLAGS_list)) {
    for (const Cell& cell : CellsOf(preset)) {
      std::printf("%s\n", cell.Key().c_str());
    }
    return absl::OkStatus();
  }
  RunOptions options;
  options.out = absl::GetFlag(FLAGS_out);
  options.threads = absl::GetFlag(FLAGS_threads);
  if (options.threads < 0) {
    return InvalidArgument("--threads is ", options.threads,
                           ", must be at least 0");
  }
  if (options.threads == 0) {
    options.threads = static_cast<int>(std::thread::hardware_concurrency());
  }
  options.command = command;
  options.progress = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  LT2_ASSIGN_OR_RETURN(const RunSummary summary, RunPreset(preset, options));
  std::printf("%d rows measured, %d taken from before, %d pending%s\n",
              summary.measured, summary.taken, summary.pending,
              summary.pending > 0 ? ": run again to continue" : "");
  if (!summary.notes.empty()) std::printf("%s\n", summary.notes.c_str());
  std::printf("%s/scaling.md\n", options.out.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Measures how the models' cost scales.");
  std::string command = "bazel run //bench:scaling";
  if (argc > 1) {
    absl::StrAppend(&command, " -- ",
                    absl::StrJoin(argv + 1, argv + argc, " "));
  }
  absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  const absl::Status status = lt2::bench::Main(command);
  if (!status.ok()) {
    std::fprintf(stderr, "scaling: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
