// Trains the grid of a preset and reports it: //evals:curriculum.

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "evals/curricula/preset.h"
#include "evals/curricula/report.h"
#include "evals/curricula/results.h"
#include "evals/curricula/results_folder.h"
#include "evals/curricula/schedule.h"
#include "kernels/core/context.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"

ABSL_FLAG(std::string, preset, "",
          "figure9, mqar, words, ... or a file that ends with .json");
ABSL_FLAG(std::string, out, "", "folder of the runs, results.json, results.md");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int, jobs, 0, "trainings at a time on each GPU; 0 = cores");
ABSL_FLAG(int, gpus, 1, "number of GPUs");
ABSL_FLAG(std::string, seeds, "", "these seeds of the preset only, e.g. 1,2");
ABSL_FLAG(std::string, only, "",
          "these runs or rows only: shell patterns, comma-separated");
ABSL_FLAG(double, time_limit, 0,
          "seconds after which runs save and stop, to be continued; 0 = none");
ABSL_FLAG(double, slice, 0,
          "seconds after which a run makes room for one that waits; 0 = never");
ABSL_FLAG(bool, retry, false, "try failed runs again");
ABSL_FLAG(std::string, patch, "",
          "JSON merged into every run, e.g. {\"train\":{\"steps\":500}}");
ABSL_FLAG(double, success, 0,
          "stage or accuracy of the success table; 0 = the preset's");
ABSL_FLAG(std::string, merge, "",
          "folders whose results.json are merged into --out, comma-separated");
ABSL_FLAG(bool, report, false,
          "train nothing, only report the runs that --out has");
ABSL_FLAG(bool, dry_run, false, "print the queue, train nothing");
ABSL_FLAG(std::string, train, "", "the program //tools:train, if elsewhere");
ABSL_FLAG(std::string, data_dir, "",
          "where relative paths of text tasks start; default $LT2_DATA_DIR");

