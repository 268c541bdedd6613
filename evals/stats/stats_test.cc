#include "evals/stats/stats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "evals/stats/distributions.h"
#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

TEST(Wilson, EndsSolveTheDefiningEquation) {
  for (double confidence : {0.5, 0.95, 0.999}) {
    const double z = NormalQuantile(0.5 + confidence / 2);
    for (int64_t n : {1, 2, 10, 137, 1000000}) {
      for (int64_t k : {int64_t{0}, n / 3, n / 2, n}) {
        const Interval i = *WilsonInterval(k, n, confidence);
        const double p = static_cast<double>(k) / static_cast<double>(n);
        EXPECT_EQ(i.estimate, p);
        for (double end : {i.low, i.high}) {
          EXPECT_NEAR((p - end) * (p - end),
                      z * z * end * (1 - end) / static_cast<double>(n), 1e-13)
              << k << " of " << n;
        }
        EXPECT_LE(0, i.low);
        EXPECT_LE(i.low, p);
        EXPECT_LE(p, i.high);
        EXPECT_LE(i.high, 1);
        EXPECT_LT(i.low, i.high);
      }
    }
  }
}

TEST(Wilson, MatchesPublishedValues) {
  // Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
  const Interval a = *WilsonInterval(81, 263);
  EXPECT_NEAR(a.low, 0.2553, 5e-5);
  EXPECT_NEAR(a.high, 0.3662, 5e-5);
  const Interval b = *WilsonInterval(0, 20);
  EXPECT_EQ(b.low, 0);
  EXPECT_NEAR(b.high, 0.1611, 5e-5);
  const Interval c = *WilsonInterval(1, 29);
  EXPECT_NEAR(c.low, 0.0061, 5e-5);
  EXPECT_NEAR(c.high, 0.1718, 5e-5);
}

TEST(Wilson, CoversByEnumerationAsOftenAsItSays) {
  constexpr int kItems = 30;
  std::vector<Interval> intervals;
  for (int k = 0; k <= kItems; ++k) {
    intervals.push_back(*WilsonInterval(k, kItems));
  }
  double total = 0;
  int points = 0;
  for (double p = 0.005; p < 1; p += 0.005, ++points) {
    for (int k = 0; k <= kItems; ++k) {
      if (intervals[k].low > p || p > intervals[k].high) continue;
      total += std::exp(LogBinomial(kItems, k) + k * std::log(p) +
                        (kItems - k) * std::log1p(-p));
    }
  }
  EXPECT_NEAR(total / points, 0.95, 0.01);
}

TEST(Wilson, RefusesWhatIsNotAProportion) {
  EXPECT_FALSE(WilsonInterval(0, 0).ok());
  EXPECT_FALSE(WilsonInterval(-1, 5).ok());
  EXPECT_FALSE(WilsonInterval(6, 5).ok());
  EXPECT_FALSE(WilsonInterval(1, 5, 1.0).ok());
  EXPECT_FALSE(WilsonInterval(1, 5, 0.0).ok());
  EXPECT_FALSE(WilsonInterval(1, 5, NAN).ok());
}

