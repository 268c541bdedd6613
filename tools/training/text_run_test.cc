// A whole run on text by tokens, through the trainer.

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/io/atomic_file.h"
#include "nlohmann/json.hpp"
#include "tools/training/trainer.h"

namespace lt2::tools {
namespace {

using nlohmann::json;

std::string Temp(const std::string& name) {
  return ::testing::TempDir() + "/" + name;
}

json Config() {
  std::string train, valid;
  for (int i = 0; i < 40; ++i) {
    train += "the cat sat on the mat and the dog lay on the log. ";
    if (i % 10 == 9) train += "\n<|endoftext|>\n";
  }
  valid =
      "the dog sat on the log.\n<|endoftext|>\nthe cat lay on the mat.\n"
      "<|endoftext|>\nthe mat.\n";
  EXPECT_TRUE(model::WriteFileAtomically(Temp("train.txt"), train).ok());
  EXPECT_TRUE(model::WriteFileAtomically(Temp("valid.txt"), valid).ok());
  return {{"name", "text"},
          {"model",
           {{"dim", 16},
            {"n_layers", 1},
            {"n_heads", 2},
            {"loop_count", 2},
            {"multiple_of", 16},
            {"vocab_size", 264}}},
          {"data",
           {{"task", "text"},
            {"tokenizer", "bytes"},
            {"length", 10},
            {"train_files", {"train.txt"}},
            {"valid_files", {"valid.txt"}}}},
          {"train",
           {{"steps", 6},
            {"batch", 4},
            {"lr", 0.01},
            {"schedule", "constant"},
            {"eval_every", 3},
            {"eval_examples", 2},
            {"final_eval_examples", 1000}}}};
}

std::vector<json> LogOf(const json& config, const std::string& out,
                        double time_limit = 0) {
  const auto c = ReadTrainConfig(config, ::testing::TempDir());
  EXPECT_TRUE(c.ok()) << c.status();
  RunOptions options;
  options.out = Temp(out);
  options.quiet = true;
  options.time_limit = time_limit;
  const auto result = Train(*c, options);
  EXPECT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->finished);
  std::vector<json> lines;
  const std::string log = *model::ReadFile(options.out + "/log.jsonl");
  for (size_t begin = 0; begin < log.size();) {
    const size_t end = log.find('\n', begin);
    lines.push_back(json::parse(log.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lines;
}

TEST(TextRun, LastEvaluationIsExactOverTheDocuments) {
  const std::vector<json> log = LogOf(Config(), "exact");
  const json& last = log.back();
  // Three documents of 24, 24 and 9 bytes; a byte is a token.
  EXPECT_EQ(last["documents"], 3);
  EXPECT_EQ(last["bytes"], 24 + 24 + 9);
  EXPECT_EQ(last["tokens"], 24 + 24 + 9);
  EXPECT_EQ(last["examples"], 3 + 3 + 1);
  EXPECT_NEAR(last["bits_per_byte"].get<double>(),
              last["valid_loss"].get<double>() / std::log(2.0), 1e-9);
  const json& interval = last["bits_per_byte_interval"];
  EXPECT_LE(interval[0], last["bits_per_byte"]);
  EXPECT_GE(interval[1], last["bits_per_byte"]);
  // Earlier ones are of eval_examples.
  int short_ones = 0;
  for (const json& line : log) short_ones += line.value("examples", 0) == 2;
  EXPECT_EQ(short_ones, 2);
  // The export names its tokenizer.
  const json config =
      json::parse(*model::ReadFile(Temp("exact") + "/final/config.json"));
  EXPECT_EQ(config["data"]["tokenizer"], "bytes");
  EXPECT_FALSE(config["data"]["tokenizer_digest"].get<std::string>().empty());
}

TEST(TextRun, CoolsDownBeforeATimeLimit) {
  json config = Config();
  config["train"]["steps"] = 1000000;
  config["train"]["eval_every"] = 0;
  config["train"]["cooldown_seconds"] = 1.5;
  std::vector<double> rates;
  std::string reason;
  for (const json& line : LogOf(config, "limit", /*time_limit=*/2)) {
    if (line.contains("lr")) rates.push_back(line["lr"]);
    reason = line.value("ended_by", reason);
  }
  EXPECT_EQ(reason, "time_limit");
  ASSERT_GT(rates.size(), 2u);
  for (size_t i = 1; i < rates.size(); ++i) EXPECT_LE(rates[i], rates[i - 1]);
  EXPECT_LE(rates.front(), 0.01);
  EXPECT_LT(rates.back(), rates.front());
}

}  // namespace
}  // namespace lt2::tools
