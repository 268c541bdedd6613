#include "model/hf/export_folder.h"

#include "absl/strings/str_format.h"
#include "model/hf/ouro_config.h"
#include "model/io/atomic_file.h"

namespace lt2::model {
namespace {

int64_t StoredBytes(const Parameter& p, DType dtype) {
  return p.value.numel() * static_cast<int64_t>(ByteSize(dtype));
}

// Indices of the parameters of each shard.
std::vector<std::vector<size_t>> Shards(const LoopedModel& model,
                                        const ExportOptions& options) {
  std::vector<std::vector<size_t>> shards(1);
  int64_t bytes = 0;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    const int64_t size = StoredBytes(*model.parameters()[i], options.dtype);
    if (options.shard_bytes > 0 && !shards.back().empty() &&
        bytes + size > options.shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(i);
    bytes += size;
  }
  return shards;
}

absl::Status WriteShard(const LoopedModel& model, const std::string& path,
                        const std::vector<size_t>& which,
                        const ExportOptions& options) {
  Context& ctx = model.ctx();
  std::vector<std::vector<float>> wide(which.size());
  std::vector<std::vector<BFloat16>> narrow(which.size());
  std::vector<SafetensorsEntry> entries;
  for (size_t i = 0; i < which.size(); ++i) {
    const Parameter& p = *model.parameters()[which[i]];
    SafetensorsEntry entry;
    entry.name =
        options.layout == FolderLayout::kOuro ? OuroName(p.name) : p.name;
    entry.dtype = ToSafetensorsDType(options.dtype);
    entry.shape.assign(p.value.shape().dims().begin(),
                       p.value.shape().dims().end());
    LT2_ASSIGN_OR_RETURN(wide[i], ctx.ToHost<float>(p.value));
    const void* data = wide[i].data();
    if (options.dtype == DType::kBF16) {
      narrow[i].reserve(wide[i].size());
      for (float v : wide[i]) narrow[i].push_back(ToBFloat16(v));
      std::vector<float>().swap(wide[i]);
      data = narrow[i].data();
    }
    entry.bytes = absl::MakeConstSpan(static_cast<const uint8_t*>(data),
                                      StoredBytes(p, options.dtype));
    entries.push_back(std::move(entry));
  }
  // What transformers wants to see in a file of PyTorch's tensors.
  return WriteSafetensors(ctx, path, entries, {{"format", "pt"}});
}

}  // namespace

absl::Status ExportModelFolder(const LoopedModel& model,
                               const std::string& folder,
                               const ExportOptions& options) {
  if (options.dtype != DType::kF32 && options.dtype != DType::kBF16) {
    return InvalidArgument("export: dtype must be f32 or bf16, got ",
                           Name(options.dtype));
  }
  nlohmann::json config = options.config;
  if (options.layout == FolderLayout::kOuro) {
    LT2_ASSIGN_OR_RETURN(config,
                         WriteOuroConfig(model.config(), options.dtype));
  } else {
    config["model"] = model.config().ToJson();
  }
  LT2_ASSIGN_OR_RETURN(auto out, AtomicDirectory::Create(folder));
  LT2_RETURN_IF_ERROR(
      WriteFileAtomically(out->File("config.json"), config.dump(2) + "\n"));
  const std::vector<std::vector<size_t>> shards = Shards(model, options);
  nlohmann::json map = nlohmann::json::object();
  int64_t total = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name =
        shards.size() == 1 ? "model.safetensors"
                           : absl::StrFormat("model-%05d-of-%05d.safetensors",
                                             i + 1, shards.size());
    LT2_RETURN_IF_ERROR(WriteShard(model, out->File(name), shards[i], options));
    for (size_t p : shards[i]) {
      const Parameter& parameter = *model.parameters()[p];
      map[options.layout == FolderLayout::kOuro ? OuroName(parameter.name)
                                                : parameter.name] = name;
      total += StoredBytes(parameter, options.dtype);
    }
  }
  if (shards.size() > 1) {
    const nlohmann::json index = {{"metadata", {{"total_size", total}}},
                                  {"weight_map", map}};
    LT2_RETURN_IF_ERROR(WriteFileAtomically(
        out->File("model.safetensors.index.json"), index.dump(2) + "\n"));
  }
  return out->Commit();
}

}  // namespace lt2::model
