// bazel run //tools:train -- --config=FILE --out=FOLDER [--set key=value ...]
//
// Trains a looped model. See tools/training/train_config.h for the
// configuration and README.md for recipes.
//
// Exit codes: 0 done, 1 error, 130 stopped by Ctrl-C (after a checkpoint).

#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/program.h"
#include "model/io/atomic_file.h"
#include "tools/overrides.h"
#include "tools/training/trainer.h"

ABSL_FLAG(std::string, config, "", "JSON configuration of the run");
ABSL_FLAG(std::string, out, "",
          "folder for log and checkpoints; default run-NAME");
ABSL_FLAG(std::string, device, "cpu", "cpu or cuda");
ABSL_FLAG(int, threads, 0, "CPU threads; 0 = all");
ABSL_FLAG(bool, resume, false, "continue from the checkpoint in --out");
ABSL_FLAG(std::string, data_dir, "",
          "where relative paths of text tasks start; default $LT2_DATA_DIR");
ABSL_FLAG(double, time_limit, 0,
          "seconds after which the run ends as if done; 0 = none");
ABSL_FLAG(double, peak_tflops, 0,
          "the device's peak for MFU; 0 = by its name, if known");

namespace lt2::tools {
namespace {

std::atomic<bool> stop_requested{false};

void OnInterrupt(int) {
  // A second Ctrl-C kills: the default action is back.
  std::signal(SIGINT, SIG_DFL);
  stop_requested.store(true);
}

absl::StatusOr<RunResult> Main(const std::vector<std::string>& overrides) {
  const std::string path = absl::GetFlag(FLAGS_config);
  if (path.empty()) return InvalidArgument("--config is missing");
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, path));
  for (const std::string& override_text : overrides) {
    LT2_RETURN_IF_ERROR(ApplyOverride(override_text, &json));
  }
  std::string data_dir = absl::GetFlag(FLAGS_data_dir);
  if (data_dir.empty() && std::getenv("LT2_DATA_DIR") != nullptr) {
    data_dir = std::getenv("LT2_DATA_DIR");
  }
  auto config = ReadTrainConfig(json, data_dir);
  if (!config.ok()) return Annotate(config.status(), path);
  RunOptions options;
  options.out = absl::GetFlag(FLAGS_out);
  if (options.out.empty()) options.out = "run-" + config->name;
  const std::string device = absl::GetFlag(FLAGS_device);
  if (device != "cpu" && device != "cuda") {
    return InvalidArgument("--device is '", device, "', must be cpu or cuda");
  }
  options.device = device == "cuda" ? Device::kCUDA : Device::kCPU;
  options.threads = absl::GetFlag(FLAGS_threads);
  if (options.threads <= 0) {
    options.threads =
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  }
  options.resume = absl::GetFlag(FLAGS_resume);
  options.peak_flops = absl::GetFlag(FLAGS_peak_tflops) * 1e12;
  options.time_limit = absl::GetFlag(FLAGS_time_limit);
  options.stop = &stop_requested;
  std::signal(SIGINT, OnInterrupt);
  std::signal(SIGTERM, OnInterrupt);
  return Train(*config, options);
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  const std::vector<std::string> overrides =
      lt2::tools::TakeOverrides(&argc, argv);
  absl::SetProgramUsageMessage(
      "Trains a looped model.\n"
      "  train --config=FILE [--out=FOLDER] [--set model.loop_count=4 ...]");
  absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  const auto result = lt2::tools::Main(overrides);
  if (!result.ok()) {
    std::fprintf(stderr, "train: %s\n",
                 std::string(result.status().message()).c_str());
    return 1;
  }
  return result->finished ? 0 : 130;
}
