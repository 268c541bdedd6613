// A model's configuration from whatever holds one.

#ifndef LT2_TOOLS_DESCRIPTION_LOAD_H_
#define LT2_TOOLS_DESCRIPTION_LOAD_H_

#include <string>
#include <vector>

#include "model/config/config.h"

namespace lt2::tools {

struct NamedConfig {
  std::string name;
  model::ModelConfig config;
};

// `path` is a configuration of a run (a recipe, a preset), one of a model
// alone (the content of "model"), Ouro's config.json, or a folder with one of
// these as its config.json. `overrides` are
// "key=value" assignments to the file's keys, as those of //tools:train.
//
// The name is the file's "name" or its path. A recipe may leave the vocabulary
// to its task. Errors name the file and the key.
absl::StatusOr<NamedConfig> LoadModelConfig(
    const std::string& path, const std::vector<std::string>& overrides);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_DESCRIPTION_LOAD_H_
