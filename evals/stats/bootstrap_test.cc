#include <algorithm>
#include <cmath>
#include <vector>

#include "evals/stats/distributions.h"
#include "evals/stats/stats.h"
#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

// The statistic of each of the n^n equally likely resamples, sorted.
template <typename Statistic>
std::vector<double> AllResamples(int n, const Statistic& statistic) {
  std::vector<double> values;
  std::vector<int> items(n, 0);
  while (true) {
    values.push_back(statistic(items));
    int place = 0;
    while (place < n && ++items[place] == n) items[place++] = 0;
    if (place == n) break;
  }
  std::sort(values.begin(), values.end());
  return values;
}

// The shares of `sorted` below x and at or below x, with room for rounding.
std::pair<double, double> Rank(const std::vector<double>& sorted, double x) {
  const double total = static_cast<double>(sorted.size());
  const auto low = std::lower_bound(sorted.begin(), sorted.end(), x - 1e-12);
  const auto high = std::upper_bound(sorted.begin(), sorted.end(), x + 1e-12);
  return {static_cast<double>(low - sorted.begin()) / total,
          static_cast<double>(high - sorted.begin()) / total};
}

// `interval` is that of the exact distribution up to the error of its 10000
// draws: four standard deviations of a quantile's rank.
void ExpectExact(const std::vector<double>& sorted, const Interval& interval) {
  const double slack = 4 * std::sqrt(0.025 * 0.975 / 10000);
  const auto [low_below, low_at] = Rank(sorted, interval.low);
  EXPECT_LE(low_below, 0.025 + slack);
  EXPECT_GE(low_at, 0.025 - slack);
  const auto [high_below, high_at] = Rank(sorted, interval.high);
  EXPECT_LE(high_below, 0.975 + slack);
  EXPECT_GE(high_at, 0.975 - slack);
}

TEST(RatioBootstrap, MatchesEnumerationOfAllResamples) {
  const std::vector<double> num = {1, 0, 7, 2, 3}, den = {2, 1, 8, 11, 4};
  const std::vector<double> exact =
      AllResamples(5, [&](const std::vector<int>& items) {
        double n = 0, d = 0;
        for (int i : items) {
          n += num[i];
          d += den[i];
        }
        return n / d;
      });
  const Interval interval = *RatioBootstrap(num, den);
  EXPECT_NEAR(interval.estimate, 13.0 / 26, 1e-15);
  ExpectExact(exact, interval);
  // Not the mean of ratios, and not independent tokens.
  EXPECT_FALSE(std::abs(interval.low - WilsonInterval(13, 26)->low) < 0.01);
}

TEST(PairedRatioBootstrap, MatchesEnumerationOfAllResamples) {
  const std::vector<double> num_a = {1, 0, 7, 2, 3}, den_a = {2, 1, 8, 11, 4};
  const std::vector<double> num_b = {2, 1, 6, 5, 4}, den_b = {2, 1, 8, 11, 5};
  const std::vector<double> exact =
      AllResamples(5, [&](const std::vector<int>& items) {
        double na = 0, da = 0, nb = 0, db = 0;
        for (int i : items) {
          na += num_a[i];
          da += den_a[i];
          nb += num_b[i];
          db += den_b[i];
        }
        return nb / db - na / da;
      });
  const Interval interval = *PairedRatioBootstrap(num_a, den_a, num_b, den_b);
  EXPECT_NEAR(interval.estimate, 18.0 / 27 - 13.0 / 26, 1e-15);
  ExpectExact(exact, interval);
}