TEST(Mean, MatchesTheFormulaByHand) {
  // Mean 3, s^2 = 2.5, t(0.975, 4) = 2.776445.
  const Interval i = *MeanInterval({5, 1, 4, 2, 3});
  EXPECT_NEAR(i.estimate, 3, 1e-15);
  EXPECT_NEAR(i.high - 3, 2.7764451051977987 * std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(3 - i.low, i.high - 3, 1e-15);
  // Two values: t(0.975, 1) = tan(0.475 pi).
  const Interval two = *MeanInterval({0, 2});
  EXPECT_NEAR(two.high, 1 + 12.706204736174698, 1e-9);
}

TEST(Mean, EdgeCases) {
  const Interval one = *MeanInterval({7});
  EXPECT_EQ(one.estimate, 7);
  EXPECT_TRUE(std::isinf(one.low) && std::isinf(one.high));
  const Interval constant = *MeanInterval({2, 2, 2});
  EXPECT_EQ(constant.low, 2);
  EXPECT_EQ(constant.high, 2);
  // A large offset does not swamp the variance.
  const Interval shifted = *MeanInterval({1e9 + 1, 1e9 + 2, 1e9 + 3});
  EXPECT_NEAR(shifted.high - shifted.estimate,
              MeanInterval({1, 2, 3})->high - 2, 1e-6);
  EXPECT_FALSE(MeanInterval({}).ok());
  EXPECT_FALSE(MeanInterval({1, NAN}).ok());
  EXPECT_FALSE(MeanInterval({1, INFINITY}).ok());
}

TEST(Welch, EqualGroupsGiveTheClassicalTTest) {
  // Equal sizes and variances: 2n - 2 degrees, error s sqrt(2/n).
  const Interval i = *WelchDifference({1, 2, 3}, {11, 12, 13});
  EXPECT_NEAR(i.estimate, 10, 1e-12);
  EXPECT_NEAR(i.high - 10, 2.7764451051977987 * std::sqrt(2.0 / 3), 1e-11);
  EXPECT_NEAR(i.high - 10, 10 - i.low, 1e-11);
}

TEST(Welch, AnExactGroupLeavesTheOtherGroupsInterval) {
  const std::vector<double> varied = {5, 1, 4, 2, 3};
  const Interval i = *WelchDifference({1, 1}, varied);
  const Interval mean = *MeanInterval(varied);
  EXPECT_NEAR(i.low, mean.low - 1, 1e-12);
  EXPECT_NEAR(i.high, mean.high - 1, 1e-12);
  const Interval point = *WelchDifference({1, 1}, {3, 3});
  EXPECT_EQ(point.low, 2);
  EXPECT_EQ(point.high, 2);
  EXPECT_FALSE(WelchDifference({1}, {1, 2}).ok());
  EXPECT_FALSE(WelchDifference({1, 2}, {1, NAN}).ok());
}

TEST(McNemar, MatchesEnumerationOfAllSignFlips) {
  for (int b = 0; b <= 8; ++b) {
    for (int c = 0; c <= 8; ++c) {
      const int m = b + c;
      int64_t as_extreme = 0;
      for (uint32_t flips = 0; flips < (1u << m); ++flips) {
        const int heads = std::popcount(flips);
        as_extreme += std::min(heads, m - heads) <= std::min(b, c);
      }
      const double expected = static_cast<double>(as_extreme) / (1 << m);
      EXPECT_NEAR(McNemar(b, c, 100)->p_value, expected, 1e-12)
          << b << " " << c;
    }
  }
}

TEST(McNemar, DifferenceAndErrorAreThoseOfTheItems) {
  for (const auto& [b, c, n] :
       {std::tuple{3, 9, 40}, {0, 5, 5}, {7, 7, 20}, {0, 0, 3}}) {
    // Per item head - base is -1, +1 or 0: mean and population variance.
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      const double d = i < b ? -1 : i < b + c ? 1 : 0;
      sum += d;
      squares += d * d;
    }
    const double mean = sum / n, variance = squares / n - mean * mean;
    const McNemarResult r = *McNemar(b, c, n);
    EXPECT_NEAR(r.difference.estimate, mean, 1e-15);
    EXPECT_NEAR(r.standard_error, std::sqrt(std::max(0.0, variance) / n), 1e-9);
    EXPECT_NEAR(r.difference.high - mean, 1.959963984540054 * r.standard_error,
                1e-12);
    EXPECT_NEAR(r.detectable,
                2.8 * std::sqrt(static_cast<double>(b + c) / n / n), 1e-12);
  }
}

TEST(McNemar, LargeCountsStayFiniteAndMatchTheNormalLimit) {
  const int64_t million = 1000000;
  const double z = 2 * 900.0 / std::sqrt(2.0 * million);
  // With continuity correction; the limit is good to a few percent here.
  EXPECT_NEAR(McNemar(million - 900, million + 900, 4 * million)->p_value /
                  (2 * NormalCdf(-z + 1 / std::sqrt(2.0 * million))),
              1, 0.01);
  EXPECT_EQ(McNemar(million, million, 4 * million)->p_value, 1);
  EXPECT_EQ(McNemar(0, million, million)->p_value, 0);
  EXPECT_FALSE(McNemar(3, 3, 5).ok());
  EXPECT_FALSE(McNemar(-1, 3, 5).ok());
  EXPECT_FALSE(McNemar(0, 0, 0).ok());
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_FALSE(McNemar(kHuge, kHuge, kHuge).ok());
}

