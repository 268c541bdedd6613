#include "tools/description/load.h"

#include <sys/stat.h>

#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"
#include "model/hf/ouro_config.h"
#include "model/io/atomic_file.h"
#include "tasks/task.h"

namespace lt2::tools {
namespace {

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The vocabulary of the task of a recipe.
absl::StatusOr<int64_t> TaskVocabulary(const nlohmann::json& root) {
  if (!root.contains("data")) {
    return InvalidArgument(
        "model.vocab_size: required where there is no \"data\" to take it "
        "from; add --set model.vocab_size=N");
  }
  const nlohmann::json* data = &root["data"];
  tasks::TaskOptions options;
  options.path = "data";
  if (data->is_object() && data->contains("curriculum") &&
      (*data)["curriculum"].is_array() && !(*data)["curriculum"].empty()) {
    data = &(*data)["curriculum"][0];
    options.path = "data.curriculum[0]";
  }
  // The text task reads its files when it is made; without a tokenizer its
  // tokens are bytes, whatever the files.
  if (data->is_object() && data->value("task", nlohmann::json()) == "text") {
    if (!data->contains("tokenizer")) return 256;
    return InvalidArgument(
        "model.vocab_size: required where the text has a tokenizer, whose "
        "files are not read; add --set model.vocab_size=N");
  }
  LT2_ASSIGN_OR_RETURN(const auto task, tasks::CreateTask(*data, options));
  return task->vocab_size();
}

absl::StatusOr<NamedConfig> Read(nlohmann::json root, const std::string& path,
                                 const std::vector<std::string>& overrides) {
  for (const std::string& assignment : overrides) {
    LT2_RETURN_IF_ERROR(ApplyOverride(assignment, &root));
  }
  NamedConfig result;
  result.name = path;
  if (model::IsOuroConfig(root)) {
    LT2_ASSIGN_OR_RETURN(const model::OuroConfig ouro,
                         model::ReadOuroConfig(root, "Ouro"));
    result.config = ouro.model;
    return result;
  }
  if (!root.is_object() || !root.contains("model")) {
    LT2_ASSIGN_OR_RETURN(result.config, model::ModelConfig::FromJson(root, ""));
    return result;
  }
  if (root.contains("name") && root["name"].is_string()) {
    result.name = root["name"].get<std::string>();
  }
  nlohmann::json& model = root["model"];
  if (model.is_object() && !model.contains("vocab_size")) {
    LT2_ASSIGN_OR_RETURN(const int64_t vocabulary, TaskVocabulary(root));
    model["vocab_size"] = vocabulary;
  }
  LT2_ASSIGN_OR_RETURN(result.config,
                       model::ModelConfig::FromJson(model, "model"));
  return result;
}

}  // namespace

absl::StatusOr<NamedConfig> LoadModelConfig(
    const std::string& path, const std::vector<std::string>& overrides) {
  const std::string file = IsFolder(path) ? path + "/config.json" : path;
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(file));
  LT2_ASSIGN_OR_RETURN(nlohmann::json root, ParseJson(text, file));
  auto result = Read(std::move(root), path, overrides);
  if (!result.ok()) return Annotate(result.status(), file);
  return result;
}

}  // namespace lt2::tools
