#include "evals/curricula/preset.h"

#include <dirent.h>

#include <algorithm>
#include <set>

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

constexpr char kFolder[] = "evals/curricula/presets";

json Small() {
  return json::parse(R"({
    "schema_version": 1, "title": "t",
    "run": {"model": {"dim": 8, "gdn": {"key_dim": 8}}, "train": {"steps": 5}},
    "stage_numbers": [0, 1, 2], "stage_sizes": [8, 16],
    "rows": [{"name": "full", "set": {"model": {"layer_pattern": "full"}}},
             {"name": "gdn", "set": {"model": {"layer_pattern": "gdn"}},
              "write_strength": ["gdn"]}],
    "columns": {"name": "T", "keys": ["model.loop_count"],
                "values": [1, 2, 4], "order": [4, 1, 2]},
    "seeds": [1, 2]})");
}

std::vector<std::string> Names(const Preset& preset) {
  std::vector<std::string> names;
  for (const PlannedRun& run : preset.runs) names.push_back(run.name);
  return names;
}

TEST(Preset, QueueIsBreadthFirst) {
  const auto preset = ParsePreset(Small(), "p", json::object());
  ASSERT_TRUE(preset.ok()) << preset.status();
  EXPECT_EQ(
      Names(*preset),
      (std::vector<std::string>{
          "full-T4-s1", "gdn-T4-s1", "gdn-neg-T4-s1", "full-T1-s1", "gdn-T1-s1",
          "gdn-neg-T1-s1", "full-T2-s1", "gdn-T2-s1", "gdn-neg-T2-s1",
          "full-T4-s2", "gdn-T4-s2", "gdn-neg-T4-s2", "full-T1-s2", "gdn-T1-s2",
          "gdn-neg-T1-s2", "full-T2-s2", "gdn-T2-s2", "gdn-neg-T2-s2"}));
  EXPECT_EQ(preset->columns, (std::vector<int64_t>{1, 2, 4}));
}

TEST(Preset, RunsGetTheirConfiguration) {
  json preset_json = Small();
  preset_json["axis"] = {
      {"name", "d"}, {"keys", {"model.dim"}}, {"values", {16, 32}}};
  const auto preset =
      ParsePreset(preset_json, "p", {{"train", {{"steps", 7}, {"lr", 0.1}}}});
  ASSERT_TRUE(preset.ok()) << preset.status();
  const auto run =
      std::find_if(preset->runs.begin(), preset->runs.end(),
                   [](const auto& r) { return r.name == "gdn-neg-d32-T2-s2"; });
  ASSERT_NE(run, preset->runs.end());
  EXPECT_EQ(run->config, json::parse(R"({
    "name": "gdn-neg-d32-T2-s2", "seed": 2,
    "model": {"dim": 32, "layer_pattern": "gdn", "loop_count": 2,
              "gdn": {"key_dim": 8, "allow_neg_eigval": true}},
    "train": {"steps": 7, "lr": 0.1}})"));
  EXPECT_EQ(run->label(), "gdn d=32 (0,2)");
  EXPECT_EQ(preset->runs[0].label(), "full d=16");
}

TEST(Preset, StarsInKeysStandForEveryElement) {
  json preset_json = Small();
  preset_json["run"]["data"]["curriculum"] = {{{"bits", 8}}, {{"bits", 16}}};
  preset_json["axis"] = {{"name", "base"},
                         {"keys", {"data.curriculum.*.base"}},
                         {"values", {2, 16}}};
  const auto preset = ParsePreset(preset_json, "p", json::object());
  ASSERT_TRUE(preset.ok()) << preset.status();
  EXPECT_EQ(preset->runs[1].name, "full-base16-T4-s1");
  EXPECT_EQ(preset->runs[1].config["data"]["curriculum"],
            json::parse(R"([{"bits": 8, "base": 16},
                            {"bits": 16, "base": 16}])"));
  preset_json["axis"]["keys"] = {"train.*.base"};
  EXPECT_EQ(ParsePreset(preset_json, "p", json::object()).status().message(),
            "base: key train.*.base: a '*' where there is no list");
}

