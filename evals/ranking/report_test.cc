// The reports of hand-made rows, and the keys of results.json.

#include "evals/ranking/report.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

std::vector<Row> Rows() {
  Row full;
  full.model = "full-T4";
  full.column = "parity";
  full.layer_pattern = "full";
  full.write_strength = "-";
  full.loops = full.trained_loops = 4;
  full.parameters = 98304;
  full.flops_per_token = 1.25e6;
  full.state_bytes = 262144;
  full.value = 0.5;
  full.low = 0.25;
  full.high = 0.75;
  full.chance = 0.5;
  full.sequence_accuracy = 0.5;
  full.seconds = 1.5;
  full.model_digest = "0123456789abcdef";
  full.data_digest = "fedcba9876543210";
  full.task_version = 1;
  full.items = {{0, 1, 1, 0.25}, {3, 1, 0, 2.5}};

  Row gdn = full;
  gdn.model = "gdn-neg-T4";
  gdn.layer_pattern = "gdn";
  gdn.write_strength = "(0,2)";
  gdn.loops = 2;
  gdn.state_bytes = 8192;
  gdn.value = gdn.low = gdn.high = gdn.sequence_accuracy = 1;
  gdn.items = {{0, 1, 1, 0.125}, {3, 1, 1, 0.0625}};

  Row text = gdn;
  text.model = "gdn-T4";
  text.column = "text";
  text.metric = Metric::kBitsPerByte;
  text.write_strength = "(0,1)";
  text.loops = 4;
  text.value = 2.125;
  text.low = 2;
  text.high = 2.25;
  text.chance = 1.0 / 256;
  text.sequence_accuracy = 0;
  text.partial = true;
  text.items = {{5, 256, 130, 366.0}};
  return {full, gdn, text};
}

RunInfo Info() {
  return {"g++ 12", "a processor", "leaderboard --sample=2:1", 3};
}

constexpr char kText[] =
    R"(parity: Parity of 40 to 256 bits, trained on 3 to 40 (guessing 50.0 %)

#  model         loops  beta   accuracy   95 % interval  whole  parameters  FLOP/token    state  n
-  ------------  -----  -----  --------  --------------  -----  ----------  ----------  -------  -
1  gdn-neg-T4@2      2  (0,2)   100.0 %  [100.0, 100.0]  100 %       98.3k       1.25M   8.19kB  2
2  full-T4           4  -        50.0 %    [25.0, 75.0]   50 %       98.3k       1.25M  262.1kB  2

text: Bytes of testdata/text/sample.txt, windows of 256 (guessing 8 bits per byte)

#  model   loops  beta   bits per byte   95 % interval  whole  parameters  FLOP/token   state          n
-  ------  -----  -----  -------------  --------------  -----  ----------  ----------  ------  ---------
1  gdn-T4      4  (0,1)      2.125 bpb  [2.000, 2.250]      -       98.3k       1.25M  8.19kB  1 PARTIAL

Overview

model          parity       text
------------  -------  ---------
full-T4        50.0 %
gdn-T4                 2.125 bpb
gdn-neg-T4@2  100.0 %

3 evaluations in 3.0 s on a processor; build g++ 12
beta: write strength of the delta rule. Intervals: bootstrap over examples. whole: sequences without an error.
PARTIAL: a sample of the column's examples.
)";

TEST(Report, Text) { EXPECT_EQ(TextReport(Rows(), Info()), kText); }

constexpr char kMarkdown[] = R"(# Leaderboard

## parity: Parity of 40 to 256 bits, trained on 3 to 40 (guessing 50.0 %)

|   # | model        | loops | beta  | accuracy |  95 % interval | whole | parameters | FLOP/token |   state |   n |
| --: | :----------- | ----: | :---- | -------: | -------------: | ----: | ---------: | ---------: | ------: | --: |
|   1 | gdn-neg-T4@2 |     2 | (0,2) |  100.0 % | [100.0, 100.0] | 100 % |      98.3k |      1.25M |  8.19kB |   2 |
|   2 | full-T4      |     4 | -     |   50.0 % |   [25.0, 75.0] |  50 % |      98.3k |      1.25M | 262.1kB |   2 |

## text: Bytes of testdata/text/sample.txt, windows of 256 (guessing 8 bits per byte)

