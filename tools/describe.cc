// bazel run //tools:describe -- CONFIG [--set key=value ...] [--length=N]
//     [--batch=B] [--loops=T] [--activation=bf16|f32] [--notensors] [--json]
//
// Shows what a configuration is and what it costs: which mixer each loop and
// layer has, parameters, FLOPs, bytes that decoding reads, states. CONFIG is a
// run's or a model's JSON file or a model's folder (ours or an Ouro's). Of a
// folder with weights it lists the tensors too, and what is missing, wrong or
// too much, in which case it exits with 1.

#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "kernels/core/program.h"
#include "tools/description/description.h"
#include "tools/description/folder.h"
#include "tools/overrides.h"

ABSL_FLAG(int64_t, length, 4096, "tokens of a sequence");
ABSL_FLAG(int64_t, batch, 1, "sequences that decode together");
ABSL_FLAG(int64_t, loops, 0, "loops at inference; 0 = the model's loop_count");
ABSL_FLAG(std::string, activation, "bf16",
          "type of activations, matrices and caches: bf16 (a GPU's) or f32");
ABSL_FLAG(bool, tensors, true, "list the tensors of a folder");
ABSL_FLAG(bool, json, false, "print JSON");

namespace lt2::tools {
namespace {

constexpr char kUsage[] =
    "Shows what a model's configuration is and what it costs.\n"
    "  describe CONFIG [--set key=value ...] [--length=N] [--batch=B]\n"
    "           [--loops=T] [--activation=bf16|f32]\n"
    "           [--notensors] [--json]\n"
    "CONFIG: a JSON file of a run or of a model, or a model's folder.";

absl::Status Main(const std::vector<char*>& arguments,
                  const std::vector<std::string>& overrides) {
  if (arguments.size() != 2) {
    return InvalidArgument("expected one CONFIG, got ", arguments.size() - 1,
                           "\n", kUsage);
  }
  DescribeOptions options;
  auto at_least = [](const char* flag, int64_t value, int64_t min) {
    if (value >= min) return absl::OkStatus();
    return InvalidArgument("--", flag, " is ", value, ", must be at least ",
                           min);
  };
  options.length = absl::GetFlag(FLAGS_length);
  options.batch = absl::GetFlag(FLAGS_batch);
  options.loops = absl::GetFlag(FLAGS_loops);
  LT2_RETURN_IF_ERROR(at_least("length", options.length, 1));
  LT2_RETURN_IF_ERROR(at_least("batch", options.batch, 1));
  LT2_RETURN_IF_ERROR(at_least("loops", options.loops, 0));
  const std::string activation = absl::GetFlag(FLAGS_activation);
  if (activation != "bf16" && activation != "f32") {
    return InvalidArgument("--activation is '", activation,
                           "', must be bf16 or f32");
  }
  options.activation = activation == "bf16" ? DType::kBF16 : DType::kF32;
  LT2_ASSIGN_OR_RETURN(const NamedConfig model,
                       LoadModelConfig(arguments[1], overrides));
  const auto description = Describe(model, options);
  if (!description.ok()) return Annotate(description.status(), arguments[1]);
  std::string text = ToText(*description);
  nlohmann::json json = ToJson(*description);
  absl::Status status;
  if (absl::GetFlag(FLAGS_tensors) && HasWeights(arguments[1])) {
    LT2_ASSIGN_OR_RETURN(const FolderDescription folder,
                         DescribeFolder(arguments[1]));
    text = absl::StrCat(folder.text, "\n", text);
    json["folder"] = folder.json;
    status = folder.status;
  }
  if (absl::GetFlag(FLAGS_json)) text = json.dump(2) + "\n";
  std::fputs(text.c_str(), stdout);
  return status;
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
    std::fprintf(stderr, "describe: %s\n",
                 std::string(status.message()).c_str());
    return 1;
  }
  return 0;
}
