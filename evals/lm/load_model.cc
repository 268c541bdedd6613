#include "evals/lm/load_model.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_format.h"
#include "kernels/core/hash.h"
#include "model/hf/hf_folder.h"
#include "model/io/atomic_file.h"
#include "model/training/checkpoint.h"

namespace lt2::evals {
namespace {

// As the leaderboard names a model, or of all files of weights.
absl::StatusOr<std::string> ModelDigest(const std::string& folder) {
  if (access((folder + "/model.safetensors").c_str(), R_OK) == 0) {
    return model::CheckpointDigest(folder);
  }
  std::vector<std::string> files;
  std::error_code error;
  for (std::filesystem::directory_iterator i(folder, error), end;
       !error && i != end; i.increment(error)) {
    if (i->path().extension() == ".safetensors") {
      files.push_back(i->path().string());
    }
  }
  std::sort(files.begin(), files.end());
  files.push_back(folder + "/config.json");
  uint64_t hash = kFnv1aEmpty;
  for (const std::string& file : files) {
    LT2_ASSIGN_OR_RETURN(const std::string bytes, model::ReadFile(file));
    hash = Fnv1a(bytes, hash);
  }
  return absl::StrFormat("%016x", hash);
}

int64_t TrainedLength(const nlohmann::json& config, int64_t otherwise) {
  for (const char* path : {"/data/length", "/max_position_embeddings"}) {
    const nlohmann::json::json_pointer at(path);
    if (config.contains(at) && config[at].is_number_integer() &&
        config[at] > 0) {
      return config[at].get<int64_t>();
    }
  }
  return otherwise;
}

}  // namespace

absl::StatusOr<ModelFolder> ReadModelFolder(Context& ctx,
                                            const std::string& folder) {
  ModelFolder result;
  LT2_ASSIGN_OR_RETURN(model::LoadedModel loaded,
                       model::LoadModelFolder(ctx, folder));
  result.model = std::move(loaded.model);
  result.notes = std::move(loaded.notes);
  LT2_ASSIGN_OR_RETURN(result.digest, ModelDigest(folder));
  result.trained_length =
      TrainedLength(loaded.config_json, result.trained_length);
  result.config = std::move(loaded.config_json);
  return result;
}

}  // namespace lt2::evals
