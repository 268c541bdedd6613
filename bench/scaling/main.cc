// bazel run //bench:scaling -- [--preset=cpu|paper|peers] [--out=FOLDER]
//     [--mixers=full,gdn,...] [--time_limit=SECONDS] [--processes=N]
//     [--threads=N] [--clock=wall|cpu] [--list] [--render=FOLDER]
//
// Measures what the looped models and their operators cost by phase, mixer,
// length, loops and batch; bench/README.md explains the numbers. Writes
// scaling.json, scaling.md and figures to --out, which must exist. If it has a
// scaling.json of the same preset and machine, only what is missing there is
// measured. --render measures nothing and draws a folder's results again.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

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
          "cpu (under 3 minutes), paper or peers (a GPU), or tiny (a check)");
ABSL_FLAG(std::string, out, ".", "folder of the results");
ABSL_FLAG(std::vector<std::string>, mixers, {},
          "names of mixers, or two joined by '+'; 'all' = the registry");
ABSL_FLAG(int, threads, 0, "threads of the CPU; 0 = one for each core");
ABSL_FLAG(double, time_limit, 0,
          "seconds of this run; 0 = the preset's. Run again to continue");
ABSL_FLAG(int, processes, 1,
          "a row is whole with the medians of that many runs; each adds one");
ABSL_FLAG(std::string, clock, "wall",
          "of times on the CPU: wall, or cpu: the processor's time of this "
          "process, for machines where other programs run");
ABSL_FLAG(bool, keep_errors, false, "do not try rows with an error again");
ABSL_FLAG(std::string, render, "",
          "folder with a scaling.json: write its tables and figures, and stop");
ABSL_FLAG(bool, list, false, "print the cells and stop");

namespace lt2::bench {
namespace {

// Runs this program again with what time is left, for the rows after one that
// took the device away.
absl::Status Continue(int argc, char** argv, double seconds_left) {
  std::vector<std::string> arguments(argv, argv + argc);
  arguments.push_back("--keep_errors");
  arguments.push_back(absl::StrCat("--time_limit=", seconds_left));
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  std::fprintf(stderr, "the device failed: going on in a new process\n");
  execv("/proc/self/exe", pointers.data());
  return absl::InternalError("cannot start this program again");
}

absl::Status Main(const std::string& command, int argc, char** argv) {
  const auto start = std::chrono::steady_clock::now();
  if (!absl::GetFlag(FLAGS_render).empty()) {
    LT2_ASSIGN_OR_RETURN(const std::string notes,
                         RenderFolder(absl::GetFlag(FLAGS_render)));
    if (!notes.empty()) std::printf("%s\n", notes.c_str());
    return absl::OkStatus();
  }
  LT2_ASSIGN_OR_RETURN(Preset preset, MakePreset(absl::GetFlag(FLAGS_preset)));
  const std::vector<std::string> mixers = absl::GetFlag(FLAGS_mixers);
  if (mixers == std::vector<std::string>{"all"}) {
    preset.mixers = model::MixerNames();
  } else if (!mixers.empty()) {
    preset.mixers = mixers;
  }
  const double limit = absl::GetFlag(FLAGS_time_limit);
  preset.processes = absl::GetFlag(FLAGS_processes);
  if (!(limit >= 0) || preset.processes < 1) {
    return InvalidArgument("--time_limit is ", limit, ", must be at least 0; ",
                           "--processes is ", preset.processes,
                           ", must be at least 1");
  }
  if (limit > 0) preset.total_seconds = limit;
  const std::string clock = absl::GetFlag(FLAGS_clock);
  if (clock != "wall" && clock != "cpu") {
    return InvalidArgument("--clock is '", clock, "', must be wall or cpu");
  }
  preset.cpu_clock = clock == "cpu" && preset.device == Device::kCPU;
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
  options.keep_errors = absl::GetFlag(FLAGS_keep_errors);
  options.progress = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  LT2_ASSIGN_OR_RETURN(const RunSummary summary, RunPreset(preset, options));
  const double left =
      preset.total_seconds -
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (summary.device_lost && summary.pending > 0 && left > 5) {
    return Continue(argc, argv, left);
  }
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
  const absl::Status status = lt2::bench::Main(command, argc, argv);
  if (!status.ok()) {
    std::fprintf(stderr, "scaling: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
