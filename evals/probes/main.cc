// bazel run //evals:probes [-- flags]
//
// Measures what no score shows: rank, receptive field, stability, depth, places
// (see README.md). Prints tables and writes PROBE.json, PROBE.md and PROBE.svg.
//
// Exit codes: 0 done, 1 error.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_join.h"
#include "evals/probes/depth.h"
#include "evals/probes/places.h"
#include "evals/probes/rank.h"
#include "evals/probes/receptive.h"
#include "evals/probes/stability.h"
#include "kernels/core/context.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"

ABSL_FLAG(std::vector<std::string>, probe,
          (std::vector<std::string>{"rank", "receptive", "stability", "depth",
                                    "places"}),
          "probes, comma-separated");
ABSL_FLAG(std::vector<std::string>, models, {},
          "checkpoints, MODEL or FAMILY/MODEL, comma-separated; default all");
ABSL_FLAG(std::vector<std::string>, mixers, {},
          "what stability trains, comma-separated; default all");
ABSL_FLAG(std::string, preset, "small", "of stability: small, or large (GPU)");
ABSL_FLAG(int64_t, steps, 0, "of stability; 0 = the preset's");
ABSL_FLAG(int64_t, examples, 64, "examples of each task");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int, threads, 0, "models at a time; 0 = one for each core");
ABSL_FLAG(std::string, out, ".", "folder of the results");
ABSL_FLAG(std::string, data_dir, "",
          "folder with corpus/: stability trains on the real text there");
ABSL_FLAG(std::string, checkpoints, "",
          "folder FAMILY/MODEL/; default the repository's");

namespace lt2::evals {
namespace {

struct Entry {
  const char* name;
  absl::StatusOr<ProbeReport> (*run)(const ProbeOptions&);
};
constexpr Entry kProbes[] = {{"rank", RankProbe},
                             {"receptive", ReceptiveProbe},
                             {"stability", StabilityProbe},
                             {"depth", DepthProbe},
                             {"places", PlacesProbe}};

absl::Status ParseFlags(ProbeOptions* options) {
  options->models = absl::GetFlag(FLAGS_models);
  options->mixers = absl::GetFlag(FLAGS_mixers);
  options->data_dir = absl::GetFlag(FLAGS_data_dir);
  const std::string preset = absl::GetFlag(FLAGS_preset);
  if (preset != "small" && preset != "large") {
    return InvalidArgument("--preset: expected small or large, got '", preset,
                           "'");
  }
  options->large = preset == "large";
  const std::string device = absl::GetFlag(FLAGS_device);
  if (device != "cpu" && device != "cuda") {
    return InvalidArgument("--device: expected cpu or cuda, got '", device,
                           "'");
  }
  options->device = device == "cuda" ? Device::kCUDA : Device::kCPU;
  options->steps = absl::GetFlag(FLAGS_steps);
  options->examples = absl::GetFlag(FLAGS_examples);
  if (options->steps < 0 || options->examples < 1) {
    return InvalidArgument("--steps must be >= 0 and --examples >= 1");
  }
  options->threads = absl::GetFlag(FLAGS_threads);
  if (options->threads <= 0) {
    options->threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  for (const std::string& name : absl::GetFlag(FLAGS_probe)) {
    bool known = false;
    std::vector<std::string> names;
    for (const Entry& entry : kProbes) {
      known |= name == entry.name;
      names.push_back(entry.name);
    }
    if (!known) {
      return InvalidArgument("--probe: no probe '", name,
                             "'; there are: ", absl::StrJoin(names, ", "));
    }
  }
  return absl::OkStatus();
}

absl::Status RunOne(const Entry& entry, const ProbeOptions& options,
                    ProbeRun run) {
  const auto start = std::chrono::steady_clock::now();
  LT2_ASSIGN_OR_RETURN(const ProbeReport report, entry.run(options));
  run.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  std::printf("%s\n", ProbeText(report, run).c_str());
  const std::string path = absl::GetFlag(FLAGS_out) + "/" + report.probe;
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(
      path + ".json", ProbeJson(report, run).dump() + "\n"));
  LT2_RETURN_IF_ERROR(
      model::WriteFileAtomically(path + ".md", ProbeMarkdown(report, run)));
  const absl::StatusOr<std::string> svg = RenderSvg(report.figure);
  if (absl::IsNotFound(svg.status())) {
    std::printf("wrote %s.json and .md, no plot: %s\n\n", path.c_str(),
                std::string(svg.status().message()).c_str());
    return absl::OkStatus();
  }
  LT2_RETURN_IF_ERROR(svg.status());
  LT2_RETURN_IF_ERROR(model::WriteFileAtomically(path + ".svg", *svg));
  std::printf("wrote %s.json, .md and .svg\n\n", path.c_str());
  return absl::OkStatus();
}

absl::Status Main(const std::string& command, ProbeOptions options) {
  LT2_RETURN_IF_ERROR(ParseFlags(&options));
  options.progress = [](const std::string& line) {
    std::fprintf(stderr, "%s\n", line.c_str());
  };
  LT2_RETURN_IF_ERROR(model::MakeFolder(absl::GetFlag(FLAGS_out)));
  LT2_ASSIGN_OR_RETURN(const auto ctx, Context::Create(options.device));
  ProbeRun run;
  run.build = absl::StrCat("g++ ", __VERSION__,
                           LT2_HAVE_CUDA ? " with CUDA" : " without CUDA");
  run.machine = ctx->info().name;
  run.command = command;
  for (const Entry& entry : kProbes) {
    for (const std::string& name : absl::GetFlag(FLAGS_probe)) {
      if (name == entry.name) {
        LT2_RETURN_IF_ERROR(RunOne(entry, options, run));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::evals

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Probes of looped models.\n  probes [--probe=rank,receptive,stability,"
      "depth,places] [--models=...] [--device=cpu] [--out=FOLDER]");
  absl::ParseCommandLine(argc, argv);
  std::string command = "bazel run //evals:probes";
  if (argc > 1) {
    command += " -- " + absl::StrJoin(argv + 1, argv + argc, " ");
  }
  lt2::evals::ProbeOptions options;
  // The repository's files are where Bazel starts the program.
  char directory[4096];
  if (getcwd(directory, sizeof(directory)) != nullptr) {
    options.repository = directory;
  }
  lt2::EnterCallersDirectory();
  options.checkpoints = absl::GetFlag(FLAGS_checkpoints);
  if (options.checkpoints.empty()) {
    options.checkpoints = options.repository + "/testdata/checkpoints";
  }
  const absl::Status status = lt2::evals::Main(command, options);
  if (!status.ok()) {
    std::fprintf(stderr, "probes: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
