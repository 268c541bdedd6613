#include "evals/comparison/compare.h"

#include <cmath>

#include "evals/comparison/report.h"
#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

nlohmann::json RowJson(const std::string& model, const std::string& task,
                       const std::string& metric, const nlohmann::json& items) {
  return {{"model", model},
          {"task", task},
          {"task_version", 1},
          {"data_digest", "d"},
          {"model_digest", "m"},
          {"seed", 0},
          {"layer_pattern", "gdn"},
          {"write_strength", "(0,1)"},
          {"loops", 4},
          {"trained_loops", 4},
          {"parameters", 10},
          {"flops_per_token", 1.5},
          {"state_bytes", 8},
          {"metric", metric},
          {"higher_is_better", metric == "accuracy"},
          {"value", 0.5},
          {"low", 0.4},
          {"high", nullptr},
          {"chance", 0.1},
          {"sequence_accuracy", 0.1},
          {"partial", false},
          {"seconds", 1.0},
          {"item_fields", {"index", "scored", "correct", "nll"}},
          {"items", items}};
}

nlohmann::json FileJson(const std::vector<nlohmann::json>& rows) {
  return {{"schema_version", 1}, {"build", "b"},   {"machine", "m"},
          {"command", "c"},      {"seconds", 1.0}, {"rows", rows}};
}

// n examples of `scored` positions; `correct(i)` of them right.
template <typename Correct>
nlohmann::json Items(int n, int scored, const Correct& correct,
                     double nll_per_item = 1) {
  nlohmann::json items = nlohmann::json::array();
  for (int i = 0; i < n; ++i) {
    items.push_back(
        {i, scored, correct(i), nll_per_item * (1 + 0.01 * (i % 7))});
  }
  return items;
}

ResultsFile File(const std::vector<nlohmann::json>& rows,
                 const std::string& source = "f.json") {
  const auto file = ParseResults(FileJson(rows), source);
  EXPECT_TRUE(file.ok()) << file.status();
  return *file;
}

std::vector<Comparison> MustCompare(const nlohmann::json& base,
                                    const nlohmann::json& head,
                                    const CompareOptions& options = {}) {
  const auto result = Compare(File({base}), File({head}, "head.json"), options);
  EXPECT_TRUE(result.ok()) << result.status();
  return *result;
}

TEST(Compare, EqualBitsAreIdenticalAndPass) {
  const auto row = RowJson("gdn", "parity", "accuracy",
                           Items(50, 4, [](int i) { return i % 5; }));
  const auto result = MustCompare(row, row);
  ASSERT_EQ(result.size(), 1u);
  EXPECT_EQ(result[0].verdict, Verdict::kIdentical);
  EXPECT_EQ(ExitCode(result), 0);
}

TEST(Compare, VerdictsHaveTheDirectionOfTheMetric) {
  const auto good = Items(
      200, 4, [](int i) { return 3 + i % 2; }, 1.0);
  const auto bad = Items(
      200, 4, [](int i) { return 1 + i % 2; }, 1.1);
  for (const char* metric : {"accuracy", "bits_per_byte"}) {
    const auto a = RowJson("gdn", "t", metric, good);
    const auto b = RowJson("gdn", "t", metric, bad);
    EXPECT_EQ(MustCompare(a, b)[0].verdict, Verdict::kWorse) << metric;
    EXPECT_EQ(ExitCode(MustCompare(a, b)), 1);
    EXPECT_EQ(MustCompare(b, a)[0].verdict, Verdict::kBetter) << metric;
    EXPECT_EQ(ExitCode(MustCompare(b, a)), 0);
  }
}

