#include "tools/training/train_config.h"

#include "gtest/gtest.h"
#include "tools/training/progress.h"

namespace lt2::tools {
namespace {

using nlohmann::json;

json Valid() {
  return {{"name", "x"},
          {"model", {{"dim", 32}, {"n_heads", 2}}},
          {"data", {{"task", "parity"}}},
          {"train", {{"steps", 10}, {"schedule", "wsd"}}}};
}

std::string ErrorOf(const json& config) {
  return std::string(ReadTrainConfig(config, "").status().message());
}

TEST(TrainConfig, FillsInVocabularyAndDefaults) {
  const auto c = ReadTrainConfig(Valid(), "");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->model.vocab_size, c->stages[0]->vocab_size());
  EXPECT_EQ(c->schedule.steps, 10);
  EXPECT_EQ(c->schedule.shape, model::ScheduleShape::kWsd);
  EXPECT_EQ(c->json["model"]["n_layers"], 4);
  // What is written can be read again, and is the same.
  const auto again = ReadTrainConfig(c->json, "");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->json, c->json);
}

TEST(TrainConfig, ErrorsNameThePath) {
  json bad = Valid();
  bad["train"]["stpes"] = 3;
  EXPECT_EQ(ErrorOf(bad), "train.stpes: unknown key; did you mean 'steps'?");
  bad = Valid();
  bad["trian"] = json::object();
  EXPECT_NE(ErrorOf(bad).find("trian: unknown key"), std::string::npos);
  bad = Valid();
  bad["model"]["dim"] = -1;
  EXPECT_NE(ErrorOf(bad).find("model.dim: "), std::string::npos);
  bad = Valid();
  bad["data"]["train_min"] = "three";
  EXPECT_NE(ErrorOf(bad).find("data.train_min"), std::string::npos);
  bad = Valid();
  bad["model"]["vocab_size"] = 2;
  EXPECT_NE(ErrorOf(bad).find("model.vocab_size"), std::string::npos);
  bad = Valid();
  bad["data"] = {{"curriculum", {{{"task", "parity"}}, {{"task", "mqar"}}}}};
  EXPECT_NE(ErrorOf(bad).find("data.curriculum[1]"), std::string::npos);
  bad = Valid();
  bad["test"] = {{{"task", "parity"}}, {{"task", "mqar"}}};
  EXPECT_NE(ErrorOf(bad).find("test[1]: vocabulary"), std::string::npos);
  bad["test"] = {{{"task", "partiy"}}};
  EXPECT_NE(ErrorOf(bad).find("test[0].task"), std::string::npos);
}

TEST(TrainConfig, BatchesHoldAtLeastSoManyTokens) {
  json config = Valid();
  config["data"] = {{"curriculum",
                     {{{"task", "program"}, {"bits", 8}, {"swaps", 1}},
                      {{"task", "program"}, {"bits", 64}, {"swaps", 64}}}}};
  config["train"] = {{"batch", 32}};
  auto c = ReadTrainConfig(config, "");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->BatchOf(*c->stages[0]), 32);
  config["train"]["batch_tokens"] = 1000;
  c = ReadTrainConfig(config, "");
  ASSERT_TRUE(c.ok()) << c.status();
  // 8 + 12 + 3 tokens; 64 + 12 + 192 tokens.
  EXPECT_EQ(c->BatchOf(*c->stages[0]), 1000 / 23);
  EXPECT_EQ(c->BatchOf(*c->stages[1]), 32);
}

TEST(TrainConfig, EveryStageMayHaveItsOwnThreshold) {
  json config = Valid();
  config["data"] = {{"curriculum",
                     {{{"task", "program"}, {"bits", 8}, {"swaps", 1}},
                      {{"task", "program"}, {"bits", 8}, {"swaps", 8}}}}};
  config["train"] = {{"advance_at", 0.8}};
  auto c = ReadTrainConfig(config, "");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->AdvanceAt(0), 0.8);
  EXPECT_EQ(c->AdvanceAt(1), 0.8);
  config["train"]["stage_advance_at"] = {0.95, 0.9};
  c = ReadTrainConfig(config, "");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->AdvanceAt(0), 0.95);
  EXPECT_EQ(c->AdvanceAt(1), 0.9);
  config["train"]["stage_advance_at"] = {0.95};
  EXPECT_EQ(ReadTrainConfig(config, "").status().message(),
            "train.stage_advance_at: 1 numbers for 2 stages");
  config["train"]["stage_advance_at"] = {0.95, 1.5};
  EXPECT_FALSE(ReadTrainConfig(config, "").ok());
}

TEST(Progress, BarAndDuration) {
  EXPECT_EQ(Duration(59.6), "1:00");
  EXPECT_EQ(Duration(3723), "1:02:03");
  EXPECT_EQ(ProgressBar(480, 1000, 60, 480),
            "[###########.............]  48.0 %  step 480/1000  1:05 left");
  EXPECT_EQ(ProgressBar(0, 10, 0, 0),
            "[........................]   0.0 %  step 0/10  estimating");
}

}  // namespace
}  // namespace lt2::tools
