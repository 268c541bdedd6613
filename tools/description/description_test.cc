#include "tools/description/description.h"

#include <dirent.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"
#include "tools/training/train_config.h"

namespace lt2::tools {
namespace {

constexpr char kPresets[] = "model/config/presets";

// The JSON files of a folder and of the folders in it.
std::vector<std::string> JsonFiles(const std::string& folder) {
  std::vector<std::string> files;
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return files;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name[0] == '.') continue;
    const std::string path = folder + "/" + name;
    if (absl::EndsWith(name, ".json")) {
      files.push_back(path);
    } else {
      for (const std::string& file : JsonFiles(path)) files.push_back(file);
    }
  }
  closedir(directory);
  std::sort(files.begin(), files.end());
  return files;
}

absl::StatusOr<Description> DescribeFile(
    const std::string& path, const std::vector<std::string>& overrides = {},
    const DescribeOptions& options = {}) {
  LT2_ASSIGN_OR_RETURN(const NamedConfig model,
                       LoadModelConfig(path, overrides));
  return Describe(model, options);
}

// A model's configuration as a file.
std::string File(const nlohmann::json& json) {
  static int count = 0;
  const std::string path =
      absl::StrCat(::testing::TempDir(), "/describe", count++, ".json");
  LT2_CHECK_OK(model::WriteFileAtomically(path, json.dump()));
  return path;
}

std::string ErrorOf(const std::string& path,
                    const std::vector<std::string>& overrides = {}) {
  return std::string(DescribeFile(path, overrides).status().message());
}

TEST(Describe, TheTextIsThis) {
  const std::string path = File({{"vocab_size", 100},
                                 {"dim", 64},
                                 {"n_layers", 7},
                                 {"n_heads", 4},
                                 {"loop_count", 3},
                                 {"layer_pattern", "interleaved:2:1:gdn:full"},
                                 {"multiple_of", 64}});
  DescribeOptions options;
  options.length = 1000;
  options.batch = 2;
  auto description = DescribeFile(path, {}, options);
  ASSERT_TRUE(description.ok()) << description.status();
  description->model.name = "small";
  EXPECT_EQ(ToText(*description), R"(small
7 layers x 3 loops, dim 64, 4 heads, FFN 192, vocabulary 100

layer   1     6
loop 1  ggFgg Fg
loop 2  ggFgg Fg
loop 3  ggFgg Fg

   mixer  window  layers  slots  parameters  FLOP/token   state  per token
-  -----  ------  ------  -----  ----------  ----------  ------  ---------
g  gdn         -       5     15       25.9k       58.2k  5.76kB          -
F  full        -       2      6       16.4k        161k       -     + 256B
Parameters are of one layer; FLOP and states of one (loop, layer) slot.
Capital letter: its state grows with the sequence.

Parameters
  embedding                6.40k   the output uses the same table
  mixers                    162k
  FFN                       258k
  norms, loop gates        1.15k
  total                     428k   421k without the embedding

FLOP per token, 1000 tokens
  prefill                  3.40M   forward, logits of all tokens
  training                 10.2M   forward and backward
  decode                   4.17M   token 1000 alone

Decoding, 2 sequences of 1000 tokens, bf16
  weights                 1.29MB   blocks read 3 times, 2 sequences at once
  states                  1.71MB   read and written
  total                   3.00MB   per token

State of one sequence
  fixed                   86.4kB
  growth                  1.54kB   per token
  at 1000 tokens          1.62MB   3.24MB of the batch
)");
}

TEST(Describe, PicturesLoopsWithMixersAndWindowsOfTheirOwn) {
  const auto d =
      DescribeFile(File({{"vocab_size", 100},
                         {"n_layers", 2},
                         {"loop_count", 3},
                         {"layer_pattern", "full,gdn->full->window"},
                         {"attention_pattern", "full->SWA=512->full"},
                         {"default_sliding_window", 16}}));
  ASSERT_TRUE(d.ok()) << d.status();
  const nlohmann::json json = ToJson(*d);
  EXPECT_EQ(json["slots"], (nlohmann::json{"Fg", "ff", "ww"}));
  EXPECT_EQ(json["kinds"][2]["mixer"], "full");
  EXPECT_EQ(json["kinds"][2]["window"], 512);
  EXPECT_EQ(json["kinds"][3]["window"], 16);
}

TEST(Describe, FixedAndGrowingStatesAddUp) {
  for (const char* mixer :
       {"full", "window", "gdn", "nsa", "dsa", "mamba2", "hgrn2"}) {
    DescribeOptions options;
    options.length = 1 << 14;  // past every window
    const auto d = DescribeFile(
        File({{"vocab_size", 100}, {"layer_pattern", mixer}}), {}, options);
    ASSERT_TRUE(d.ok()) << mixer << ": " << d.status();
    EXPECT_EQ(static_cast<double>(d->cost.state_bytes),
              static_cast<double>(d->cost.fixed_state_bytes) +
                  d->cost.growth_bytes * (1 << 14))
        << mixer;
  }
}

TEST(Describe, LoopsOfInferenceRepeatTheLastPart) {
  DescribeOptions options;
  options.loops = 3;
  const auto d = DescribeFile(File({{"vocab_size", 100},
                                    {"n_layers", 1},
                                    {"loop_count", 2},
                                    {"layer_pattern", "full->gdn"}}),
                              {}, options);
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(ToJson(*d)["slots"], (nlohmann::json{"F", "g", "g"}));
  EXPECT_NE(ToText(*d).find("3 loops (trained with 2)"), std::string::npos);
}

