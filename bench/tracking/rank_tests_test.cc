#include "bench/tracking/rank_tests.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::bench {
namespace {

void ExpectSame(const std::vector<double>& actual,
                const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1e-14 * expected[i]) << i;
  }
}

TEST(MannWhitney, DistributionIsThatOfEnumeratedArrangements) {
  for (int n = 1; n <= 7; ++n) {
    for (int m = 1; m <= 7; ++m) {
      // Every choice of which places in the order are the second sample's.
      std::vector<double> counts(n * m + 1);
      double total = 0;
      for (unsigned second = 0; second < (1u << (n + m)); ++second) {
        if (__builtin_popcount(second) != m) continue;
        int u = 0, firsts = 0;
        for (int place = 0; place < n + m; ++place) {
          if ((second >> place) & 1) {
            u += firsts;
          } else {
            ++firsts;
          }
        }
        ++counts[u];
        ++total;
      }
      for (double& count : counts) count /= total;
      ExpectSame(MannWhitneyDistribution(n, m), counts);
    }
  }
}

TEST(SignedRank, DistributionIsThatOfEnumeratedSigns) {
  for (int n = 1; n <= 12; ++n) {
    std::vector<double> shares(n * (n + 1) / 2 + 1);
    for (unsigned signs = 0; signs < (1u << n); ++signs) {
      int w = 0;
      for (int rank = 1; rank <= n; ++rank) {
        if ((signs >> (rank - 1)) & 1) w += rank;
      }
      shares[w] += std::ldexp(1.0, -n);
    }
    ExpectSame(SignedRankDistribution(n), shares);
  }
}

TEST(Inversions, DistributionIsThatOfEnumeratedPermutations) {
  for (int n = 1; n <= 7; ++n) {
    std::vector<double> counts(n * (n - 1) / 2 + 1);
    std::vector<int> order(n);
    std::iota(order.begin(), order.end(), 0);
    double total = 0;
    do {
      int inversions = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = i + 1; j < n; ++j) inversions += order[i] > order[j];
      }
      ++counts[inversions];
      ++total;
    } while (std::next_permutation(order.begin(), order.end()));
    for (double& count : counts) count /= total;
    ExpectSame(InversionsDistribution(n), counts);
  }
}

TEST(Distributions, OfThirtySumToOneAndAreSymmetric) {
  for (const auto& p :
       {MannWhitneyDistribution(30, 30), MannWhitneyDistribution(30, 11),
        SignedRankDistribution(30), InversionsDistribution(30)}) {
    EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-12);
    for (size_t i = 0; i < p.size(); ++i) {
      EXPECT_NEAR(p[i], p[p.size() - 1 - i], 1e-11 * p[i]) << i;
    }
  }
  // One arrangement of C(60, 30), one choice of 2^30 signs.
  EXPECT_NEAR(MannWhitneyDistribution(30, 30)[0] * 118264581564861424.0, 1,
              1e-12);
  EXPECT_EQ(SignedRankDistribution(30)[0], std::ldexp(1.0, -30));
}

TEST(MannWhitney, RanksOfTheIntervalAreThoseOfPublishedTables) {
  // Critical values of U, two-sided 5 %: 8 at 7 and 7, 23 at 10 and 10; the
  // interval starts one rank further.
  std::vector<double> base, head;
  for (int i = 0; i < 7; ++i) base.push_back(i), head.push_back(100 * i);
  std::vector<double> differences;
  for (double b : base) {
    for (double h : head) differences.push_back(h - b);
  }
  std::sort(differences.begin(), differences.end());
  const ShiftInterval interval = *TwoSampleShift(base, head, 0.95);
  EXPECT_EQ(interval.low, differences[8]);
  EXPECT_EQ(interval.high, differences[49 - 9]);
  EXPECT_EQ(interval.estimate, differences[24]);
  EXPECT_GE(interval.confidence, 0.95);
  EXPECT_LT(interval.confidence, 0.97);
}

TEST(SignedRank, RanksOfTheIntervalAreThoseOfPublishedTables) {
  // Critical value of W, two-sided 5 %: 8 at n = 10.
  std::vector<double> d, walsh;
  for (int i = 0; i < 10; ++i) d.push_back(i * i * i);
  for (int i = 0; i < 10; ++i) {
    for (int j = i; j < 10; ++j) walsh.push_back((d[i] + d[j]) / 2);
  }
  std::sort(walsh.begin(), walsh.end());
  const ShiftInterval interval = *PairedShift(d, 0.95);
  EXPECT_EQ(interval.low, walsh[8]);
  EXPECT_EQ(interval.high, walsh[55 - 9]);
}

TEST(Intervals, LieAboveAShiftExactlyWhereTheTestSaysSo) {
  Philox rng(1, 0);
  for (int trial = 0; trial < 200; ++trial) {
    const int n = 5 + trial % 6, m = 5 + trial % 4;
    std::vector<double> base, head;
    for (int i = 0; i < n; ++i) base.push_back(rng.Normal());
    for (int i = 0; i < m; ++i) head.push_back(rng.Normal() + 1.5);
    const ShiftInterval two = *TwoSampleShift(base, head, 0.9);
    const ShiftInterval pairs = *PairedShift(head, 0.85);
    for (double shift = -1; shift < 3; shift += 0.25) {
      EXPECT_EQ(two.low > shift, *TwoSampleAbove(base, head, shift) <= 0.05);
      EXPECT_EQ(pairs.low > shift, *PairedAbove(head, shift) <= 0.075);
      EXPECT_EQ(two.high < shift, *TwoSampleAbove(head, base, -shift) <= 0.05);
    }
  }
}

