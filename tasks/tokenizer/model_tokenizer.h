// Which tokenizer a model's folder goes with.

#ifndef LT2_TASKS_TOKENIZER_MODEL_TOKENIZER_H_
#define LT2_TASKS_TOKENIZER_MODEL_TOKENIZER_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace lt2::tasks {

// What to give to Tokenizer::Load: the folder itself if it has a tokenizer.json
// or GPT-2's encoder.json; else the data.tokenizer that //tools:train wrote to
// `config` (the folder's config.json) for a model of text, relative paths from
// `data_dir`. InvalidArgument, with the remedy, where neither is there.
absl::StatusOr<std::string> TokenizerOfModel(const std::string& folder,
                                             const nlohmann::json& config,
                                             const std::string& data_dir);

}  // namespace lt2::tasks

#endif  // LT2_TASKS_TOKENIZER_MODEL_TOKENIZER_H_
