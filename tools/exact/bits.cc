// Section "bits".

#include <cblas.h>
#include <gnu/libc-version.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "evals/ranking/columns.h"
#include "evals/scoring/task_score.h"
#include "kernels/core/hash.h"
#include "model/training/checkpoint.h"
#include "tasks/digest.h"
#include "tasks/registry.h"
#include "tools/exact/models.h"
#include "tools/exact/sections.h"

namespace lt2::tools {
namespace {

constexpr char kCoreType[] = "Haswell";  // the baseline of .bazelrc
constexpr int kTrainingSteps = 3;
constexpr int64_t kExamples = 4;

std::string Hex(uint64_t hash) { return absl::StrFormat("%016x", hash); }

template <typename T>
uint64_t HashOf(const std::vector<T>& values, uint64_t before = kFnv1aEmpty) {
  return Fnv1a(absl::string_view(reinterpret_cast<const char*>(values.data()),
                                 values.size() * sizeof(T)),
               before);
}

absl::StatusOr<Entry> SmallModel(const nlohmann::json& config) {
  LT2_ASSIGN_OR_RETURN(auto ctx, OneThread());
  const auto model = model::MakeModel(*ctx, config, /*training=*/false);
  Entry entry;
  LT2_ASSIGN_OR_RETURN(const std::vector<float> logits, ForwardLogits(*model));
  entry["logits"] = Hex(HashOf(logits));
  LT2_ASSIGN_OR_RETURN(const std::vector<float> decoded,
                       DecodeLogits(*model, kSeq - kPrompt, [] {}));
  entry["decoded_logits"] = Hex(HashOf(decoded));
  LT2_ASSIGN_OR_RETURN(auto training, Training::Create(*ctx, config));
  for (int n = 1; n <= kTrainingSteps; ++n) {
    LT2_ASSIGN_OR_RETURN(const model::StepMetrics metrics, training->Step(n));
    // Nine digits tell every float apart.
    entry[absl::StrCat("loss_", n)] = absl::StrFormat("%.9g", metrics.loss);
    entry[absl::StrCat("gradient_norm_", n)] =
        absl::StrFormat("%.9g", metrics.gradient_norm);
  }
  uint64_t hash = kFnv1aEmpty;
  for (const model::Parameter* p : training->model().parameters()) {
    LT2_ASSIGN_OR_RETURN(const std::vector<float> values,
                         ctx->ToHost<float>(p->value));
    hash = HashOf(values, hash);
  }
  entry["trained_weights"] = Hex(hash);
  return entry;
}

// One of each family, and of each kind of mixer that is shipped.
struct Golden {
  const char *column, *checkpoint;
};
constexpr Golden kGolden[] = {
    {"a5", "a5/gdn-neg-T4"},
    {"mqar", "mqar/deltanet-T4"},
    {"mqar", "mqar/full-T4"},
    {"parity", "parity/window-T4"},
    {"program8", "program/full+gdn-T4"},
    {"text", "text/gdn-T4"},
    {"z60", "z60/gdn-neg-T1"},
};

absl::StatusOr<Entry> Checkpoint(const Golden& golden) {
  const evals::TaskColumn* column = nullptr;
  for (const evals::TaskColumn& c : evals::Columns()) {
    if (c.name == golden.column) column = &c;
  }
  if (column == nullptr) {
    return InvalidArgument("no leaderboard column '", golden.column, "'");
  }
  const std::string folder =
      absl::StrCat("testdata/checkpoints/", golden.checkpoint);
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, model::LoadConfig(folder));
  LT2_ASSIGN_OR_RETURN(const model::ModelConfig config,
                       model::ModelConfig::FromJson(
                           json.value("model", nlohmann::json()), folder));
  LT2_ASSIGN_OR_RETURN(auto task, tasks::CreateTask(column->spec, {}));
  LT2_ASSIGN_OR_RETURN(auto ctx, OneThread());
  LT2_ASSIGN_OR_RETURN(auto model, model::LoopedModel::Create(
                                       *ctx, config, 0, /*training=*/false));
  LT2_RETURN_IF_ERROR(model::LoadWeights(folder, *model));
  Entry entry;
  // When scores moved, these tell whether model or data did.
  LT2_ASSIGN_OR_RETURN(const std::string weights,
                       model::CheckpointDigest(folder));
  LT2_ASSIGN_OR_RETURN(
      const std::string data,
      tasks::Digest(*task, column->split, /*seed=*/0, kExamples));
  entry["checkpoint"] = weights;
  entry["data"] = data;
  evals::ScoreOptions options;
  options.split = column->split;
  options.batch = kExamples;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < kExamples; ++i) indices.push_back(i);
  LT2_ASSIGN_OR_RETURN(const std::vector<evals::ItemScore> items,
                       evals::ScoreTask(*model, *task, indices, options));
  for (const evals::ItemScore& item : items) {
    // Seventeen digits tell every double apart.
    entry[absl::StrCat("nll_", item.index)] =
        absl::StrFormat("%.17g", item.nll);
  }
  const evals::TaskTotals total = evals::Total(items);
  entry["correct"] = total.correct;
  entry["scored"] = total.scored;
  return entry;
}

}  // namespace

void UseOneArithmetic(char** argv) {
  const char* core = std::getenv("OPENBLAS_CORETYPE");
  const char* threads = std::getenv("OPENBLAS_NUM_THREADS");
  if (core != nullptr && std::string(core) == kCoreType && threads != nullptr &&
      std::string(threads) == "1") {
    return;
  }
  setenv("OPENBLAS_CORETYPE", kCoreType, 1);
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  execv("/proc/self/exe", argv);
  // Only if that failed: MeasureBits sees that OpenBLAS is not as it must be.
}

absl::StatusOr<Section> MeasureBits() {
  if (std::string(openblas_get_corename()) != kCoreType) {
    return absl::FailedPreconditionError(
        absl::StrCat("OpenBLAS uses its kernels for ", openblas_get_corename(),
                     ", the bits are pinned with those for ", kCoreType));
  }
  Section section;
  section.environment = {{"compiler", __VERSION__},
                         {"libc", gnu_get_libc_version()},
                         {"openblas", openblas_get_config()}};
  for (const model::TestModel& m : model::TestModels(32)) {
    auto entry = SmallModel(m.json);
    if (!entry.ok()) return Annotate(entry.status(), m.name);
    section.entries["small " + m.name] = *std::move(entry);
  }
  for (const Golden& golden : kGolden) {
    auto entry = Checkpoint(golden);
    if (!entry.ok()) return Annotate(entry.status(), golden.checkpoint);
    section.entries[absl::StrCat("checkpoint ", golden.checkpoint, " on ",
                                 golden.column)] = *std::move(entry);
  }
  return section;
}

}  // namespace lt2::tools
