#include "model/hf/tensor_folder.h"

#include <sys/stat.h>

#include <set>

#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::model {
namespace {

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// A name of a file in the folder itself.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Tensor -> shard.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(
    const std::string& path) {
  constexpr int64_t kMost = int64_t{64} << 20;
  LT2_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMost));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json index, ParseJson(text, path));
  if (!index.is_object() || !index.contains("weight_map") ||
      !index["weight_map"].is_object()) {
    return InvalidArgument(path, ": no object 'weight_map' of tensors and the ",
                           "files they are in; take the index from where the "
                           "shards come from");
  }
  std::map<std::string, std::string> map;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string() || !IsPlainName(file.get<std::string>())) {
      return InvalidArgument(path, ": weight_map.", Quoted(tensor),
                             ": expected the name of a file in the same "
                             "folder, got ",
                             Quoted(file.dump()));
    }
    map[tensor] = file.get<std::string>();
  }
  return map;
}

}  // namespace

bool TensorFolder::HasTensors(const std::string& folder) {
  return Exists(folder + "/" + kSingle) || Exists(folder + "/" + kIndex);
}

absl::Status TensorFolder::Add(const std::string& path) {
  auto file = SafetensorsFile::Open(path);
  if (!file.ok()) {
    const bool cut = absl::IsDataLoss(file.status());
    return absl::Status(
        file.status().code(),
        absl::StrCat(file.status().message(),
                     cut ? "; copy the file again, whole" : ""));
  }
  for (const SafetensorsInfo& info : file->tensors()) {
    const auto [found, added] =
        tensors_.insert({info.name, Entry{info, files_.size()}});
    if (!added) {
      return InvalidArgument(path, ": tensor ", info.ToString(), " is also in ",
                             FileOf(found->second),
                             "; remove the shards of another checkpoint");
    }
  }
  paths_.push_back(path);
  files_.push_back(*std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<TensorFolder> TensorFolder::Open(const std::string& folder) {
  TensorFolder result;
  result.folder_ = folder;
  const std::string single = folder + "/" + kSingle;
  const std::string index = folder + "/" + kIndex;
  if (!Exists(index)) {
    if (!Exists(single)) {
      return absl::NotFoundError(absl::StrCat(
          folder, ": neither ", kSingle, " nor ", kIndex,
          "; copy the weights there (safetensors is the only format)"));
    }
    LT2_RETURN_IF_ERROR(result.Add(single));
    return result;
  }
  LT2_ASSIGN_OR_RETURN(const auto map, ReadIndex(index));
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map) {
    if (!shards.insert(shard).second) continue;
    if (!Exists(folder + "/" + shard)) {
      return absl::NotFoundError(absl::StrCat(
          index, ": tensor ", Quoted(tensor), " is in ", Quoted(shard),
          ", which is not in the folder; copy that shard"));
    }
  }
  for (const std::string& shard : shards) {
    LT2_RETURN_IF_ERROR(result.Add(folder + "/" + shard));
  }
  for (const auto& [tensor, shard] : map) {
    const Entry* entry = result.Find(tensor);
    const std::string path = folder + "/" + shard;
    if (entry != nullptr && result.FileOf(*entry) == path) continue;
    return absl::NotFoundError(absl::StrCat(
        path, ": no tensor ", Quoted(tensor), ", which ", kIndex,
        " places there; copy shard and index from the same checkpoint"));
  }
  return result;
}

const TensorFolder::Entry* TensorFolder::Find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::StatusOr<Tensor> TensorFolder::Load(Context& ctx, const std::string& name,
                                          DType wanted) const {
  const Entry* entry = Find(name);
  if (entry == nullptr) {
    return absl::NotFoundError(
        absl::StrCat(folder_, ": no tensor ", Quoted(name)));
  }
  return files_[entry->file].Load(ctx, name, wanted);
}

}  // namespace lt2::model
