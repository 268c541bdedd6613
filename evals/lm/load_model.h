// A model from a folder, for the program.

#ifndef LT2_EVALS_LM_LOAD_MODEL_H_
#define LT2_EVALS_LM_LOAD_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "model/looped/looped_model.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

struct ModelFolder {
  std::unique_ptr<model::LoopedModel> model;
  std::vector<std::string> notes;  // for the user
  std::string digest;              // of the configuration and the weights
  nlohmann::json config;           // config.json
  // That the model was trained with, as config.json tells: data.length, or
  // max_position_embeddings; 2048 if it does not.
  int64_t trained_length = 2048;
};

absl::StatusOr<ModelFolder> ReadModelFolder(Context& ctx,
                                            const std::string& folder);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_LOAD_MODEL_H_
