#include "tasks/tokenizer/model_tokenizer.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lt2::tasks {

absl::StatusOr<std::string> TokenizerOfModel(const std::string& folder,
                                             const nlohmann::json& config,
                                             const std::string& data_dir) {
  std::error_code ignored;
  for (const char* name : {"tokenizer.json", "encoder.json"}) {
    if (std::filesystem::exists(folder + "/" + name, ignored)) return folder;
  }
  // A value of another type than ours is none of ours.
  auto text = [&](const char* pointer, const std::string& otherwise) {
    const nlohmann::json::json_pointer at(pointer);
    return config.contains(at) && config[at].is_string()
               ? config[at].get<std::string>()
               : otherwise;
  };
  if (text("/data/task", "") == "text") {
    const std::string path = text("/data/tokenizer", "bytes");
    const bool relative = path != "bytes" && !absl::StartsWith(path, "/");
    return relative && !data_dir.empty() ? data_dir + "/" + path : path;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(folder, ": no tokenizer.json, and not trained on text: say ",
                   "--tokenizer=FOLDER, FILE or bytes"));
}

}  // namespace lt2::tasks
