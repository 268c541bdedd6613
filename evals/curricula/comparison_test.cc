#include "evals/curricula/comparison.h"

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

RunOutcome Outcome(int64_t seed, bool reached, const std::string& log,
                   RunStatus status = RunStatus::kDone,
                   const std::string& row = "gdn") {
  RunOutcome o;
  o.name = absl::StrCat(row, "-s", seed);
  o.row = row;
  o.write_strength = "(0,1)";
  o.column = 4;
  o.seed = seed;
  o.config_digest = absl::StrCat("config of ", o.name);
  o.status = status;
  o.highest_stage = reached ? 5 : 1;
  o.log_digest = absl::StrCat(log, seed);
  return o;
}

// `successes` of `seeds`.
Results Made(int64_t successes, int64_t seeds, const std::string& log) {
  Results r;
  r.preset = "p";
  r.success = 5;
  r.columns = {4};
  for (int64_t i = 0; i < seeds; ++i) {
    r.runs.push_back(Outcome(i, i < successes, log));
  }
  return r;
}

SuccessComparison One(const Results& base, const Results& head) {
  const auto all = CompareSuccesses(base, head, {});
  EXPECT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->size(), 1u);
  return (*all)[0];
}

TEST(CompareSuccesses, FewerSuccessesAreWorseByFishersTest) {
  const SuccessComparison c = One(Made(5, 5, "a"), Made(0, 5, "b"));
  EXPECT_EQ(c.verdict, SuccessVerdict::kWorse);
  // One table of C(10, 5) = 252.
  EXPECT_NEAR(c.p_worse, 1.0 / 252, 1e-12);
  EXPECT_EQ(One(Made(0, 5, "a"), Made(5, 5, "b")).verdict,
            SuccessVerdict::kBetter);
}

TEST(CompareSuccesses, DetectableIsTheLargestCountThatWouldBeWorse) {
  const SuccessComparison c = One(Made(5, 5, "a"), Made(5, 5, "b"));
  EXPECT_EQ(c.verdict, SuccessVerdict::kUnclear);
  ASSERT_EQ(c.detectable, 1);
  for (int64_t k = 0; k <= 5; ++k) {
    EXPECT_EQ(
        One(Made(5, 5, "a"), Made(k, 5, "b")).verdict == SuccessVerdict::kWorse,
        k <= c.detectable)
        << k;
  }
  EXPECT_EQ(One(Made(2, 2, "a"), Made(2, 2, "b")).detectable, -1);
}

TEST(CompareSuccesses, ManySeedsCanShowThatNothingChanged) {
  const SuccessComparison c = One(Made(40, 40, "a"), Made(40, 40, "b"));
  EXPECT_EQ(c.verdict, SuccessVerdict::kSame);
  EXPECT_LT(c.difference.high, 0.1);
  EXPECT_EQ(One(Made(20, 40, "a"), Made(20, 40, "b")).verdict,
            SuccessVerdict::kUnclear);
}

// Newcombe, Statist. Med. 17, 1998, table II: 56/70 and 48/80 have the interval
// 0.0524 to 0.3339 by method 10.
TEST(CompareSuccesses, IntervalIsNewcombes) {
  const SuccessComparison c = One(Made(48, 80, "a"), Made(56, 70, "b"));
  EXPECT_NEAR(c.difference.estimate, 0.2, 1e-12);
  EXPECT_NEAR(c.difference.low, 0.0524, 5e-5);
  EXPECT_NEAR(c.difference.high, 0.3339, 5e-5);
}

TEST(CompareSuccesses, SameLogsAreIdentical) {
  EXPECT_EQ(One(Made(3, 5, "a"), Made(3, 5, "a")).verdict,
            SuccessVerdict::kIdentical);
}

TEST(CompareSuccesses, UndecidedRunsAreLeftOut) {
  Results head = Made(5, 5, "b");
  head.runs[4] = Outcome(4, false, "b", RunStatus::kPartial);
  const SuccessComparison c = One(Made(5, 5, "a"), head);
  EXPECT_EQ(c.head, 4);
  EXPECT_EQ(c.head_seeds, 4);
}

TEST(CompareSuccesses, WhatCannotBeComparedIsNamed) {
  const Results base = Made(5, 5, "a");
  Results head = Made(5, 5, "b");
  head.runs[0].config_digest = "other";
  EXPECT_EQ(One(base, head).reason, "seed 0 has another configuration");
  head = Made(5, 5, "b");
  for (RunOutcome& run : head.runs) run.row = "kda";
  const auto all = CompareSuccesses(base, head, {});
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].reason, "vanished: not in head");
  EXPECT_TRUE((*all)[1].is_new);
  head = Made(5, 5, "b");
  head.preset = "q";
  EXPECT_FALSE(CompareSuccesses(base, head, {}).ok());
  head = Made(5, 5, "b");
  head.success = 0.9;
  EXPECT_FALSE(CompareSuccesses(base, head, {}).ok());
}

// Adjusting for many cells makes one case of luck among them no alarm.
TEST(CompareSuccesses, ManyCellsAreAdjustedTogether) {
  Results base = Made(5, 5, "a"), head = Made(1, 5, "b");
  EXPECT_EQ(One(base, head).verdict, SuccessVerdict::kWorse);
  for (int row = 0; row < 9; ++row) {
    for (int64_t seed = 0; seed < 5; ++seed) {
      const std::string name = absl::StrCat("row", row);
      base.runs.push_back(Outcome(seed, true, "a", RunStatus::kDone, name));
      head.runs.push_back(Outcome(seed, true, "b", RunStatus::kDone, name));
    }
  }
  const auto all = CompareSuccesses(base, head, {});
  for (const SuccessComparison& c : *all) {
    EXPECT_EQ(c.verdict, SuccessVerdict::kUnclear) << c.label;
  }
}

}  // namespace
}  // namespace lt2::evals
