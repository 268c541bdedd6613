// What a model's folder holds against what its configuration needs: which
// tensor gives each parameter, what is missing, wrong or left over. Nothing is
// loaded, so //tools:describe uses it too.
//
// Layouts:
//   kOurs  config.json {"model": ModelConfig}, tensors by our names
//   kOuro  config.json with model_type "ouro" (ouro_config.h), tensors by
//          Ouro's names:
//
//     tok_embeddings.weight             model.embed_tokens.weight
//     output.weight, norm.weight        lm_head.weight, model.norm.weight
//     exit_gate.*                       model.early_exit_gate.*
//     layers.I.attention.w{q,k,v,o}.*   model.layers.I.self_attn.{q..}_proj.*
//     layers.I.attention.NAME           model.layers.I.self_attn.NAME
//     layers.I.feed_forward.w{1,3,2}.* model.layers.I.mlp.{gate,up,down}_proj.*
//     layers.I.attention_norm.weight    model.layers.I.input_layernorm.weight
//     layers.I.ffn_norm.weight          ...post_attention_layernorm.weight
//     ..._norm_2.weight                 ..._layernorm_2.weight
//
// Hybrids. A layer whose mixer is another one than softmax attention takes over
// an attention's weights if the folder has those and nothing of its own but
// projections: q, k, v and o are copied (keys and values of grouped heads once
// for each query head), all else starts as in a new model, except convolutions,
// which start as the identity. That is the student that distillation starts
// from (paper.md 3.9).

#ifndef LT2_MODEL_HF_FOLDER_PLAN_H_
#define LT2_MODEL_HF_FOLDER_PLAN_H_

#include <string>
#include <vector>

#include "model/config/config.h"
#include "model/hf/tensor_folder.h"
#include "model/mixers/mixer.h"
#include "nlohmann/json.hpp"

namespace lt2::model {

enum class FolderLayout { kOurs, kOuro };

// The name of a parameter in Ouro's layout.
std::string OuroName(const std::string& parameter);

struct PlannedParameter {
  enum Source {
    kStored,         // the tensor as it is
    kHeadsRepeated,  // each head of the tensor `repeat` times in a row
    kInitial,        // no tensor: a first value
  };
  DeclaredParameter declared;
  Source source = kStored;
  std::string tensor;  // its name in the folder
  int64_t repeat = 1;
};

struct FolderPlan {
  std::string folder;
  FolderLayout layout = FolderLayout::kOurs;
  nlohmann::json config_json;
  ModelConfig config;
  int64_t loops = 0;  // to run by default; 0: the configuration's
  TensorFolder tensors;
  std::vector<PlannedParameter> parameters;
  // What keeps the folder from being loaded, one sentence each.
  std::vector<std::string> missing, wrong, unexpected;
  std::vector<std::string> notes;

  // The first of these, and how many more there are.
  absl::Status status() const;
};

// `changes` are keys of ModelConfig over those of the folder.
// Fails if config.json or the files as such cannot be read.
absl::StatusOr<FolderPlan> PlanModelFolder(Context& ctx,
                                           const std::string& folder,
                                           const nlohmann::json& changes);

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_FOLDER_PLAN_H_
