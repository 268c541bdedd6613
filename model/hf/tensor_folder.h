// The tensors of a folder: one model.safetensors, or shards that
// model.safetensors.index.json lists.
//
//   {"metadata": {"total_size": N}, "weight_map": {TENSOR: FILE, ...}}
//
// Shards lie in the folder itself, under plain names. Files are memory-mapped.
// Errors name the file and the tensor and say what to do: a folder without
// tensors, a shard that is missing or cut short, a tensor that the index places
// in a shard which does not have it, a tensor that two shards have. A tensor of
// a shard that the index does not list is there all the same.

#ifndef LT2_MODEL_HF_TENSOR_FOLDER_H_
#define LT2_MODEL_HF_TENSOR_FOLDER_H_

#include <map>
#include <string>
#include <vector>

#include "model/io/safetensors.h"

namespace lt2::model {

class TensorFolder {
 public:
  struct Entry {
    SafetensorsInfo info;
    size_t file = 0;  // of files()
  };

  static absl::StatusOr<TensorFolder> Open(const std::string& folder);
  // Whether there is anything to open.
  static bool HasTensors(const std::string& folder);

  // Paths, sorted.
  const std::vector<std::string>& files() const { return paths_; }
  // All tensors by name.
  const std::map<std::string, Entry>& tensors() const { return tensors_; }
  const Entry* Find(const std::string& name) const;
  const std::string& FileOf(const Entry& entry) const {
    return paths_[entry.file];
  }
  // As SafetensorsFile::Load.
  absl::StatusOr<Tensor> Load(Context& ctx, const std::string& name,
                              DType wanted) const;

 private:
  absl::Status Add(const std::string& path);

  std::string folder_;
  std::vector<std::string> paths_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Entry> tensors_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_TENSOR_FOLDER_H_
