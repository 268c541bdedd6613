#include "model/training/checkpoint.h"

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/activation/activation.h"
#include "kernels/core/hash.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "model/io/safetensors.h"

namespace lt2::model {
namespace {

constexpr char kConfig[] = "config.json";
constexpr char kModel[] = "model.safetensors";
constexpr char kOptimizer[] = "optimizer.safetensors";
constexpr char kState[] = "state.json";

std::string Join(absl::string_view folder, absl::string_view file) {
  return absl::StrCat(folder, "/", file);
}

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return ParseJson(text, path);
}

absl::Status WriteJson(const std::string& path, const nlohmann::json& json) {
  return WriteFileAtomically(path, json.dump(2) + "\n");
}

absl::Status WriteModel(AtomicDirectory& folder, const nlohmann::json& config,
                        const LoopedModel& model, DType dtype) {
  Context& ctx = model.ctx();
  std::vector<SafetensorsEntry> entries;
  for (const Parameter* p : model.parameters()) {
    SafetensorsEntry entry;
    entry.name = p->name;
    entry.tensor = p->value;
    if (dtype != DType::kF32) {
      // Rounded on the host: the CPU has no bf16 operators.
      LT2_ASSIGN_OR_RETURN(std::vector<float> values,
                           ctx.ToHost<float>(p->value));
      std::vector<BFloat16> rounded;
      for (float v : values) rounded.push_back(ToBFloat16(v));
      LT2_ASSIGN_OR_RETURN(entry.tensor,
                           ctx.FromHost<BFloat16>(rounded, p->value.shape()));
    }
    entries.push_back(std::move(entry));
  }
  LT2_RETURN_IF_ERROR(WriteJson(folder.File(kConfig), config));
  return WriteSafetensors(ctx, folder.File(kModel), entries,
                          {{"format", "lt2"}});
}

// Copies the tensor `name` of a file into `destination`, f32.
absl::Status LoadInto(Context& ctx, const SafetensorsFile& file,
                      absl::string_view name, Tensor destination) {
  const SafetensorsInfo* info = file.Find(name);
  if (info == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        file.source(), ": no tensor '", name, "' of shape ",
        destination.shape().ToString(), ", which the configuration needs"));
  }
  const absl::Span<const int64_t> wanted = destination.shape().dims();
  if (absl::MakeConstSpan(info->shape) != wanted) {
    return InvalidArgument(file.source(), ": ", info->ToString(),
                           ", the configuration needs shape ",
                           destination.shape().ToString());
  }
  LT2_ASSIGN_OR_RETURN(Tensor loaded, file.Load(ctx, name, DType::kF32));
  return ctx.Copy(loaded, &destination);
}

}  // namespace

absl::Status SaveCheckpoint(absl::string_view path,
                            const nlohmann::json& config,
                            const LoopedModel& model,
                            const Optimizer& optimizer,
                            const nlohmann::json& state) {
  LT2_ASSIGN_OR_RETURN(auto folder, AtomicDirectory::Create(path));
  LT2_RETURN_IF_ERROR(WriteModel(*folder, config, model, DType::kF32));
  std::vector<SafetensorsEntry> moments;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const std::string& name = model.parameters()[i]->name;
    SafetensorsEntry m, v;
    m.name = absl::StrCat("m.", name);
    m.tensor = optimizer.parameters()[i].m;
    v.name = absl::StrCat("v.", name);
    v.tensor = optimizer.parameters()[i].v;
    moments.push_back(std::move(m));
    moments.push_back(std::move(v));
  }
  LT2_RETURN_IF_ERROR(
      WriteSafetensors(model.ctx(), folder->File(kOptimizer), moments));
  LT2_RETURN_IF_ERROR(WriteJson(folder->File(kState), state));
  return folder->Commit();
}

absl::Status ExportCheckpoint(absl::string_view path,
                              const nlohmann::json& config,
                              const LoopedModel& model, DType dtype) {
  LT2_ASSIGN_OR_RETURN(auto folder, AtomicDirectory::Create(path));
  LT2_RETURN_IF_ERROR(WriteModel(*folder, config, model, dtype));
  return folder->Commit();
}

absl::StatusOr<nlohmann::json> LoadConfig(absl::string_view folder) {
  return ReadJson(Join(folder, kConfig));
}

absl::Status LoadWeights(absl::string_view folder, LoopedModel& model) {
  LT2_ASSIGN_OR_RETURN(const SafetensorsFile file,
                       SafetensorsFile::Open(Join(folder, kModel)));
  Context& ctx = model.ctx();
  for (Parameter* p : model.parameters()) {
    LT2_RETURN_IF_ERROR(LoadInto(ctx, file, p->name, p->value));
    if (p->compute.dtype() != DType::kF32) {
      LT2_RETURN_IF_ERROR(
          kernels::Cast(ctx, {p->value, p->compute.dtype()}, &p->compute));
    }
  }
  if (file.tensors().size() == model.parameters().size()) {
    return absl::OkStatus();
  }
  std::vector<std::string> unexpected;
  for (const SafetensorsInfo& info : file.tensors()) {
    bool known = false;
    for (const Parameter* p : model.parameters()) known |= p->name == info.name;
    if (!known) unexpected.push_back(info.ToString());
  }
  return InvalidArgument(file.source(),
                         ": tensors that the configuration does not have: ",
                         absl::StrJoin(unexpected, ", "));
}

absl::StatusOr<nlohmann::json> LoadTrainingState(absl::string_view folder,
                                                 const LoopedModel& model,
                                                 Optimizer& optimizer) {
  LT2_ASSIGN_OR_RETURN(const SafetensorsFile file,
                       SafetensorsFile::Open(Join(folder, kOptimizer)));
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const std::string& name = model.parameters()[i]->name;
    const kernels::AdamWParameter& p = optimizer.parameters()[i];
    LT2_RETURN_IF_ERROR(
        LoadInto(model.ctx(), file, absl::StrCat("m.", name), p.m));
    LT2_RETURN_IF_ERROR(
        LoadInto(model.ctx(), file, absl::StrCat("v.", name), p.v));
  }
  return ReadJson(Join(folder, kState));
}

absl::StatusOr<std::string> CheckpointDigest(absl::string_view folder) {
  uint64_t hash = kFnv1aEmpty;
  for (const char* name : {kConfig, kModel}) {
    LT2_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(Join(folder, name)));
    hash = Fnv1a(bytes, hash);
  }
  return absl::StrFormat("%016x", hash);
}

}  // namespace lt2::model
