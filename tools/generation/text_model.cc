#include "tools/generation/text_model.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "kernels/core/hash.h"
#include "kernels/core/json/strict_json.h"
#include "model/hf/hf_folder.h"
#include "model/io/atomic_file.h"
#include "tasks/tokenizer/model_tokenizer.h"

namespace lt2::tools {
namespace {

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

void AddStop(absl::optional<int32_t> id, std::vector<int32_t>* stops) {
  if (!id.has_value()) return;
  if (std::find(stops->begin(), stops->end(), *id) == stops->end()) {
    stops->push_back(*id);
  }
}

// The ids of eos_token_id, a number or a list of them.
void AddStops(const nlohmann::json& config, std::vector<int32_t>* stops) {
  const auto it = config.find("eos_token_id");
  if (it == config.end()) return;
  const nlohmann::json ids =
      it->is_array() ? *it : nlohmann::json::array({*it});
  for (const nlohmann::json& id : ids) {
    if (id.is_number_integer() && id >= 0 && id < (1 << 30)) {
      AddStop(id.get<int32_t>(), stops);
    }
  }
}

}  // namespace

absl::StatusOr<TextModel> LoadTextModel(Context& ctx,
                                        const TextModelOptions& options) {
  TextModel result;
  result.folder = options.folder;
  const std::string config_path = options.folder + "/config.json";
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(config_path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json config,
                       ParseJson(text, config_path));
  std::string path = options.tokenizer;
  if (path.empty()) {
    LT2_ASSIGN_OR_RETURN(path, tasks::TokenizerOfModel(options.folder, config,
                                                       options.data_dir));
  }
  LT2_ASSIGN_OR_RETURN(result.tokenizer, tasks::Tokenizer::Load(path));

  model::LoadOptions load;
  load.activation = options.activation;
  load.loops = options.loops;
  const bool bytes = path == "bytes";
  // Of the byte tokenizer a model of our text task uses the bytes only.
  if (!bytes) load.vocab_size = result.tokenizer->vocab_size();
  LT2_ASSIGN_OR_RETURN(model::LoadedModel loaded,
                       model::LoadModelFolder(ctx, options.folder, load));
  result.model = std::move(loaded.model);
  result.notes = std::move(loaded.notes);

  const int64_t vocab = result.model->config().vocab_size;
  if (bytes && vocab < 257) {
    // tasks/text.h: a 0 byte begins every document and is nowhere else.
    result.begin_id = 0;
    result.always_begins = true;
    result.stop_ids = {0};
  } else {
    result.begin_id = result.tokenizer->begin_of_text();
    if (!result.begin_id) result.begin_id = result.tokenizer->end_of_text();
    AddStop(result.tokenizer->end_of_text(), &result.stop_ids);
    for (const char* name : {"<|im_end|>", "<|eot_id|>"}) {
      AddStop(result.tokenizer->SpecialId(name), &result.stop_ids);
    }
    AddStops(config, &result.stop_ids);
    const std::string generation = options.folder + "/generation_config.json";
    if (Exists(generation)) {
      LT2_ASSIGN_OR_RETURN(const std::string json, model::ReadFile(generation));
      LT2_ASSIGN_OR_RETURN(const nlohmann::json parsed,
                           ParseJson(json, generation));
      if (parsed.is_object()) AddStops(parsed, &result.stop_ids);
    }
  }
  const auto positions = config.find("max_position_embeddings");
  if (positions != config.end() && positions->is_number_integer()) {
    result.max_positions = std::max<int64_t>(0, positions->get<int64_t>());
  }
  return result;
}

absl::StatusOr<std::string> ModelDigest(const std::string& folder) {
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) {
    return absl::NotFoundError(folder + ": cannot be read");
  }
  std::vector<std::string> names = {"config.json"};
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (absl::EndsWith(name, ".safetensors") && name[0] != '.') {
      names.push_back(name);
    }
  }
  closedir(directory);
  std::sort(names.begin() + 1, names.end());
  uint64_t hash = kFnv1aEmpty;
  std::vector<char> block(1 << 20);
  for (const std::string& name : names) {
    std::ifstream file(folder + "/" + name, std::ios::binary);
    while (file.read(block.data(), static_cast<int64_t>(block.size())) ||
           file.gcount() > 0) {
      hash = Fnv1a(
          absl::string_view(block.data(), static_cast<size_t>(file.gcount())),
          hash);
    }
    if (!file.eof()) {
      return absl::NotFoundError(folder + "/" + name + ": cannot be read");
    }
  }
  return absl::StrFormat("%016x", hash);
}

absl::StatusOr<std::vector<int32_t>> EncodePrompt(const TextModel& model,
                                                  absl::string_view text,
                                                  bool parse_special) {
  std::vector<int32_t> ids = model.tokenizer->Encode(text, parse_special);
  if (model.begin_id && (model.always_begins || ids.empty())) {
    ids.insert(ids.begin(), *model.begin_id);
  }
  if (ids.empty()) {
    return InvalidArgument("an empty prompt, and the tokenizer has no token ",
                           "that begins a text");
  }
  return ids;
}

}  // namespace lt2::tools