TEST(Describe, RandomPatternsCountTheirPasses) {
  const auto d = DescribeFile(File({{"vocab_size", 100},
                                    {"layer_pattern", "random:4:1:gdn:full"},
                                    {"inference_ensemble_k", 3}}));
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_NE(ToText(*d).find("An inference is 3 passes"), std::string::npos);
  const nlohmann::json flops = ToJson(*d)["flops_per_token"];
  EXPECT_DOUBLE_EQ(flops["training"], flops["prefill"]);  // 3 / 3 passes
}

TEST(Describe, ManyLayersStartNewLines) {
  const auto d = DescribeFile(File({{"vocab_size", 100},
                                    {"n_layers", 130},
                                    {"loop_count", 12},
                                    {"layer_pattern", "gdn"}}));
  ASSERT_TRUE(d.ok()) << d.status();
  // The first line is the name.
  const std::string text = ToText(*d).substr(d->model.name.size());
  EXPECT_NE(text.find("\nlayer    61    66"), std::string::npos) << text;
  EXPECT_NE(text.find("\nloop 12  ggggg ggggg\n"), std::string::npos) << text;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(Describe, EveryRecipe) {
  const std::vector<std::string> files = JsonFiles("testdata/recipes");
  EXPECT_GE(files.size(), 5u);
  for (const std::string& file : files) {
    const auto d = DescribeFile(file);
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_GT(d->model.config.vocab_size, 1) << file;
    EXPECT_FALSE(ToText(*d).empty());
  }
}

TEST(Describe, ACheckpointsFolder) {
  const auto d = DescribeFile("testdata/checkpoints/mqar/full+gdn-T4");
  ASSERT_TRUE(d.ok()) << d.status();
  EXPECT_EQ(d->model.name, "full+gdn-T4");
  EXPECT_EQ(d->cost.parameters, ToJson(*d)["parameters"]["total"]);
}

TEST(Describe, EveryPreset) {
  const std::vector<std::string> files = JsonFiles(kPresets);
  EXPECT_EQ(files.size(), 27u);
  for (const std::string& file : files) {
    const auto model = LoadModelConfig(file, {});
    ASSERT_TRUE(model.ok()) << model.status();
    const auto d = Describe(*model, {});
    ASSERT_TRUE(d.ok()) << file << ": " << d.status();
    const nlohmann::json json = ToJson(*d);
    int64_t sum = 0;
    for (const char* part : {"embedding", "mixers", "ffn", "norms_and_gates"}) {
      sum += json["parameters"][part].get<int64_t>();
    }
    EXPECT_EQ(json["parameters"]["total"], sum) << file;
    for (absl::string_view line : absl::StrSplit(ToText(*d), '\n')) {
      EXPECT_LE(line.size(), 80u) << file << ": " << line;
    }
  }
}

// //tools:train takes a preset with data of the user's.
TEST(Presets, AreConfigurationsOfTraining) {
  for (const std::string& file : JsonFiles(kPresets)) {
    const auto text = model::ReadFile(file);
    ASSERT_TRUE(text.ok()) << text.status();
    auto json = ParseJson(*text, file);
    ASSERT_TRUE(json.ok()) << json.status();
    (*json)["data"] = {{"task", "parity"}};
    const auto config = ReadTrainConfig(*json, "");
    EXPECT_TRUE(config.ok()) << file << ": " << config.status();
  }
}

TEST(Describe, ErrorsNameTheFileAndTheKey) {
  const std::string good = File({{"model", {{"vocab_size", 100}}}});
  EXPECT_TRUE(DescribeFile(good).ok());
  EXPECT_EQ(ErrorOf(good, {"model.n_heads=3"}),
            good + ": model.n_heads: 3 does not divide dim 256");
  EXPECT_EQ(
      ErrorOf(good, {"model.loop_cuont=3"}),
      good + ": model.loop_cuont: unknown key; did you mean 'loop_count'?");
  EXPECT_EQ(ErrorOf(good, {"model.layer_pattern=gdn->full"}),
            good +
                ": model.layer_pattern: pattern 'gdn->full' has 2 parts, "
                "loop_count is 4");
  const std::string empty = File({{"model", nlohmann::json::object()}});
  EXPECT_NE(ErrorOf(empty).find("model.vocab_size"), std::string::npos);
  EXPECT_NE(ErrorOf(File({{"dim", 8}})).find("vocab_size"), std::string::npos);
  EXPECT_NE(ErrorOf("no/such/file.json").find("no/such/file.json"),
            std::string::npos);
  const std::string mixer = ErrorOf(good, {"model.layer_pattern=fll"});
  EXPECT_NE(mixer.find("layer_pattern: no mixer 'fll'; there are: full"),
            std::string::npos)
      << mixer;
}

TEST(Short, HasThreeDigits) {
  EXPECT_EQ(Short(0), "0");
  EXPECT_EQ(Short(7), "7");
  EXPECT_EQ(Short(999), "999");
  EXPECT_EQ(Short(1000), "1.00k");
  EXPECT_EQ(Short(9.996), "10.0");
  EXPECT_EQ(Short(0.5), "0.50");
  EXPECT_EQ(Short(99.96e6), "100M");
  EXPECT_EQ(Short(999600), "1.00M");
  EXPECT_EQ(Short(1234567), "1.23M");
  EXPECT_EQ(Short(1.5e18), "1.50E");
}

}  // namespace
}  // namespace lt2::tools