namespace lt2::evals {
namespace {

std::atomic<int> interrupts{0};

void OnInterrupt(int) { interrupts.fetch_add(1); }

// Where the repository's files are: Bazel and the GPU bundle start programs
// in a folder that has them under the same relative names.
struct Places {
  std::string presets, train;
};

Places FindPlaces() {
  char directory[4096];
  const std::string here =
      getcwd(directory, sizeof(directory)) != nullptr ? directory : ".";
  Places places;
  places.presets = here + "/evals/curricula/presets";
  for (const char* path : {"/tools/train", "/programs/train"}) {
    if (access((here + path).c_str(), X_OK) == 0) {
      places.train = here + path;
      break;
    }
  }
  return places;
}

absl::Status MergeFolders(const std::string& out) {
  const std::vector<std::string> folders =
      absl::StrSplit(absl::GetFlag(FLAGS_merge), ',');
  LT2_ASSIGN_OR_RETURN(Results merged, ReadResultsFolder(folders[0]));
  std::vector<std::string> warnings;
  for (size_t i = 1; i < folders.size(); ++i) {
    LT2_ASSIGN_OR_RETURN(const Results more, ReadResultsFolder(folders[i]));
    LT2_ASSIGN_OR_RETURN(merged, Merge(merged, more, &warnings));
  }
  for (const std::string& warning : warnings) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
  LT2_RETURN_IF_ERROR(model::MakeFolder(out));
  LT2_RETURN_IF_ERROR(
      WriteResultsFolder(merged, absl::GetFlag(FLAGS_success), out));
  std::fputs(Report(merged, absl::GetFlag(FLAGS_success), false).c_str(),
             stdout);
  return absl::OkStatus();
}

// The runs that --seeds and --only select.
absl::StatusOr<std::vector<PlannedRun>> Select(const Preset& preset) {
  std::vector<std::string> seeds;
  if (!absl::GetFlag(FLAGS_seeds).empty()) {
    seeds = absl::StrSplit(absl::GetFlag(FLAGS_seeds), ',');
  }
  std::vector<PlannedRun> runs;
  for (const PlannedRun& run : preset.runs) {
    const bool wanted =
        seeds.empty() || std::find(seeds.begin(), seeds.end(),
                                   absl::StrCat(run.seed)) != seeds.end();
    if (wanted && Selected(absl::GetFlag(FLAGS_only), run)) {
      runs.push_back(run);
    }
  }
  if (runs.empty()) {
    return InvalidArgument("--only and --seeds select none of the ",
                           preset.runs.size(), " runs; --dry_run lists them");
  }
  return runs;
}

// Collects, writes and prints.
absl::StatusOr<Results> ReportRuns(const Preset& preset,
                                   const std::vector<PlannedRun>& selected,
                                   const std::string& out,
                                   const std::string& command) {
  LT2_ASSIGN_OR_RETURN(Results results,
                       CollectRuns(preset, selected, out + "/runs"));
  results.build = absl::StrCat("g++ ", __VERSION__,
                               LT2_HAVE_CUDA ? " with CUDA" : " without CUDA");
  results.command = command;
  LT2_RETURN_IF_ERROR(
      WriteResultsFolder(results, absl::GetFlag(FLAGS_success), out));
  std::fputs(Report(results, absl::GetFlag(FLAGS_success), false).c_str(),
             stdout);
  std::printf("wrote %s/results.json and results.md\n", out.c_str());
  return results;
}

absl::StatusOr<int> TrainPreset(const Places& places, const std::string& out,
                                const std::string& command) {
  nlohmann::json patch = nlohmann::json::object();
  if (!absl::GetFlag(FLAGS_patch).empty()) {
    LT2_ASSIGN_OR_RETURN(patch,
                         ParseJson(absl::GetFlag(FLAGS_patch), "--patch"));
  }
  LT2_ASSIGN_OR_RETURN(
      const Preset preset,
      ReadPreset(places.presets, absl::GetFlag(FLAGS_preset), patch));
  LT2_ASSIGN_OR_RETURN(const std::vector<PlannedRun> runs, Select(preset));
  if (absl::GetFlag(FLAGS_dry_run)) {
    for (const PlannedRun& run : runs) std::printf("%s\n", run.name.c_str());
    return 0;
  }
  if (out.empty()) return InvalidArgument("--out is missing");
  if (absl::GetFlag(FLAGS_report)) {
    LT2_RETURN_IF_ERROR(
        ReportRuns(preset, /*selected=*/{}, out, command).status());
    return 0;
  }
  ScheduleOptions options;
  options.train = places.train;
  if (options.train.empty()) {
    return absl::NotFoundError("no program tools/train; give --train");
  }
  options.device = absl::GetFlag(FLAGS_device);
  if (options.device != "cpu" && options.device != "cuda") {
    return InvalidArgument("--device is '", options.device,
                           "', must be cpu or cuda");
  }
  LT2_ASSIGN_OR_RETURN(
      auto ctx,
      Context::Create(options.device == "cuda" ? Device::kCUDA : Device::kCPU));
  options.machine = ctx->info().name;
  ctx.reset();
  options.runs = out + "/runs";
  LT2_RETURN_IF_ERROR(model::MakeFolder(out));
  LT2_RETURN_IF_ERROR(model::MakeFolder(options.runs));
  // What is there of another preset or patch is an error now, not at the end.
  LT2_RETURN_IF_ERROR(CollectRuns(preset, runs, options.runs).status());
  // Held until the program ends.
  const int lock =
      open((out + "/.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
  if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another curriculum program is working in ", out));
  }
  options.jobs = absl::GetFlag(FLAGS_jobs);
  if (options.jobs <= 0) {
    options.jobs =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  options.gpus = std::max(1, absl::GetFlag(FLAGS_gpus));
  options.time_limit = absl::GetFlag(FLAGS_time_limit);
  options.slice = absl::GetFlag(FLAGS_slice);
  options.retry = absl::GetFlag(FLAGS_retry);
  options.data_dir = absl::GetFlag(FLAGS_data_dir);
  options.interrupts = &interrupts;
  const bool terminal = isatty(STDERR_FILENO) != 0;
  options.tell = [&](const std::string& line) {
    if (terminal) std::fputs("\r\033[K", stderr);
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  };
  int calls = 0;
  options.progress = [&](const std::string& text) {
    if (terminal) {
      std::fprintf(stderr, "\r\033[K%.110s", text.c_str());
    } else if (calls++ % 60 == 0) {
      std::fprintf(stderr, "%s\n", text.c_str());
    }
  };
  signal(SIGINT, OnInterrupt);
  signal(SIGTERM, OnInterrupt);
  LT2_ASSIGN_OR_RETURN(const ScheduleEnd end, RunAll(preset, runs, options));
  if (terminal) std::fputs("\r\033[K", stderr);

  LT2_ASSIGN_OR_RETURN(const Results results,
                       ReportRuns(preset, runs, out, command));
  if (end == ScheduleEnd::kInterrupted) return 130;
  if (end == ScheduleEnd::kTimeLimit) return 3;
  for (const RunOutcome& run : results.runs) {
    if (run.status == RunStatus::kFailed) return 2;
  }
  return 0;
}

absl::StatusOr<int> Main(const std::string& command) {
  Places places = FindPlaces();
  EnterCallersDirectory();
  const auto absolute = [](const std::string& path) {
    char directory[4096];
    if (path.empty() || path[0] == '/' ||
        getcwd(directory, sizeof(directory)) == nullptr) {
      return path;
    }
    return absl::StrCat(directory, "/", path);
  };
  if (!absl::GetFlag(FLAGS_train).empty()) {
    places.train = absolute(absl::GetFlag(FLAGS_train));
  }
  const std::string out = absolute(absl::GetFlag(FLAGS_out));
  if (!absl::GetFlag(FLAGS_merge).empty()) {
    if (out.empty()) return InvalidArgument("--out is missing");
    LT2_RETURN_IF_ERROR(MergeFolders(out));
    return 0;
  }
  if (absl::GetFlag(FLAGS_preset).empty()) {
    return InvalidArgument("--preset is missing");
  }
  return TrainPreset(places, out, command);
}

}  // namespace
}  // namespace lt2::evals

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Trains the grid of a preset and reports it.\n"
      "  curriculum --preset=figure9 --out=DIR [--device=cuda] [--jobs=N]\n"
      "  curriculum --preset=figure9 --out=DIR --report\n"
      "  curriculum --merge=DIR,DIR --out=DIR\n"
      "Exit codes: 0 all done, 1 an error, 2 some runs failed, 3 the time "
      "limit, 130 Ctrl-C; after the last two the same command continues.");
  std::string command = "bazel run //evals:curriculum";
  if (argc > 1) {
    command += " -- " + absl::StrJoin(argv + 1, argv + argc, " ");
  }
  absl::ParseCommandLine(argc, argv);
  const auto code = lt2::evals::Main(command);
  if (!code.ok()) {
    std::fprintf(stderr, "curriculum: %s\n",
                 std::string(code.status().message()).c_str());
    return 1;
  }
  return *code;
}
