// Sections "work" and "launches".

#include <cmath>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "model/looped/accounting.h"
#include "model/looped/decode_graph.h"
#include "tools/exact/models.h"
#include "tools/exact/operator_calls.h"
#include "tools/exact/sections.h"

namespace lt2::tools {
namespace {

using model::ModelConfig;

// What happens between Begin and End.
class Meter {
 public:
  explicit Meter(Context& ctx) : ctx_(ctx) {}

  absl::Status Begin() {
    ctx_.arena().ResetPeak();
    flops_ = ctx_.flops();
    LT2_ASSIGN_OR_RETURN(calls_, OperatorCalls());
    return absl::OkStatus();
  }
  absl::StatusOr<Entry> End() {
    LT2_ASSIGN_OR_RETURN(const auto after, OperatorCalls());
    Entry entry;
    int64_t total = 0;
    for (const auto& [name, n] : after) {
      const int64_t calls = n - calls_[name];
      total += calls;
      if (calls != 0) entry["calls of " + name] = calls;
    }
    entry["calls"] = total;
    entry["flops"] = ctx_.flops() - flops_;
    entry["peak_bytes"] = ctx_.arena().stats().peak;
    return entry;
  }

 private:
  Context& ctx_;
  int64_t flops_ = 0;
  std::map<std::string, int64_t> calls_;
};

absl::Status SmallModel(const model::TestModel& m, Section* section) {
  const auto put = [&](const char* what, Meter& meter) -> absl::Status {
    LT2_ASSIGN_OR_RETURN(
        section->entries[absl::StrCat("small ", m.name, " ", what)],
        meter.End());
    return absl::OkStatus();
  };
  {
    LT2_ASSIGN_OR_RETURN(auto ctx, OneThread());
    const auto model = model::MakeModel(*ctx, m.json, /*training=*/false);
    Meter meter(*ctx);
    LT2_RETURN_IF_ERROR(meter.Begin());
    LT2_RETURN_IF_ERROR(ForwardLogits(*model).status());
    LT2_RETURN_IF_ERROR(put("forward", meter));
    absl::Status begun;
    LT2_RETURN_IF_ERROR(
        DecodeLogits(*model, 1, [&] { begun = meter.Begin(); }).status());
    LT2_RETURN_IF_ERROR(begun);
    LT2_RETURN_IF_ERROR(put("decoding step", meter));
  }
  LT2_ASSIGN_OR_RETURN(auto ctx, OneThread());
  LT2_ASSIGN_OR_RETURN(auto training, Training::Create(*ctx, m.json));
  // The first step allocates what the others keep.
  LT2_RETURN_IF_ERROR(training->Step(1).status());
  Meter meter(*ctx);
  LT2_RETURN_IF_ERROR(meter.Begin());
  LT2_RETURN_IF_ERROR(training->Step(2).status());
  return put("training step", meter);
}

// Bytes of a further token can be a fraction.
Quantity Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return static_cast<int64_t>(value);
  }
  return absl::StrFormat("%.17g", value);
}

// By formula, as on a GPU: 8192 tokens, bf16.
absl::StatusOr<Entry> Formula(const ModelConfig& config) {
  constexpr int64_t kTokens = 8192;
  LT2_ASSIGN_OR_RETURN(const model::ModelCost cost,
                       model::Cost(config, kTokens, 0, DType::kBF16));
  LT2_ASSIGN_OR_RETURN(const model::DecodeCost decode,
                       model::CostOfDecoding(config, kTokens, 0, DType::kBF16));
  return Entry{{"parameters", cost.parameters},
               {"embedding_parameters", cost.embedding_parameters},
               {"mixer_parameters", cost.mixer_parameters},
               {"ffn_parameters", cost.ffn_parameters},
               {"norm_parameters", cost.norm_parameters},
               {"forward_flops", cost.flops},
               {"state_bytes", cost.state_bytes},
               {"fixed_state_bytes", cost.fixed_state_bytes},
               {"growth_bytes", Number(cost.growth_bytes)},
               {"decode_flops", decode.flops},
               {"decode_weight_bytes", decode.weight_bytes},
               {"decode_state_bytes", decode.state_bytes}};
}

// Of one captured decoding step after a prompt.
absl::StatusOr<int64_t> DecodeGraphNodes(Context& ctx,
                                         const nlohmann::json& config) {
  const auto model = model::MakeModel(ctx, config, /*training=*/false);
  LT2_ASSIGN_OR_RETURN(auto state,
                       model::DecodeState::Create(*model, kBatch, kSeq));
  LT2_ASSIGN_OR_RETURN(auto graph,
                       model::DecodeGraph::Create(*model, state.get()));
  for (int step = 0; step < 3; ++step) {
    const std::vector<int32_t> ids(kBatch, step);
    LT2_ASSIGN_OR_RETURN(const Tensor input,
                         ctx.FromHost<int32_t>(ids, {kBatch, 1}));
    LT2_RETURN_IF_ERROR(graph->Step(input).status());
  }
  return graph->nodes();
}

absl::StatusOr<ModelConfig> Preset(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json root, ParseJson(text, path));
  return ModelConfig::FromJson(root.value("model", nlohmann::json()), path);
}

}  // namespace

absl::StatusOr<Section> MeasureWork() {
  Section section;
  for (const model::TestModel& m : model::TestModels(32)) {
    const absl::Status status = SmallModel(m, &section);
    if (!status.ok()) return Annotate(status, m.name);
  }
  const std::filesystem::path presets = "model/config/presets";
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator(presets, error)) {
    if (!size.is_directory()) continue;
    for (const auto& file : std::filesystem::directory_iterator(size, error)) {
      if (file.path().extension() != ".json") continue;
      LT2_ASSIGN_OR_RETURN(const ModelConfig config,
                           Preset(file.path().string()));
      LT2_ASSIGN_OR_RETURN(
          section
              .entries[absl::StrCat("preset ", size.path().filename().string(),
                                    "/", file.path().stem().string())],
          Formula(config));
    }
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat(presets.string(), ": ", error.message()));
  }
  return section;
}

absl::StatusOr<Section> MeasureLaunches() {
  if (!CudaAvailable()) {
    return absl::FailedPreconditionError("no usable CUDA device");
  }
  Section section;
  for (const model::TestModel& m : model::TestModels(64)) {
    LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(Device::kCUDA));
    section.environment = {{"gpu", ctx->info().name}};
    LT2_ASSIGN_OR_RETURN(auto training, Training::Create(*ctx, m.json));
    for (int n = 1; n <= 2; ++n) {
      const absl::Status status = training->Step(n).status();
      if (!status.ok()) return Annotate(status, m.name);
    }
    Entry& entry = section.entries["small " + m.name];
    entry["training_step_graph_nodes"] = training->step().graph_nodes();
    LT2_ASSIGN_OR_RETURN(entry["decoding_step_graph_nodes"],
                         DecodeGraphNodes(*ctx, m.json));
  }
  return section;
}

}  // namespace lt2::tools
