#include "bench/scaling/statistics.h"

#include <cmath>

#include "gtest/gtest.h"

namespace lt2::bench {
namespace {

TEST(MedianOf, OrderStatisticsOfTheTables) {
  // n, k and coverage of the tables of the sign test.
  struct {
    int n, k;
    double coverage;
  } const cases[] = {{1, 1, 0},           {2, 1, 0.5},
                     {5, 1, 0.9375},      {6, 1, 0.96875},
                     {9, 2, 0.9609375},   {10, 2, 0.978515625},
                     {20, 6, 0.958610535}};
  for (const auto& c : cases) {
    std::vector<double> samples;
    for (int i = c.n; i >= 1; --i) samples.push_back(i);
    const auto median = MedianOf(samples);
    ASSERT_TRUE(median.ok());
    EXPECT_EQ(median->median, (c.n + 1) / 2.0);
    EXPECT_EQ(median->low, c.k) << c.n;
    EXPECT_EQ(median->high, c.n + 1 - c.k) << c.n;
    EXPECT_NEAR(median->coverage, c.coverage, 1e-9) << c.n;
  }
}

TEST(MedianOf, RejectsNoSamplesAndNaN) {
  EXPECT_FALSE(MedianOf({}).ok());
  EXPECT_FALSE(MedianOf({1, std::nan("")}).ok());
}

TEST(StudentQuantile, AgreesWithTables) {
  EXPECT_NEAR(StudentQuantile(0.95, 1), 12.7062, 1e-4);
  EXPECT_NEAR(StudentQuantile(0.95, 2), 4.30265, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 3), 3.18245, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 4), 2.77645, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.99, 7), 3.49948, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 30), 2.04227, 1e-5);
}

Points Law(double exponent, double noise = 0) {
  Points points;
  for (int i = 0; i < 6; ++i) {
    const double x = std::exp2(8 + i);
    points.push_back({x, 3e-6 * std::pow(x, exponent) *
                             std::exp(noise * (i % 2 == 0 ? 1 : -1))});
  }
  return points;
}

TEST(FitPowerLaw, FindsKnownExponents) {
  for (double exponent : {0.0, 1.0, 1.5, 2.0}) {
    const auto law = FitPowerLaw(Law(exponent));
    ASSERT_TRUE(law.ok());
    EXPECT_NEAR(law->exponent, exponent, 1e-12);
    EXPECT_NEAR(law->low, exponent, 1e-6);
    EXPECT_NEAR(law->high, exponent, 1e-6);
    EXPECT_EQ(law->points, 6);
  }
}

TEST(FitPowerLaw, IntervalHoldsTheExponentUnderNoiseAndRejectsAnother) {
  const auto law = FitPowerLaw(Law(1, 0.05));
  ASSERT_TRUE(law.ok());
  EXPECT_LT(law->low, 1);
  EXPECT_GT(law->high, 1);
  EXPECT_LT(law->high, 1.2);
  EXPECT_GT(law->high - law->low, 0.01);
}

TEST(FitPowerLaw, ConstantCostDoesNotHideTheLargestLengths) {
  Points points = Law(2);
  for (auto& point : points) point.second += 1;
  const auto all = FitPowerLaw(points),
             largest = FitPowerLaw(Largest(points, 3));
  ASSERT_TRUE(all.ok() && largest.ok());
  EXPECT_EQ(largest->points, 3);
  EXPECT_LT(all->exponent, largest->exponent);
}

TEST(FitPowerLaw, TwoPointsHaveNoInterval) {
  const auto law = FitPowerLaw({{1, 1}, {2, 4}});
  ASSERT_TRUE(law.ok());
  EXPECT_NEAR(law->exponent, 2, 1e-12);
  EXPECT_TRUE(std::isinf(law->high));
  EXPECT_FALSE(FitPowerLaw({{1, 1}}).ok());
  EXPECT_FALSE(FitPowerLaw({{1, 1}, {1, 2}}).ok());
  EXPECT_FALSE(FitPowerLaw({{1, 1}, {2, 0}}).ok());
}

TEST(FindCrossover, InterpolatesBetweenPowerLaws) {
  // x^2 and 1000 x meet at 1000, exactly: both are lines in logarithms.
  Points square, line;
  for (double x : {256.0, 512.0, 1024.0, 2048.0}) {
    square.push_back({x, x * x});
    line.push_back({x, 1000 * x});
  }
  const Crossover crossover = FindCrossover(square, line);
  EXPECT_EQ(crossover.outcome, Crossover::kReached);
  EXPECT_NEAR(crossover.x, 1000, 1e-9);
  EXPECT_NEAR(crossover.ratio, 1000.0 / 2048, 1e-12);
  EXPECT_EQ(FindCrossover(line, square).outcome, Crossover::kNever);
  EXPECT_EQ(FindCrossover(line, line).outcome, Crossover::kAlways);
}

TEST(FindCrossover, TakesTheLastChangeAndOnlyCommonLengths) {
  const Points base = {{1, 2}, {2, 2}, {4, 2}, {8, 2}, {16, 2}};
  const Points other = {{1, 1}, {2, 4}, {4, 1}, {16, 1}, {32, 9}};
  const Crossover crossover = FindCrossover(base, other);
  EXPECT_EQ(crossover.outcome, Crossover::kReached);
  EXPECT_NEAR(crossover.x, std::sqrt(8.0), 1e-12);
  EXPECT_EQ(FindCrossover(base, {{3, 1}}).outcome, Crossover::kUnknown);
}

}  // namespace
}  // namespace lt2::bench
