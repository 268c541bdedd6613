#include "bench/tracking/change_points.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::bench {
namespace {

// Values around 1 with `noise`; from index steps[k].first on, times the second.
std::vector<double> History(
    int n, double noise, uint64_t trial,
    const std::vector<std::pair<int, double>>& steps = {}) {
  Philox rng(4, trial);
  std::vector<double> values;
  double level = 1;
  for (int i = 0; i < n; ++i) {
    for (const auto& [at, factor] : steps) {
      if (at == i) level *= factor;
    }
    values.push_back(level * std::exp(noise * rng.Normal()));
  }
  return values;
}

std::vector<ChangePoint> Find(const std::vector<double>& values) {
  const auto points = FindChangePoints(values);
  EXPECT_TRUE(points.ok()) << points.status();
  return *points;
}

TEST(EnergySplit, IsTheLargestValueOfTheFormula) {
  Philox rng(5, 0);
  for (int n = 0; n <= 12; ++n) {
    std::vector<double> x;
    for (int i = 0; i < n; ++i) x.push_back(rng.Normal());
    EnergySplit expected;
    for (int t = 1; t < n; ++t) {
      const double a = t, b = n - t;
      double xy = 0, xx = 0, yy = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          const double d = std::abs(x[i] - x[j]);
          if (i < t && j < t) xx += d / (a * a);
          if (i >= t && j >= t) yy += d / (b * b);
          if (i < t && j >= t) xy += d / (a * b);
        }
      }
      const double q = a * b / (a + b) * (2 * xy - xx - yy);
      if (t == 1 || q > expected.statistic) expected = {t, q};
    }
    const EnergySplit split = BestEnergySplit(x);
    EXPECT_EQ(split.place, expected.place) << n;
    EXPECT_NEAR(split.statistic, expected.statistic, 1e-12) << n;
  }
}

TEST(PlantedStep, IsNamedAtItsFirstIndex) {
  for (int at : {10, 25, 40, 47}) {
    for (double factor : {1.05, 0.95}) {
      const auto points = Find(History(50, 0.005, at, {{at, factor}}));
      ASSERT_EQ(points.size(), 1u) << at << " " << factor;
      EXPECT_EQ(points[0].first, at);
      EXPECT_NEAR(points[0].change, std::log(factor), 0.01);
      EXPECT_LE(points[0].low, points[0].change);
      EXPECT_GE(points[0].high, points[0].change);
      EXPECT_LE(points[0].p_value, 0.001);
    }
  }
}

TEST(PlantedStep, OfTwoPercentIsFoundNearItsPlace) {
  int found = 0, exact = 0;
  for (int trial = 0; trial < 50; ++trial) {
    const auto points = Find(History(50, 0.005, trial, {{30, 1.02}}));
    if (points.size() != 1) continue;
    found += std::abs(points[0].first - 30) <= 1;
    exact += points[0].first == 30;
  }
  EXPECT_GE(found, 45);
  EXPECT_GE(exact, 40);
}

TEST(PlantedSteps, AreFoundInLongHistories) {
  const auto points = Find(History(
      230, 0.004, 1, {{20, 1.03}, {60, 0.96}, {100, 1.05}, {190, 1.02}}));
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[0].first, 20);
  EXPECT_EQ(points[1].first, 60);
  EXPECT_EQ(points[2].first, 100);
  EXPECT_NEAR(points[3].first, 190, 1);
}

TEST(SlowDrift, OfFiveSmallStepsIsFound) {
  // No step reaches 1 %; together they are 4 %.
  const auto points = Find(History(
      60, 0.002, 2,
      {{10, 1.008}, {20, 1.008}, {30, 1.008}, {40, 1.008}, {50, 1.008}}));
  ASSERT_FALSE(points.empty());
  for (const ChangePoint& point : points) {
    EXPECT_GE(point.change, std::log(1.01));
    EXPECT_EQ(point.first % 10, 0) << point.first;
  }
}

TEST(Noise, AloneHasNoChangePoints) {
  int alarms = 0;
  for (int trial = 0; trial < 150; ++trial) {
    alarms += !Find(History(50, 0.02, trial)).empty();
  }
  EXPECT_LE(alarms, 1);  // p = 0.001 each
}

TEST(Outliers, AreNoChanges) {
  std::vector<double> values = History(50, 0.005, 3);
  values[20] = 3;
  values[41] = 0.3;
  EXPECT_TRUE(Find(values).empty());
  // Nor do they hide one.
  for (size_t i = 30; i < 50; ++i) values[i] *= 1.05;
  const auto points = Find(values);
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].first, 30);
}

TEST(TwoModes, InRandomOrderAreNoChange) {
  Philox rng(6, 0);
  std::vector<double> values = History(100, 0.002, 4);
  for (double& value : values) value *= rng.Below(2) == 0 ? 1 : 1.05;
  EXPECT_TRUE(Find(values).empty());
}

TEST(SmallChanges, BelowOnePercentAreNotReported) {
  EXPECT_TRUE(Find(History(50, 0.0005, 5, {{25, 1.005}})).empty());
}

TEST(ConstantHistories, HaveExactlyThePlantedStep) {
  EXPECT_TRUE(Find(std::vector<double>(80, 2.0)).empty());
  const auto points = Find(History(80, 0, 0, {{33, 1.02}}));
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0].first, 33);
  EXPECT_NEAR(points[0].change, std::log(1.02), 1e-12);
}

TEST(ShortHistories, AreNoEvidence) {
  for (int n = 0; n <= 6; ++n) {
    EXPECT_TRUE(Find(History(n, 0.001, 6, {{n / 2, 2.0}})).empty()) << n;
  }
}

TEST(Search, GivesTheSameTwice) {
  const auto values = History(120, 0.01, 7, {{50, 1.04}});
  const auto a = Find(values), b = Find(values);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_EQ(a[i].change, b[i].change);
  }
}

TEST(Inputs, ThatAreNoMeasurementsAreErrors) {
  for (double bad :
       {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_FALSE(FindChangePoints({1.0, bad, 1.0}).ok());
  }
  ChangePointOptions options;
  options.permutations = 100;
  EXPECT_FALSE(FindChangePoints({1.0}, options).ok());
  options = {};
  options.window = 1000;
  EXPECT_FALSE(FindChangePoints({1.0}, options).ok());
}

}  // namespace
}  // namespace lt2::bench
