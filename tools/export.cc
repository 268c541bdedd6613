// bazel run //tools:export -- FOLDER OUT [--layout=ours|ouro]
//     [--dtype=bf16|f32] [--shard_mb=N] [--set key=value ...]
//
// Reads a model's folder (ours, an Ouro's or a hybrid's) and writes it again:
// config.json and safetensors that PyTorch reads. --set changes keys of our
// model configuration; "--set layer_pattern=interleaved:3:1:gdn:full" makes the
// hybrid that distillation starts from out of an Ouro.

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/program.h"
#include "model/hf/export_folder.h"
#include "model/hf/hf_folder.h"
#include "tools/overrides.h"

ABSL_FLAG(std::string, layout, "ours",
          "names of tensors and keys: ours, or ouro (for an Ouro's own code)");
ABSL_FLAG(std::string, dtype, "bf16", "type of the stored weights: bf16, f32");
ABSL_FLAG(int64_t, shard_mb, 0,
          "write shards of at most so many MB; 0 = one file");
ABSL_FLAG(uint64_t, seed, 0, "of first values that a hybrid needs");

namespace lt2::tools {
namespace {

constexpr char kUsage[] =
    "Writes a model's folder in another layout or type.\n"
    "  export FOLDER OUT [--layout=ours|ouro] [--dtype=bf16|f32]\n"
    "         [--shard_mb=N] [--seed=N] [--set key=value ...]";

// "a.b=1" as {"a": {"b": 1}}; what is not JSON is a string.
absl::StatusOr<nlohmann::json> Changes(
    const std::vector<std::string>& overrides) {
  nlohmann::json all = nlohmann::json::object();
  for (const std::string& assignment : overrides) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      return InvalidArgument("--set ", assignment, ": expected key=value");
    }
    const std::string text = assignment.substr(equals + 1);
    const auto parsed = ParseJson(text, "--set " + assignment);
    nlohmann::json value = parsed.ok() ? *parsed : nlohmann::json(text);
    std::string path = assignment.substr(0, equals);
    for (size_t dot; (dot = path.rfind('.')) != std::string::npos;) {
      value = {{path.substr(dot + 1), value}};
      path.resize(dot);
    }
    all.merge_patch({{path, value}});
  }
  return all;
}

absl::Status Main(const std::vector<char*>& arguments,
                  const std::vector<std::string>& overrides) {
  if (arguments.size() != 3) {
    return InvalidArgument("expected FOLDER and OUT, got ",
                           arguments.size() - 1, " arguments\n", kUsage);
  }
  model::ExportOptions options;
  const std::string layout = absl::GetFlag(FLAGS_layout);
  const std::string dtype = absl::GetFlag(FLAGS_dtype);
  if (layout != "ours" && layout != "ouro") {
    return InvalidArgument("--layout is '", layout, "', must be ours or ouro");
  }
  if (dtype != "bf16" && dtype != "f32") {
    return InvalidArgument("--dtype is '", dtype, "', must be bf16 or f32");
  }
  if (absl::GetFlag(FLAGS_shard_mb) < 0) {
    return InvalidArgument("--shard_mb is ", absl::GetFlag(FLAGS_shard_mb),
                           ", must be at least 0");
  }
  options.layout = layout == "ouro" ? model::FolderLayout::kOuro
                                    : model::FolderLayout::kOurs;
  options.dtype = dtype == "f32" ? DType::kF32 : DType::kBF16;
  options.shard_bytes = absl::GetFlag(FLAGS_shard_mb) * 1000000;
  model::LoadOptions load;
  load.seed = absl::GetFlag(FLAGS_seed);
  LT2_ASSIGN_OR_RETURN(load.model, Changes(overrides));
  LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(Device::kCPU));
  LT2_ASSIGN_OR_RETURN(const model::LoadedModel loaded,
                       model::LoadModelFolder(*ctx, arguments[1], load));
  for (const std::string& note : loaded.notes) {
    std::fprintf(stderr, "export: %s\n", note.c_str());
  }
  // The rest of a run's configuration; an Ouro's is written anew.
  if (loaded.config_json.contains("model")) options.config = loaded.config_json;
  LT2_RETURN_IF_ERROR(
      model::ExportModelFolder(*loaded.model, arguments[2], options));
  std::printf("%s: %zu tensors, %s, layout %s\n", arguments[2],
              loaded.model->parameters().size(), dtype.c_str(), layout.c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace lt2::tools

int main(int argc, char** argv) {
  const std::vector<std::string> overrides =
      lt2::tools::TakeOverrides(&argc, argv);
  absl::SetProgramUsageMessage(lt2::tools::kUsage);
  const std::vector<char*> arguments = absl::ParseCommandLine(argc, argv);
  lt2::EnterCallersDirectory();
  const absl::Status status = lt2::tools::Main(arguments, overrides);
  if (!status.ok()) {
    std::fprintf(stderr, "export: %s\n", std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