TEST(RatioBootstrap, MatchesTheClosedFormForAMean) {
  // With denominators 1 the resampled mean is nearly normal with variance
  // sum (x - mean)^2 / n^2.
  constexpr int kExamples = 400;
  Philox rng(3, 0);
  std::vector<double> values, ones(kExamples, 1.0);
  double mean = 0;
  for (int i = 0; i < kExamples; ++i) {
    values.push_back(rng.Normal() + 5);
    mean += values.back() / kExamples;
  }
  double variance = 0;
  for (double x : values) {
    variance += (x - mean) * (x - mean) / kExamples / kExamples;
  }
  for (double confidence : {0.5, 0.95}) {
    BootstrapOptions options;
    options.confidence = confidence;
    const Interval interval = *RatioBootstrap(values, ones, options);
    const double half =
        NormalQuantile(0.5 + confidence / 2) * std::sqrt(variance);
    EXPECT_NEAR(interval.estimate, mean, 1e-12);
    EXPECT_NEAR(interval.low, mean - half, 0.06 * half);
    EXPECT_NEAR(interval.high, mean + half, 0.06 * half);
  }
}

TEST(RatioBootstrap, IsDeterministicAndDependsOnTheSeed) {
  const std::vector<double> num = {1, 0, 7, 2, 3, 2.5},
                            den = {2, 1, 8, 9, 4, 3};
  BootstrapOptions options;
  options.resamples = 500;
  const Interval a = *RatioBootstrap(num, den, options);
  const Interval b = *RatioBootstrap(num, den, options);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  options.seed += 1;
  const Interval c = *RatioBootstrap(num, den, options);
  EXPECT_TRUE(a.low != c.low || a.high != c.high);
}

TEST(RatioBootstrap, ExamplesThatCountNothingChangeNothing) {
  BootstrapOptions options;
  options.resamples = 200;
  const Interval a = *RatioBootstrap({1, 2, 0}, {2, 3, 1}, options);
  const Interval b = *RatioBootstrap({0, 1, 2, 0, 0}, {0, 2, 3, 0, 1}, options);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  const Interval one = *RatioBootstrap({1}, {4}, options);
  EXPECT_EQ(one.low, 0.25);
  EXPECT_EQ(one.high, 0.25);
}

TEST(PairedRatioBootstrap, EqualSidesDifferByExactlyNothing) {
  const std::vector<double> num = {1, 0, 7, 2}, den = {2, 1, 8, 9};
  BootstrapOptions options;
  options.resamples = 200;
  const Interval same = *PairedRatioBootstrap(num, den, num, den, options);
  EXPECT_EQ(same.low, 0);
  EXPECT_EQ(same.high, 0);
  // A constant shift has no spread when paired, however noisy the items.
  const std::vector<double> ones(4, 1.0), a = {3, -50, 8, 20},
                                          b = {4, -49, 9, 21};
  const Interval shift = *PairedRatioBootstrap(a, ones, b, ones, options);
  EXPECT_NEAR(shift.low, 1, 1e-12);
  EXPECT_NEAR(shift.high, 1, 1e-12);
}

TEST(RatioBootstrap, RefusesWhatIsNotAResult) {
  EXPECT_FALSE(RatioBootstrap({}, {}).ok());
  EXPECT_FALSE(RatioBootstrap({0, 0}, {0, 0}).ok());
  EXPECT_FALSE(RatioBootstrap({1}, {1, 2}).ok());
  EXPECT_FALSE(RatioBootstrap({1}, {0}).ok());
  EXPECT_FALSE(RatioBootstrap({1}, {-1}).ok());
  EXPECT_FALSE(RatioBootstrap({NAN}, {1}).ok());
  EXPECT_FALSE(RatioBootstrap({1}, {INFINITY}).ok());
  BootstrapOptions options;
  options.resamples = 0;
  EXPECT_FALSE(RatioBootstrap({1}, {1}, options).ok());
  options = {};
  options.confidence = 1;
  EXPECT_FALSE(RatioBootstrap({1}, {1}, options).ok());
  EXPECT_FALSE(PairedRatioBootstrap({1}, {1}, {1, 2}, {1, 1}).ok());
  EXPECT_FALSE(PairedRatioBootstrap({1, 0}, {1, 0}, {1, 2}, {1, 1}).ok());
}

}  // namespace
}  // namespace lt2::evals