TEST(Compare, WholeExamplesAreMcNemars) {
  // 6 examples only the base has whole, 1 only the head: by enumeration of
  // Binomial(7, 1/2), p = 2 (1 + 7) / 128.
  const auto base = Items(20, 2, [](int i) { return i < 10 ? 2 : 1; });
  const auto head =
      Items(20, 2, [](int i) { return (i >= 6 && i < 11) ? 2 : 1; });
  const auto c = MustCompare(RowJson("g", "t", "accuracy", base),
                             RowJson("g", "t", "accuracy", head))[0];
  EXPECT_EQ(c.only_base, 6);
  EXPECT_EQ(c.only_head, 1);
  EXPECT_NEAR(c.mcnemar_p, 16.0 / 128, 1e-12);
  EXPECT_NEAR(c.difference.estimate, -5.0 / 40, 1e-12);
}

TEST(Compare, SmallDifferencesAreTheSameOnlyIfTheIntervalIsInsideTheFloor) {
  // One position in 2000 differs.
  const auto base = Items(500, 4, [](int) { return 3; });
  const auto head = Items(500, 4, [](int i) { return i == 7 ? 4 : 3; });
  const auto a = RowJson("g", "t", "accuracy", base);
  const auto b = RowJson("g", "t", "accuracy", head);
  EXPECT_EQ(MustCompare(a, b)[0].verdict, Verdict::kSame);
  CompareOptions strict;
  strict.accuracy_floor = 0.0001;
  EXPECT_EQ(MustCompare(a, b, strict)[0].verdict, Verdict::kUnclear);
  EXPECT_EQ(ExitCode(MustCompare(a, b, strict)), 3);
}

TEST(Compare, NoDifferenceIsRarelyCalledOne) {
  // Two independent noisy copies of one model on 100 tasks: what is called
  // worse or better without a floor is the share of false discoveries.
  std::vector<nlohmann::json> base, head;
  uint64_t state = 1;
  const auto noisy = [&](int) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>(state >> 62);
  };
  for (int task = 0; task < 100; ++task) {
    const std::string name = "t" + std::to_string(task);
    base.push_back(RowJson("g", name, "accuracy", Items(100, 4, noisy)));
    head.push_back(RowJson("g", name, "accuracy", Items(100, 4, noisy)));
  }
  CompareOptions options;
  options.accuracy_floor = 0;
  options.bootstrap.resamples = 2000;
  const auto result = Compare(File(base), File(head), options);
  ASSERT_TRUE(result.ok()) << result.status();
  int called = 0, raw = 0;
  for (const Comparison& c : *result) {
    called += c.verdict == Verdict::kWorse || c.verdict == Verdict::kBetter;
    raw += c.difference.low > 0 || c.difference.high < 0;
  }
  EXPECT_LE(called, 1);
  EXPECT_GE(raw, 1);  // intervals alone would have called some
  EXPECT_LE(raw, 15);
}

TEST(Compare, WhatOneSideLacksIsSaid) {
  const auto items = Items(10, 1, [](int) { return 1; });
  const auto result = Compare(File({RowJson("a", "t", "accuracy", items),
                                    RowJson("b", "t", "accuracy", items)}),
                              File({RowJson("a", "t", "accuracy", items),
                                    RowJson("c", "t", "accuracy", items)},
                                   "head.json"),
                              {});
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->size(), 3u);
  EXPECT_EQ((*result)[0].reason, "vanished: not in head.json");
  EXPECT_EQ((*result)[1].reason, "new: not in f.json");
  EXPECT_EQ(ExitCode(*result), 0);
}

TEST(Compare, OtherExamplesAreNotCompared) {
  const auto items = Items(10, 1, [](int) { return 1; });
  const auto base = RowJson("a", "t", "accuracy", items);
  for (const char* key : {"data_digest", "task_version", "seed"}) {
    auto head = base;
    head[key] = head[key].is_string() ? nlohmann::json("x") : nlohmann::json(7);
    const auto result = MustCompare(base, head);
    EXPECT_EQ(result[0].verdict, Verdict::kMissing);
    EXPECT_NE(result[0].reason.find(key), std::string::npos)
        << result[0].reason;
    EXPECT_EQ(ExitCode(result), 2);
  }
  auto head = base;
  head["items"][3][3] = nullptr;  // a score that was NaN
  EXPECT_EQ(MustCompare(base, head)[0].reason, "example 3 has no finite score");
}

