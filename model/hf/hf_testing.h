// Small Ouro folders for tests, and ways to damage them.

#ifndef LT2_MODEL_HF_HF_TESTING_H_
#define LT2_MODEL_HF_HF_TESTING_H_

#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"
#include "kernels/core/testing.h"
#include "model/hf/export_folder.h"
#include "model/hf/hf_folder.h"
#include "model/hf/ouro_config.h"
#include "model/looped/init.h"

namespace lt2::model {

// As Ouro's config.json has it.
inline nlohmann::json TinyOuro() {
  return {{"model_type", "ouro"},     {"architectures", {"OuroForCausalLM"}},
          {"hidden_size", 32},        {"num_hidden_layers", 2},
          {"num_attention_heads", 4}, {"num_key_value_heads", 2},
          {"intermediate_size", 48},  {"vocab_size", 31},
          {"hidden_act", "silu"},     {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},  {"rope_scaling", nullptr},
          {"total_ut_steps", 3},      {"early_exit_threshold", 1.0},
          {"torch_dtype", "float32"}, {"tie_word_embeddings", false}};
}

// A model of this config.json with random weights, norms among them.
inline std::unique_ptr<LoopedModel> RandomOuro(Context& ctx,
                                               const nlohmann::json& json) {
  const auto config = ReadOuroConfig(json, "config.json");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto model = LoopedModel::Create(ctx, config->model, 3, /*training=*/false);
  LT2_CHECK(model.ok(), model.status().ToString());
  for (Parameter* p : (*model)->parameters()) {
    if (p->value.rank() != 1) continue;
    const auto drawn = testing::Uniform(p->name.size() + p->name.back(),
                                        p->value.numel(), 0.5, 1.5);
    LT2_CHECK_OK(
        SetValues(ctx, std::vector<float>(drawn.begin(), drawn.end()), p));
  }
  return *std::move(model);
}

inline std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}
inline void WriteText(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// One tensor of a file that is being rewritten.
struct Stored {
  std::string name;
  SafetensorsDType dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

// Reads a file of tensors, lets `change` have them, writes it again.
inline void Rewrite(Context& ctx, const std::string& path,
                    const std::function<void(std::vector<Stored>&)>& change) {
  std::vector<Stored> all;
  {
    const auto file = SafetensorsFile::Open(path);
    LT2_CHECK(file.ok(), file.status().ToString());
    for (const SafetensorsInfo& info : file->tensors()) {
      const auto data = *file->Data(info.name);
      all.push_back({info.name, info.dtype, info.shape,
                     std::string(data.begin(), data.end())});
    }
  }
  change(all);
  std::vector<SafetensorsEntry> entries;
  for (const Stored& s : all) {
    SafetensorsEntry entry;
    entry.name = s.name;
    entry.dtype = s.dtype;
    entry.shape = s.shape;
    entry.bytes = absl::MakeConstSpan(
        reinterpret_cast<const uint8_t*>(s.bytes.data()), s.bytes.size());
    entries.push_back(std::move(entry));
  }
  LT2_CHECK_OK(WriteSafetensors(ctx, path, entries));
}

// A folder of a random Ouro, in one file or in shards.
inline std::string OuroFolder(Context& ctx, const std::string& name,
                              const nlohmann::json& config = TinyOuro(),
                              int64_t shard_bytes = 0) {
  const std::string folder = ::testing::TempDir() + "/" + name;
  ExportOptions options;
  options.layout = FolderLayout::kOuro;
  options.dtype = DType::kF32;
  options.shard_bytes = shard_bytes;
  LT2_CHECK_OK(ExportModelFolder(*RandomOuro(ctx, config), folder, options));
  return folder;
}

inline void EditConfig(const std::string& folder,
                       const std::function<void(nlohmann::json&)>& change) {
  const std::string path = folder + "/config.json";
  nlohmann::json json = *ParseJson(ReadText(path), path);
  change(json);
  WriteText(path, json.dump());
}

}  // namespace lt2::model

#endif  // LT2_MODEL_HF_HF_TESTING_H_