|   # | model  | loops | beta  | bits per byte |  95 % interval | whole | parameters | FLOP/token |  state |         n |
| --: | :----- | ----: | :---- | ------------: | -------------: | ----: | ---------: | ---------: | -----: | --------: |
|   1 | gdn-T4 |     4 | (0,1) |     2.125 bpb | [2.000, 2.250] |     - |      98.3k |      1.25M | 8.19kB | 1 PARTIAL |

## Overview

| model        |  parity |      text |
| :----------- | ------: | --------: |
| full-T4      |  50.0 % |           |
| gdn-T4       |         | 2.125 bpb |
| gdn-neg-T4@2 | 100.0 % |           |

3 evaluations in 3.0 s on a processor; build g++ 12
beta: write strength of the delta rule. Intervals: bootstrap over examples. whole: sequences without an error.
PARTIAL: a sample of the column's examples.

Made by: `leaderboard --sample=2:1`
)";

TEST(Report, Markdown) { EXPECT_EQ(MarkdownReport(Rows(), Info()), kMarkdown); }

// The keys are an interface: a change of them is a new schema_version.
TEST(Report, JsonKeys) {
  const json report = JsonReport(Rows(), Info());
  const auto keys = [](const json& object) {
    std::vector<std::string> names;
    for (const auto& item : object.items()) names.push_back(item.key());
    return names;
  };
  EXPECT_EQ(report["schema_version"], 1);
  EXPECT_EQ(keys(report),
            (std::vector<std::string>{"build", "command", "machine", "rows",
                                      "schema_version", "seconds"}));
  ASSERT_EQ(report["rows"].size(), 3u);
  for (const json& row : report["rows"]) {
    EXPECT_EQ(keys(row), (std::vector<std::string>{"chance",
                                                   "data_digest",
                                                   "flops_per_token",
                                                   "high",
                                                   "higher_is_better",
                                                   "item_fields",
                                                   "items",
                                                   "layer_pattern",
                                                   "loops",
                                                   "low",
                                                   "metric",
                                                   "model",
                                                   "model_digest",
                                                   "parameters",
                                                   "partial",
                                                   "seconds",
                                                   "seed",
                                                   "sequence_accuracy",
                                                   "state_bytes",
                                                   "task",
                                                   "task_version",
                                                   "trained_loops",
                                                   "value",
                                                   "write_strength"}));
  }
}

TEST(Report, JsonHoldsTheRowsAndRoundTrips) {
  const json report = JsonReport(Rows(), Info());
  EXPECT_EQ(json::parse(report.dump()), report);
  const json& gdn = report["rows"][1];
  EXPECT_EQ(gdn["model"], "gdn-neg-T4");
  EXPECT_EQ(gdn["task"], "parity");
  EXPECT_EQ(gdn["loops"], 2);
  EXPECT_EQ(gdn["trained_loops"], 4);
  EXPECT_EQ(gdn["metric"], "accuracy");
  EXPECT_EQ(gdn["higher_is_better"], true);
  EXPECT_EQ(gdn["item_fields"], json({"index", "scored", "correct", "nll"}));
  EXPECT_EQ(gdn["items"], json::parse("[[0, 1, 1, 0.125], [3, 1, 1, 0.0625]]"));
  const json& text = report["rows"][2];
  EXPECT_EQ(text["metric"], "bits_per_byte");
  EXPECT_EQ(text["higher_is_better"], false);
  EXPECT_EQ(text["partial"], true);
  EXPECT_EQ(text["value"], 2.125);
}

TEST(Report, NumbersThatJsonLacksAreNull) {
  std::vector<Row> rows = Rows();
  rows[0].value = std::nan("");
  rows[0].high = std::numeric_limits<double>::infinity();
  rows[0].items[0].nll = std::nan("");
  const json row = json::parse(JsonReport(rows, Info()).dump())["rows"][0];
  EXPECT_TRUE(row["value"].is_null());
  EXPECT_TRUE(row["high"].is_null());
  EXPECT_TRUE(row["items"][0][3].is_null());
  EXPECT_EQ(row["low"], 0.25);
}

TEST(Report, ShortNumbers) {
  EXPECT_EQ(Short(0), "0");
  EXPECT_EQ(Short(999), "999");
  EXPECT_EQ(Short(1000), "1.00k");
  EXPECT_EQ(Short(98304), "98.3k");
  EXPECT_EQ(Short(1.25e6), "1.25M");
  EXPECT_EQ(Short(3.21e10), "32.1G");
}

}  // namespace
}  // namespace lt2::evals