TEST(Compare, SamplesAreComparedWhereTheyOverlap) {
  const auto all = Items(40, 2, [](int i) { return i % 3 == 0 ? 2 : 1; });
  nlohmann::json some = nlohmann::json::array();
  for (int i : {31, 5, 12}) some.push_back(all[i]);
  const auto c = MustCompare(RowJson("a", "t", "accuracy", all),
                             RowJson("a", "t", "accuracy", some))[0];
  EXPECT_EQ(c.n, 3);
  EXPECT_EQ(c.verdict, Verdict::kIdentical);
}

TEST(Compare, TwoModelsOfOneFile) {
  const auto file = File(
      {RowJson("a", "t", "accuracy", Items(99, 1, [](int) { return 1; })),
       RowJson("b", "t", "accuracy", Items(99, 1, [](int) { return 0; }))});
  CompareOptions options;
  options.base_model = "a";
  options.head_model = "b";
  const auto result = Compare(file, file, options);
  ASSERT_TRUE(result.ok());
  ASSERT_EQ(result->size(), 1u);
  EXPECT_EQ((*result)[0].verdict, Verdict::kWorse);
  EXPECT_EQ((*result)[0].only_base, 99);
  options.head_model = "nobody";
  options.base_model = "nobody";
  EXPECT_FALSE(Compare(file, file, options).ok());
}

TEST(Results, DamagedFilesAreErrorsThatNameTheKey) {
  const auto good =
      RowJson("a", "t", "accuracy", Items(3, 1, [](int) { return 1; }));
  const auto error = [&](const std::string& key, const nlohmann::json& value) {
    auto row = good;
    row[key] = value;
    const auto file = ParseResults(FileJson({row}), "r.json");
    return std::string(file.status().message());
  };
  EXPECT_NE(error("loops", 0).find("r.json.rows.0.loops"), std::string::npos)
      << error("loops", 0);
  EXPECT_NE(error("lops", 1).find("unknown key"), std::string::npos);
  EXPECT_NE(error("metric", "f1").find("metric"), std::string::npos);
  EXPECT_NE(error("items", {{0, 1, 2, 0.5}}).find("items"), std::string::npos);
  EXPECT_NE(error("items", {{0, 1, 1, 0.5}, {0, 1, 1, 0.5}}).find("twice"),
            std::string::npos);
  auto file = FileJson({good});
  file["schema_version"] = 2;
  EXPECT_FALSE(ParseResults(file, "r.json").ok());
}

TEST(Report, FoldsTheUnchangedAndPinsItsKeys) {
  const auto base = File(
      {RowJson("a", "t", "accuracy", Items(99, 1, [](int) { return 1; })),
       RowJson("a", "u", "accuracy", Items(99, 1, [](int) { return 1; }))});
  const auto head =
      File({RowJson("a", "t", "accuracy", Items(99, 1, [](int) { return 1; })),
            RowJson("a", "u", "accuracy", Items(99, 1, [](int) { return 0; }))},
           "h.json");
  const auto result = *Compare(base, head, {});
  const std::string text = ComparisonText(base, head, result, false);
  EXPECT_NE(text.find("WORSE"), std::string::npos) << text;
  EXPECT_EQ(text.find("IDENTICAL"), std::string::npos) << text;
  EXPECT_NE(text.find("2 rows: 1 identical, 0 the same, 0 missing."),
            std::string::npos)
      << text;
  EXPECT_NE(ComparisonText(base, head, result, true).find("IDENTICAL"),
            std::string::npos);
  const nlohmann::json json = ComparisonJson(base, head, result);
  EXPECT_EQ(json["exit_code"], 1);
  std::string keys;
  for (const auto& [key, value] : json["rows"][0].items()) keys += key + " ";
  EXPECT_EQ(keys,
            "base_model base_value detectable difference floor head_model "
            "head_value high higher_is_better low mcnemar_p metric n only_base "
            "only_head p_value reason task verdict ");
}

}  // namespace
}  // namespace lt2::evals
