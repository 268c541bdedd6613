// The presets load, and have the sizes that the paper's shapes give: parameters
// of a mixer and of a layer, and totals, to the digits of paper.md 1.6. It adds
// numbers that it has rounded before, so its last digit may be off by one.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "model/looped/accounting.h"

namespace lt2::model {
namespace {

using nlohmann::json;

// Parameters agree with millions as printed.
::testing::AssertionResult Prints(int64_t parameters, const char* printed) {
  const char* point = std::strchr(printed, '.');
  const double unit = point == nullptr ? 1 : 0.01;
  const double millions = static_cast<double>(parameters) / 1e6;
  if (std::abs(millions - std::atof(printed)) < unit) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure()
         << millions << " million, printed " << printed;
}

absl::StatusOr<ModelConfig> Read(const std::string& name, json* changes) {
  const std::string path = absl::StrCat("model/config/presets/", name, ".json");
  LT2_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  LT2_ASSIGN_OR_RETURN(json root, ParseJson(text, path));
  if (changes != nullptr) root["model"].update(*changes);
  return ModelConfig::FromJson(root["model"], "model");
}

struct PresetCase {
  const char* name;  // size/row
  int64_t layers, loops;
  // How many layers have each mixer.
  std::vector<std::pair<std::string, int64_t>> mixers;
  // Millions of parameters: without embedding, tied, untied.
  const char *blocks, *tied, *untied;
};

// Table 2 of the paper, 15 rows at 0.6B and 12 at 1.3B. "" = not in 1.6.
std::vector<PresetCase> Cases() {
  return {
      {"0.6b/transformer", 25, 1, {{"full", 25}}, "321", "453", "584"},
      {"0.6b/looped-transformer", 25, 4, {{"full", 25}}, "321", "453", "584"},
      {"0.6b/looped-retnet", 18, 4, {{"retnet", 18}}, "", "", ""},
      {"0.6b/looped-hgrn2", 25, 4, {{"hgrn2", 25}}, "", "", ""},
      {"0.6b/looped-mamba2", 21, 4, {{"mamba2", 21}}, "", "", ""},
      {"0.6b/looped-deltanet", 25, 4, {{"deltanet", 25}}, "", "", ""},
      {"0.6b/looped-gdn", 21, 4, {{"gdn", 21}}, "315", "446", "578"},
      {"0.6b/looped-kda", 24, 4, {{"kda", 24}}, "", "", ""},
      {"0.6b/looped-window", 25, 4, {{"window", 25}}, "321", "453", "584"},
      {"0.6b/looped-nsa", 25, 4, {{"nsa", 25}}, "", "", ""},
      {"0.6b/looped-dsa", 11, 4, {{"dsa", 11}}, "", "", ""},
      {"0.6b/full+window", 21, 4, {{"full", 21}}, "", "", ""},
      {"0.6b/full+dsa", 21, 4, {{"dsa", 17}, {"full", 4}}, "", "", ""},
      {"0.6b/full+gdn", 21, 4, {{"gdn", 17}, {"full", 4}}, "306", "438", "569"},
      {"0.6b/gdn+dsa", 21, 4, {{"gdn", 17}, {"dsa", 4}}, "", "", ""},
      {"1.3b/transformer", 24, 1, {{"full", 24}}, "1233", "1496", "1759"},
      {"1.3b/looped-transformer",
       24,
       4,
       {{"full", 24}},
       "1233",
       "1496",
       "1759"},
      {"1.3b/looped-mamba2", 20, 4, {{"mamba2", 20}}, "", "", ""},
      {"1.3b/looped-gdn", 20, 4, {{"gdn", 20}}, "1197", "1460", "1723"},
      {"1.3b/looped-kda", 23, 4, {{"kda", 23}}, "", "", ""},
      {"1.3b/looped-window", 24, 4, {{"window", 24}}, "1233", "1496", "1759"},
      {"1.3b/looped-nsa", 25, 4, {{"nsa", 25}}, "", "", ""},
      {"1.3b/looped-dsa", 16, 4, {{"dsa", 16}}, "1179", "1441", "1704"},
      {"1.3b/full+window", 20, 4, {{"full", 20}}, "1028", "1290", "1553"},
      {"1.3b/full+dsa", 20, 4, {{"dsa", 16}, {"full", 4}}, "", "", ""},
      {"1.3b/full+gdn",
       20,
       4,
       {{"gdn", 16}, {"full", 4}},
       "1163",
       "1426",
       "1689"},
      {"1.3b/gdn+dsa",
       20,
       4,
       {{"gdn", 16}, {"dsa", 4}},
       "1253",
       "1515",
       "1778"},
  };
}

TEST(Presets, AreAllTheRowsOfTable2) {
  int small = 0, large = 0;
  for (const PresetCase& c : Cases()) (c.name[0] == '0' ? small : large) += 1;
  EXPECT_EQ(small, 15);
  EXPECT_EQ(large, 12);
}

class EveryPreset : public ::testing::TestWithParam<PresetCase> {};
INSTANTIATE_TEST_SUITE_P(Presets, EveryPreset, ::testing::ValuesIn(Cases()),
                         [](const auto& preset) {
                           std::string name = preset.param.name;
                           for (char& c : name) {
                             if (!absl::ascii_isalnum(c)) c = '_';
                           }
                           return name;
                         });

TEST_P(EveryPreset, HasItsLayersLoopsAndSizes) {
  const PresetCase& want = GetParam();
  const auto config = Read(want.name, nullptr);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->n_layers, want.layers);
  EXPECT_EQ(config->loop_count, want.loops);
  EXPECT_EQ(config->vocab_size, 128256);
  EXPECT_EQ(config->dim, want.name[0] == '0' ? 1024 : 2048);
  EXPECT_EQ(config->ffn_hidden, want.name[0] == '0' ? 2816 : 5632);
  const std::vector<std::string> types = config->LayerTypes(1);
  for (const auto& [mixer, layers] : want.mixers) {
    EXPECT_EQ(std::count(types.begin(), types.end(), mixer), layers) << mixer;
  }
  const auto cost = Cost(*config, 1, 0, DType::kBF16);
  ASSERT_TRUE(cost.ok()) << cost.status();
  json tied = {{"weight_tying", true}};
  const auto tied_cost = Cost(*Read(want.name, &tied), 1, 0, DType::kBF16);
  const int64_t blocks = cost->parameters - cost->embedding_parameters;
  RecordProperty("parameters", absl::StrCat(cost->parameters));
  if (want.blocks[0] == '\0') return;
  EXPECT_TRUE(Prints(blocks, want.blocks));
  EXPECT_TRUE(Prints(tied_cost->parameters, want.tied));
  EXPECT_TRUE(Prints(cost->parameters, want.untied));
}

struct MixerCase {
  const char* name;
  json changes;
  // Millions of parameters of the mixer and of its layer, at width 1024 and at
  // 2048.
  const char *mixer1, *layer1, *mixer2, *layer2;
};

// The table of paper.md 1.6.
TEST(Mixers, HaveTheParametersOfThePapersShapes) {
  const std::vector<MixerCase> cases = {
      {"full", {{"layer_pattern", "full"}}, "4.19", "12.85", "16.78", "51.38"},
      {"full + gate",
       {{"layer_pattern", "full"}, {"use_attn_gate", true}},
       "5.24",
       "13.90",
       "20.97",
       "55.58"},
      {"gdn", {{"layer_pattern", "gdn"}}, "6.34", "14.99", "25.26", "59.86"},
      {"deltanet",
       {{"layer_pattern", "deltanet"}},
       "4.22",
       "12.88",
       "16.84",
       "51.44"},
      {"kda ev=1",
       {{"layer_pattern", "kda"}},
       "4.49",
       "13.14",
       "17.89",
       "52.49"},
      {"kda ev=1.5",
       {{"layer_pattern", "kda"}, {"kda", {{"expand_v", 1.5}}}},
       "5.72",
       "14.37",
       "22.81",
       "57.42"},
      {"retnet",
       {{"layer_pattern", "retnet"}},
       "8.39",
       "17.04",
       "33.56",
       "68.16"},
      {"hgrn2",
       {{"layer_pattern", "hgrn2"}},
       "4.20",
       "12.85",
       "16.78",
       "51.39"},
      {"mamba2 ds=64",
       {{"layer_pattern", "mamba2"}, {"mamba2", {{"state_size", 64}}}},
       "6.45",
       "15.11",
       "25.49",
       "60.09"},
      {"nsa, 1 kv head",
       {{"layer_pattern", "nsa"}, {"nsa", {{"n_kv_heads", 1}}}},
       "2.28",
       "10.93",
       "9.01",
       "43.62"},
      {"dsa (code)",
       {{"layer_pattern", "dsa"}, {"dsa", {{"mode", "lt2_released"}}}},
       "19.53",
       "28.18",
       "39.06",
       "73.67"},
      {"gla (fla dflt)",
       {{"layer_pattern", "gla"}, {"gla", {{"n_heads", 4}}}},
       "4.22",
       "12.87",
       "16.83",
       "51.44"},
  };
  for (const MixerCase& c : cases) {
    for (int64_t dim : {1024, 2048}) {
      json model = {{"vocab_size", 1}, {"n_layers", 1},
                    {"loop_count", 1}, {"n_heads", 16},
                    {"dim", dim},      {"use_residual", false}};
      model.update(c.changes);
      const auto config = ModelConfig::FromJson(model, "model");
      ASSERT_TRUE(config.ok()) << c.name << ": " << config.status();
      const auto cost = Cost(*config, 1, 0, DType::kBF16);
      ASSERT_TRUE(cost.ok()) << c.name << ": " << cost.status();
      const int64_t layer =
          cost->mixer_parameters + cost->ffn_parameters + 2 * dim;  // norms
      EXPECT_TRUE(
          Prints(cost->mixer_parameters, dim == 1024 ? c.mixer1 : c.mixer2))
          << c.name << " at " << dim;
      EXPECT_TRUE(Prints(layer, dim == 1024 ? c.layer1 : c.layer2))
          << c.name << " at " << dim;
    }
  }
}

}  // namespace
}  // namespace lt2::model
