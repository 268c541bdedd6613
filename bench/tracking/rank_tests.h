// How far two sets of measurements are apart, without assuming a distribution.
//
// The estimate is that of Hodges and Lehmann (Ann. Math. Statist. 34, 1963):
// the median of all differences head_j - base_i, or, of paired rounds, of all
// averages (d_i + d_j) / 2, i <= j, of the differences d. The interval's ends
// are order statistics of those same numbers, at the ranks that the exact
// distribution of Mann and Whitney's U (Ann. Math. Statist. 18, 1947), or of
// Wilcoxon's signed-rank sum (Biometrics 1, 1945), gives. It covers the true
// shift at least as often as it says, for any noise, as long as it is the same
// on both sides (or symmetric, for pairs); one outlier moves an end by at most
// one rank.
//
// Ties count against the claim that is tested, so rounded clocks make tests
// careful, never bold. At most kMostSamples samples a side.

#ifndef LT2_BENCH_TRACKING_RANK_TESTS_H_
#define LT2_BENCH_TRACKING_RANK_TESTS_H_

#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::bench {

inline constexpr int kMostSamples = 64;

// P(U = u), u = 0..n m, where U counts the pairs in which the second sample's
// member is larger. By which sample the largest of all belongs to:
//   p(u; n, m) = n/(n+m) p(u; n-1, m) + m/(n+m) p(u-n; n, m-1).
// Sums of positive terms only: the tails keep their relative precision.
// O((n m)^2).
std::vector<double> MannWhitneyDistribution(int n, int m);

// P(W = w), w = 0..n(n+1)/2: W sums the ranks of the positive ones among n.
std::vector<double> SignedRankDistribution(int n);

// P(V = v), v = 0..n(n-1)/2: inversions of a random permutation (the
// distribution of Kendall's tau, Biometrika 30, 1938).
std::vector<double> InversionsDistribution(int n);

struct ShiftInterval {
  double estimate = 0, low = 0, high = 0;
  // At least what was asked for; less if so few samples cannot give that, and
  // then the interval is the widest that they have.
  double confidence = 0;
};

// The shift head - base. Values must be finite; at least one each.
absl::StatusOr<ShiftInterval> TwoSampleShift(absl::Span<const double> base,
                                             absl::Span<const double> head,
                                             double confidence);
// The same of differences in pairs, one for each round.
absl::StatusOr<ShiftInterval> PairedShift(absl::Span<const double> differences,
                                          double confidence);

// The p-value of "the shift is not above `shift`" against "it is above". Dual
// to the intervals: it is at most (1 - confidence) / 2 exactly where the
// interval lies above `shift`.
absl::StatusOr<double> TwoSampleAbove(absl::Span<const double> base,
                                      absl::Span<const double> head,
                                      double shift);
absl::StatusOr<double> PairedAbove(absl::Span<const double> differences,
                                   double shift);

// The p-value of "a_i and b_i know nothing of each other" against "they rise
// and fall together" (Kendall's tau, exact, one-sided).
absl::StatusOr<double> RisesTogether(absl::Span<const double> a,
                                     absl::Span<const double> b);

// Quantile q in [0, 1] by linear interpolation between order statistics (type
// 7 of Hyndman and Fan 1996) of at least one value; the median is q = 0.5.
double Quantile(std::vector<double> values, double q);
double Median(std::vector<double> values);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_RANK_TESTS_H_
