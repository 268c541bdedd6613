// bazel run //evals:leaderboard [-- flags]
//
// Evaluates the checkpoints of testdata/checkpoints, prints a table and writes
// results.json and results.md. Needs nothing but the repository; with
// --data_dir it also scores the real text there.
//
// Exit codes: 0 done, 1 error.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "evals/ranking/lm_rows.h"
#include "evals/ranking/report.h"
#include "evals/ranking/run.h"
#include "kernels/core/context.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"

ABSL_FLAG(std::vector<std::string>, models, {},
          "models to evaluate, comma-separated; default all");
ABSL_FLAG(std::vector<std::string>, tasks, {},
          "columns to evaluate, comma-separated; default all");
ABSL_FLAG(std::string, sample, "",
          "n:seed, a random sample of n examples of each column");
ABSL_FLAG(std::vector<std::string>, loops, {},
          "loop counts to evaluate with; default each model's own");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int, threads, 0, "evaluations at a time; 0 = one for each core");
ABSL_FLAG(std::string, out, ".", "folder for results.json and results.md");
ABSL_FLAG(std::string, data_dir, "",
          "folder with corpus/: also scores the real text there");
ABSL_FLAG(std::vector<std::string>, lm, {},
          "results.json files of //evals:lm whose scores to show too");
ABSL_FLAG(std::string, checkpoints, "",
          "folder FAMILY/MODEL/; default the repository's");

namespace lt2::evals {
namespace {

absl::Status ParseFlags(LeaderboardOptions* options) {
  options->models = absl::GetFlag(FLAGS_models);
  options->columns = absl::GetFlag(FLAGS_tasks);
  options->data_dir = absl::GetFlag(FLAGS_data_dir);
  for (const std::string& text : absl::GetFlag(FLAGS_loops)) {
    int64_t loops;
    if (!absl::SimpleAtoi(text, &loops) || loops < 1 || loops > 1024) {
      return InvalidArgument("--loops: expected counts from 1 to 1024, got '",
                             text, "'");
    }
    options->loops.push_back(loops);
  }
  const std::string sample = absl::GetFlag(FLAGS_sample);
  if (!sample.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(sample, ':');
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &options->sample) ||
        !absl::SimpleAtoi(parts[1], &options->sample_seed) ||
        options->sample < 1) {
      return InvalidArgument("--sample: expected n:seed with n >= 1, got '",
                             sample, "'");
    }
  }
  const std::string device = absl::GetFlag(FLAGS_device);
  if (device != "cpu" && device != "cuda") {
    return InvalidArgument("--device: expected cpu or cuda, got '", device,
                           "'");
  }
  options->device = device == "cuda" ? Device::kCUDA : Device::kCPU;
  options->threads = absl::GetFlag(FLAGS_threads);
  if (options->threads <= 0) {
    options->threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  return absl::OkStatus();
}

absl::Status Main(const std::string& command, LeaderboardOptions options) {
  LT2_RETURN_IF_ERROR(ParseFlags(&options));
  // Before the work, so that none is lost for want of a folder.
  const std::string out = absl::GetFlag(FLAGS_out);
  LT2_RETURN_IF_ERROR(model::MakeFolder(out));
  const bool terminal = isatty(STDERR_FILENO) != 0;
  const auto start = std::chrono::steady_clock::now();
  auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
        .count();
  };
  auto progress = [&](int64_t done, int64_t total) {
    if (!terminal && done % 10 != 0 && done != total) return;
    std::fprintf(stderr, "%s%lld of %lld evaluations, about %.0f s left%s",
                 terminal ? "\r\033[K" : "", static_cast<long long>(done),
                 static_cast<long long>(total),
                 seconds() / static_cast<double>(done) *
                     static_cast<double>(total - done),
                 terminal && done != total ? "" : "\n");
  };
  // Read before the work, so that an error costs nothing.
  std::vector<Row> lm_rows;
  for (const std::string& path : absl::GetFlag(FLAGS_lm)) {
    LT2_ASSIGN_OR_RETURN(const std::vector<Row> more, ReadLmRows(path));
    lm_rows.insert(lm_rows.end(), more.begin(), more.end());
  }
  LT2_ASSIGN_OR_RETURN(std::vector<Row> rows,
                       RunLeaderboard(options, progress));
  rows.insert(rows.end(), lm_rows.begin(), lm_rows.end());
  LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(options.device));
  RunInfo info;
  info.build = absl::StrCat("g++ ", __VERSION__,
                            LT2_HAVE_CUDA ? " with CUDA" : " without CUDA");
  info.machine = ctx->info().name;
  info.command = command;
  info.seconds = seconds();
  std::fputs(TextReport(rows, info).c_str(), stdout);
  const std::string json_path = out + "/results.json";
  const std::string markdown_path = out + "/results.md";
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      json_path, JsonReport(rows, info).dump() + "\n"));
  LT2_RETURN_IF_ERROR(
      model::WriteFileAtomically(markdown_path, MarkdownReport(rows, info)));
  std::printf("wrote %s and %s\n", json_path.c_str(), markdown_path.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::evals

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Evaluates and ranks looped models.\n  leaderboard [--models=...] "
      "[--tasks=...] [--sample=n:seed] [--loops=1,2,4] [--device=cpu]");
  absl::ParseCommandLine(argc, argv);
  std::string command = "bazel run //evals:leaderboard";
  if (argc > 1) {
    command += " -- " + absl::StrJoin(argv + 1, argv + argc, " ");
  }
  lt2::evals::LeaderboardOptions options;
  // The repository's files are where Bazel starts the program.
  char directory[4096];
  if (getcwd(directory, sizeof(directory)) != nullptr) {
    options.repository = directory;
  }
  options.checkpoints = absl::GetFlag(FLAGS_checkpoints);
  lt2::EnterCallersDirectory();
  if (options.checkpoints.empty()) {
    options.checkpoints = options.repository + "/testdata/checkpoints";
  }
  const absl::Status status = lt2::evals::Main(command, options);
  if (!status.ok()) {
    std::fprintf(stderr, "leaderboard: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