TEST(Fisher, MatchesEnumerationOfAllAssignments) {
  // Which `row` of the n items are in the first row: all subsets are equally
  // likely. The first `column` items are those of the first column.
  for (int n = 0; n <= 10; ++n) {
    for (int row = 0; row <= n; ++row) {
      for (int column = 0; column <= n; ++column) {
        std::vector<int64_t> count(n + 1, 0);
        int64_t total = 0;
        for (uint32_t subset = 0; subset < (1u << n); ++subset) {
          if (std::popcount(subset) != row) continue;
          ++total;
          ++count[std::popcount(subset & ((1u << column) - 1))];
        }
        for (int a = 0; a <= n; ++a) {
          if (count[a] == 0) continue;
          int64_t two_sided = 0, less = 0, greater = 0;
          for (int x = 0; x <= n; ++x) {
            if (count[x] <= count[a]) two_sided += count[x];
            if (x <= a) less += count[x];
            if (x >= a) greater += count[x];
          }
          const double all = static_cast<double>(total);
          const FisherResult r =
              *FisherExact(a, row - a, column - a, n - row - column + a);
          EXPECT_NEAR(r.two_sided, static_cast<double>(two_sided) / all, 1e-12)
              << a << " " << row << " " << column << " " << n;
          EXPECT_NEAR(r.less, static_cast<double>(less) / all, 1e-12);
          EXPECT_NEAR(r.greater, static_cast<double>(greater) / all, 1e-12);
        }
      }
    }
  }
}

TEST(Fisher, TeaTastingAndRefusals) {
  EXPECT_NEAR(FisherExact(3, 1, 1, 3)->greater, 17.0 / 70, 1e-12);
  EXPECT_NEAR(FisherExact(4, 0, 0, 4)->two_sided, 2.0 / 70, 1e-12);
  EXPECT_FALSE(FisherExact(-1, 0, 0, 4).ok());
  EXPECT_FALSE(FisherExact(std::numeric_limits<int64_t>::max(), 0, 0, 4).ok());
}

TEST(MinimumDetectableDifference, HasThePromisedPower) {
  EXPECT_NEAR(MinimumDetectableDifference(0.1, 1000), 0.028, 1e-12);
  EXPECT_EQ(MinimumDetectableDifference(0, 10), 0);
  // 2.8 is z(0.975) + z(0.8).
  EXPECT_NEAR(NormalQuantile(0.975) + NormalQuantile(0.8), 2.8, 0.002);
}

TEST(FalseDiscoveries, MatchTheDefinition) {
  // Largest k with p_(k) <= k q / n: rejecting where adjusted <= q is the same.
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005, 0.2, 0.03, 1.0, 0.0};
  const std::vector<double> adjusted = *AdjustForFalseDiscoveries(p);
  std::vector<double> sorted = p;
  std::sort(sorted.begin(), sorted.end());
  for (double q : {0.001, 0.01, 0.02, 0.05, 0.06, 0.1, 0.5, 0.99}) {
    double limit = -1;
    for (size_t k = 1; k <= p.size(); ++k) {
      if (sorted[k - 1] <=
          static_cast<double>(k) * q / static_cast<double>(p.size())) {
        limit = sorted[k - 1];
      }
    }
    for (size_t i = 0; i < p.size(); ++i) {
      EXPECT_EQ(adjusted[i] <= q, p[i] <= limit) << q << " " << p[i];
    }
  }
  EXPECT_TRUE(AdjustForFalseDiscoveries({})->empty());
  EXPECT_FALSE(AdjustForFalseDiscoveries({0.5, std::nan("")}).ok());
  EXPECT_FALSE(AdjustForFalseDiscoveries({1.5}).ok());
}

}  // namespace
}  // namespace lt2::evals