TEST(Intervals, CoverAsOftenAsTheySay) {
  Philox rng(2, 0);
  constexpr int kTrials = 4000;
  int two = 0, pairs = 0;
  double confidence_two = 0, confidence_pairs = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> a, b, d;
    for (int i = 0; i < 7; ++i) {
      a.push_back(std::exp(rng.Normal()));  // skewed
      b.push_back(std::exp(rng.Normal()) + 3);
      d.push_back(rng.Normal() * rng.Normal());  // symmetric, heavy tails
    }
    const ShiftInterval i2 = *TwoSampleShift(a, b, 0.9);
    const ShiftInterval i1 = *PairedShift(d, 0.9);
    two += i2.low <= 3 && 3 <= i2.high;
    pairs += i1.low <= 0 && 0 <= i1.high;
    confidence_two = i2.confidence;
    confidence_pairs = i1.confidence;
  }
  // 4 standard errors.
  EXPECT_NEAR(two / double{kTrials}, confidence_two, 0.02);
  EXPECT_NEAR(pairs / double{kTrials}, confidence_pairs, 0.02);
}

TEST(Intervals, OneOutlierHardlyMovesThem) {
  const std::vector<double> base = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<double> head = {3, 4, 5, 6, 7, 8, 9};
  const std::vector<double> wild = {3, 4, 5, 6, 7, 8, 1e9};
  EXPECT_EQ(TwoSampleShift(base, head, 0.95)->estimate, 2);
  EXPECT_NEAR(TwoSampleShift(base, wild, 0.95)->estimate, 2, 1);
  EXPECT_LT(TwoSampleShift(base, wild, 0.95)->high, 10);
}

TEST(Intervals, OfTooFewSamplesSayTheirConfidence) {
  const std::vector<double> one = {1}, other = {5};
  const ShiftInterval interval = *TwoSampleShift(one, other, 0.95);
  EXPECT_EQ(interval.estimate, 4);
  EXPECT_EQ(interval.confidence, 0);
  const std::vector<double> four = {1, 2, 3, 4};
  EXPECT_NEAR(TwoSampleShift(four, four, 0.98)->confidence, 1 - 2. / 70, 1e-12);
  EXPECT_NEAR(PairedShift(four, 0.98)->confidence, 1 - 2. / 16, 1e-12);
}

TEST(Intervals, OfConstantValuesAreAPoint) {
  const std::vector<double> a(7, 2.0), b(7, 3.0);
  const ShiftInterval shift = *TwoSampleShift(a, b, 0.98);
  EXPECT_EQ(shift.low, 1);
  EXPECT_EQ(shift.high, 1);
  // Ties are no evidence.
  EXPECT_NEAR(*TwoSampleAbove(a, a, 0), 1, 1e-12);
  EXPECT_NEAR(*TwoSampleAbove(a, b, 1), 1, 1e-12);
  EXPECT_NEAR(*TwoSampleAbove(a, b, 0.5), 1. / 3432, 1e-12);
}

TEST(Inputs, ThatAreNoNumbersAreErrors) {
  const double nan = std::nan(""),
               inf = std::numeric_limits<double>::infinity();
  const std::vector<double> good = {1, 2, 3}, bad = {1, nan}, none;
  const std::vector<double> endless = {inf}, many(kMostSamples + 1, 1.0);
  for (const auto& values : {bad, none, endless, many}) {
    EXPECT_FALSE(TwoSampleShift(values, good, 0.95).ok());
    EXPECT_FALSE(TwoSampleShift(good, values, 0.95).ok());
    EXPECT_FALSE(PairedShift(values, 0.95).ok());
    EXPECT_FALSE(TwoSampleAbove(values, good, 0).ok());
    EXPECT_FALSE(PairedAbove(values, 0).ok());
    EXPECT_FALSE(RisesTogether(values, values).ok());
  }
  EXPECT_FALSE(RisesTogether(good, endless).ok());
  EXPECT_FALSE(TwoSampleShift(good, good, 1).ok());
  EXPECT_FALSE(TwoSampleShift(good, good, nan).ok());
}

TEST(RisesTogether, SeesCommonDriftAndNothingInOppositeOnes) {
  const std::vector<double> up = {1, 2, 3, 4, 5, 6, 7};
  const std::vector<double> down(up.rbegin(), up.rend());
  EXPECT_NEAR(*RisesTogether(up, up), 1. / 5040, 1e-15);
  EXPECT_NEAR(*RisesTogether(up, down), 1, 1e-12);
  EXPECT_NEAR(*RisesTogether(up, std::vector<double>(7, 1.0)), 1, 1e-12);
}

TEST(Quantile, Interpolates) {
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(Quantile({0, 1, 2, 3, 4}, 0.75), 3);
  EXPECT_EQ(Quantile({5}, 0.9), 5);
}

}  // namespace
}  // namespace lt2::bench
