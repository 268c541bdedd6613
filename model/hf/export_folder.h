// Writes a model as a folder that PyTorch and this project read: config.json
// and model.safetensors, or shards and model.safetensors.index.json.
//
// The folder appears whole or not at all (model/io/atomic_file.h). In Ouro's
// layout Ouro's own code loads it, if the model is an Ouro; a hybrid has its
// mixers' tensors under self_attn and the key "lt2" in config.json.

#ifndef LT2_MODEL_HF_EXPORT_FOLDER_H_
#define LT2_MODEL_HF_EXPORT_FOLDER_H_

#include <string>

#include "model/hf/folder_plan.h"
#include "model/looped/looped_model.h"

namespace lt2::model {

struct ExportOptions {
  FolderLayout layout = FolderLayout::kOurs;
  DType dtype = DType::kBF16;  // or kF32
  // Shards of at most so many bytes of data (one tensor at least); 0: one file.
  int64_t shard_bytes = 0;
  // kOurs: the rest of config.json, of which "model" is replaced.
  nlohmann::json config = nlohmann::json::object();
};

absl::Status ExportModelFolder(const LoopedModel& model,
                               const std::string& folder,
                               const ExportOptions& options);

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_EXPORT_FOLDER_H_
