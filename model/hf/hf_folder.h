// Loads a model from a folder: config.json and safetensors, in one file or in
// shards, stored as f32, bf16 or f16.
//
//   LT2_ASSIGN_OR_RETURN(LoadedModel loaded, LoadModelFolder(*ctx, dir));
//
// The folder is what //tools:train writes (final/), an Ouro from its own
// project, or a hybrid of the two (folder_plan.h, ouro_config.h). Every tensor
// must be there with its shape and nothing else; errors name file and tensor
// and say what to do.
//
// Values are f32 masters, on a GPU with bf16 copies of the matrices: 6 bytes a
// weight. A gradient as well if `training`.

#ifndef LT2_MODEL_HF_HF_FOLDER_H_
#define LT2_MODEL_HF_HF_FOLDER_H_

#include <memory>
#include <string>
#include <vector>

#include "model/looped/looped_model.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

struct LoadOptions {
  absl::optional<DType> activation;  // as of LoopedModel::Create
  // Loops of a Forward that names none; 0: the folder's. Fewer are a fixed exit
  // step.
  int64_t loops = 0;
  // Keys of ModelConfig that replace the folder's: {"exit_rule": "weighted"},
  // {"layer_pattern": "interleaved:3:1:gdn:full"}.
  nlohmann::json model = nlohmann::json::object();
  // Ids of the tokenizer that will be used; 0: not known. More than the model
  // has is an error.
  int64_t vocab_size = 0;
  bool training = false;
  uint64_t seed = 0;  // of first values, where a hybrid has any
};

struct LoadedModel {
  std::unique_ptr<LoopedModel> model;
  nlohmann::json config_json;
  std::vector<std::string> notes;  // for the user
};

absl::StatusOr<LoadedModel> LoadModelFolder(Context& ctx,
                                            const std::string& dir,
                                            const LoadOptions& options = {});

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_HF_FOLDER_H_