TEST(Preset, OneWriteStrengthIsEnough) {
  json preset_json = Small();
  preset_json["write_strengths"] = {"(0,2)"};
  preset_json["seeds"] = {1};
  const auto preset = ParsePreset(preset_json, "p", json::object());
  ASSERT_TRUE(preset.ok()) << preset.status();
  EXPECT_EQ(Names(*preset),
            (std::vector<std::string>{"full-T4-s1", "gdn-neg-T4-s1",
                                      "full-T1-s1", "gdn-neg-T1-s1",
                                      "full-T2-s1", "gdn-neg-T2-s1"}));
  preset_json["write_strengths"] = {"(0,3)"};
  EXPECT_FALSE(ParsePreset(preset_json, "p", json::object()).ok());
}

TEST(Preset, WarmUpStagesDoNotCount) {
  const auto preset = ParsePreset(Small(), "p", json::object());
  ASSERT_TRUE(preset.ok()) << preset.status();
  EXPECT_EQ(preset->StageNumber(0), 0);
  EXPECT_EQ(preset->StageNumber(1), 0);
  EXPECT_EQ(preset->StageNumber(3), 2);
  EXPECT_EQ(preset->StageNumber(4), 0);
  EXPECT_EQ(preset->StageSize(0), 0);
  EXPECT_EQ(preset->StageSize(2), 16);
  EXPECT_EQ(preset->StageSize(3), 0);
}

TEST(Preset, ErrorsNameThePath) {
  const auto error = [](const json& bad) {
    return std::string(
        ParsePreset(bad, "p", json::object()).status().message());
  };
  json bad = Small();
  bad["colums"] = 1;
  EXPECT_NE(error(bad).find("p.colums: unknown key"), std::string::npos)
      << error(bad);
  bad = Small();
  bad["columns"]["order"] = {4, 1};
  EXPECT_NE(error(bad).find("p.columns.order"), std::string::npos);
  bad = Small();
  bad["rows"][1]["name"] = "full";
  bad["rows"][1].erase("write_strength");
  EXPECT_NE(error(bad).find("two runs are called full-T4-s1"),
            std::string::npos);
  bad = Small();
  bad["rows"][0]["name"] = "../full";
  EXPECT_NE(error(bad).find("cannot name a folder"), std::string::npos);
  bad = Small();
  bad.erase("run");
  EXPECT_NE(error(bad).find("run"), std::string::npos);
  EXPECT_FALSE(ReadPreset(kFolder, "no-such-preset", json::object()).ok());
}

TEST(Preset, PatternsSelectRunsAndRows) {
  PlannedRun run;
  run.name = "gdn-neg-T4-s1";
  run.row = "gdn";
  EXPECT_TRUE(Selected("", run));
  EXPECT_TRUE(Selected("full,gdn", run));
  EXPECT_TRUE(Selected("*-T4-s?", run));
  EXPECT_FALSE(Selected("full,*-T2-*", run));
}

TEST(Preset, ShippedOnesCanBeRead) {
  DIR* folder = opendir(kFolder);
  ASSERT_NE(folder, nullptr);
  int count = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string file = entry->d_name;
    if (file.size() < 6 || file.substr(file.size() - 5) != ".json") continue;
    const auto preset =
        ReadPreset(kFolder, file.substr(0, file.size() - 5), json::object());
    ASSERT_TRUE(preset.ok()) << file << ": " << preset.status();
    ++count;
    // The stages that count are 1, 2, ... in order, with a size each.
    int64_t last = 0;
    const json& data = preset->runs[0].config["data"];
    if (!data.contains("curriculum")) continue;
    for (size_t i = 1; i <= data["curriculum"].size(); ++i) {
      const int64_t number = preset->StageNumber(static_cast<int64_t>(i));
      if (number == 0) continue;
      EXPECT_EQ(number, last + 1) << file;
      EXPECT_GT(preset->StageSize(number), 0) << file;
      last = number;
    }
    EXPECT_EQ(last, static_cast<int64_t>(preset->stage_sizes.size())) << file;
  }
  closedir(folder);
  EXPECT_GE(count, 5);
}

TEST(Preset, Figure9HasThePapersGrid) {
  const auto preset = ReadPreset(kFolder, "figure9", json::object());
  ASSERT_TRUE(preset.ok()) << preset.status();
  std::set<std::string> labels;
  for (const PlannedRun& run : preset->runs) labels.insert(run.label());
  // 10 models, of which 6 with two ranges of write strength.
  EXPECT_EQ(labels.size(), 16u);
  EXPECT_EQ(preset->runs.size(), labels.size() * 4 * 3);
  for (size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(preset->runs[i].seed, 1);
    EXPECT_EQ(preset->runs[i].column, i < 16 ? 4 : 1);
  }
}

}  // namespace
}  // namespace lt2::evals
