// The reports of hand-made rows, and the keys of results.json.

#include "evals/ranking/report.h"

#include <cmath>
#include <limits>

#include "evals/ranking/groups.h"
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

#  group  model         mixers  loops  beta   accuracy   95 % interval  whole  parameters  FLOP/token    state  n
-  -----  ------------  ------  -----  -----  --------  --------------  -----  ----------  ----------  -------  -
1  a      gdn-neg-T4@2  gdn         2  (0,2)   100.0 %  [100.0, 100.0]  100 %       98.3k       1.25M   8.19kB  2
2  a      full-T4       full        4  -        50.0 %    [25.0, 75.0]   50 %       98.3k       1.25M  262.1kB  2

text: Bytes of testdata/text/sample.txt, windows of 256 (guessing 8 bits per byte)

#  group  model   mixers  loops  beta   bits per byte   95 % interval  whole  parameters  FLOP/token   state          n
-  -----  ------  ------  -----  -----  -------------  --------------  -----  ----------  ----------  ------  ---------
1  a      gdn-T4  gdn         4  (0,1)      2.125 bpb  [2.000, 2.250]      -       98.3k       1.25M  8.19kB  1 PARTIAL

Overview

model          parity       text
------------  -------  ---------
full-T4        50.0 %
gdn-T4                 2.125 bpb
gdn-neg-T4@2  100.0 %

3 evaluations in 3.0 s on a processor; build g++ 12
beta: write strength of the delta rule. Intervals: bootstrap over examples. whole: sequences without an error.
group: entries of one letter cannot be told from its first (paired bootstrap).
PARTIAL: a sample of the column's examples.
)";

TEST(Report, Text) { EXPECT_EQ(TextReport(Rows(), Info()), kText); }

constexpr char kMarkdown[] = R"(# Leaderboard

## parity: Parity of 40 to 256 bits, trained on 3 to 40 (guessing 50.0 %)

|   # | group | model        | mixers | loops | beta  | accuracy |  95 % interval | whole | parameters | FLOP/token |   state |   n |
| --: | :---- | :----------- | :----- | ----: | :---- | -------: | -------------: | ----: | ---------: | ---------: | ------: | --: |
|   1 | a     | gdn-neg-T4@2 | gdn    |     2 | (0,2) |  100.0 % | [100.0, 100.0] | 100 % |      98.3k |      1.25M |  8.19kB |   2 |
|   2 | a     | full-T4      | full   |     4 | -     |   50.0 % |   [25.0, 75.0] |  50 % |      98.3k |      1.25M | 262.1kB |   2 |

## text: Bytes of testdata/text/sample.txt, windows of 256 (guessing 8 bits per byte)

|   # | group | model  | mixers | loops | beta  | bits per byte |  95 % interval | whole | parameters | FLOP/token |  state |         n |
| --: | :---- | :----- | :----- | ----: | :---- | ------------: | -------------: | ----: | ---------: | ---------: | -----: | --------: |
|   1 | a     | gdn-T4 | gdn    |     4 | (0,1) |     2.125 bpb | [2.000, 2.250] |     - |      98.3k |      1.25M | 8.19kB | 1 PARTIAL |

## Overview

| model        |  parity |      text |
| :----------- | ------: | --------: |
| full-T4      |  50.0 % |           |
| gdn-T4       |         | 2.125 bpb |
| gdn-neg-T4@2 | 100.0 % |           |

3 evaluations in 3.0 s on a processor; build g++ 12
beta: write strength of the delta rule. Intervals: bootstrap over examples. whole: sequences without an error.
group: entries of one letter cannot be told from its first (paired bootstrap).
PARTIAL: a sample of the column's examples.

Made by: `leaderboard --sample=2:1`
)";

TEST(Report, Markdown) { EXPECT_EQ(MarkdownReport(Rows(), Info()), kMarkdown); }

// Entries on the same examples, `right[i]` of 4 positions right in each.
Row Entry(const std::string& model, const std::vector<int>& right) {
  Row row = Rows()[0];
  row.model = model;
  row.items.clear();
  int64_t sum = 0;
  for (size_t i = 0; i < right.size(); ++i) {
    row.items.push_back({static_cast<int64_t>(i), 4, right[i], 1.0});
    sum += right[i];
  }
  row.value = static_cast<double>(sum) / (4.0 * right.size());
  return row;
}

TEST(Groups, SeparateWhatTheSameExamplesCanTellApart) {
  std::vector<int> good(100, 4), near(100, 4), bad(100, 2), worse(100, 2);
  near[7] = 3;  // one position in 400: could be luck
  worse[3] = 0;
  std::vector<int> also(100, 3);  // always one less: not luck
  const Row a = Entry("a", good), b = Entry("b", near), c = Entry("c", also);
  const Row d = Entry("d", bad), e = Entry("e", worse);
  EXPECT_EQ(Groups({&a, &b, &c, &d, &e}),
            (std::vector<std::string>{"a", "a", "b", "c", "c"}));
  EXPECT_TRUE(Groups({}).empty());
}

TEST(Report, SeveralLoopCountsMakeATableOfTheirOwn) {
  std::vector<Row> rows = {Entry("m", {4, 4}), Entry("m", {2, 2}),
                           Entry("other", {1, 1})};
  rows[1].loops = 8;
  const std::string text = TextReport(rows, Info());
  EXPECT_NE(text.find("by loop count:\n\n"
                      "model  trained    T = 4   T = 8\n"
                      "-----  -------  -------  ------\n"
                      "m            4  100.0 %  50.0 %\n"),
            std::string::npos)
      << text;
}

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
