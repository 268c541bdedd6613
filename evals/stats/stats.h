// Statistics of evaluations: intervals for scores, and tests for two models on
// the same items. Everything is deterministic: the bootstrap draws from Philox
// streams named by (seed, resample), the same on every machine.
//
// Inputs that are counts or values of a run are checked: a wrong one (n = 0, a
// NaN, different lengths) is InvalidArgument. Unless said otherwise intervals
// are two-sided with the given confidence, and cost is O(n).

#ifndef LT2_EVALS_STATS_STATS_H_
#define LT2_EVALS_STATS_STATS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::evals {

struct Interval {
  double estimate = 0;
  double low = 0;
  double high = 0;
};

// Wilson's score interval for a proportion (Wilson, JASA 22, 1927): the p with
// |k/n - p| <= z sqrt(p (1 - p) / n), that is
//   (k/n + z^2/2n -+ z sqrt(k/n (1 - k/n)/n + z^2/4n^2)) / (1 + z^2/n).
// Inside [0, 1], and not empty at k = 0 or k = n.
absl::StatusOr<Interval> WilsonInterval(int64_t successes, int64_t n,
                                        double confidence = 0.95);

// mean -+ t s / sqrt(n) with n - 1 degrees of freedom (Student, Biometrika 6,
// 1908). One value has a mean, but its interval is infinite.
absl::StatusOr<Interval> MeanInterval(absl::Span<const double> values,
                                      double confidence = 0.95);

// mean(b) - mean(a) of independent runs of unequal variance, such as the seeds
// of two configurations (Welch, Biometrika 34, 1947): standard error
// sqrt(va/na + vb/nb), degrees of freedom by Welch and Satterthwaite. At least
// two values each. If neither varies the interval is one point.
absl::StatusOr<Interval> WelchDifference(absl::Span<const double> a,
                                         absl::Span<const double> b,
                                         double confidence = 0.95);

struct BootstrapOptions {
  int resamples = 10000;
  uint64_t seed = 20240229;
  double confidence = 0.95;
};

// Percentile interval of sum(numerators) / sum(denominators), resampling whole
// examples (Efron, Ann. Statist. 7, 1979): what an example contributes, say
// its correct tokens and its tokens, stays together, as its tokens are not
// independent. Quantiles interpolate between order statistics (type 7 of
// Hyndman and Fan 1996). Denominators are >= 0; examples that are 0 / 0 say
// nothing and are left out. O(n resamples), about 10 ns each.
absl::StatusOr<Interval> RatioBootstrap(absl::Span<const double> numerators,
                                        absl::Span<const double> denominators,
                                        const BootstrapOptions& options = {});

// The same for ratio(b) - ratio(a), where example i of both is the same item:
// each resample takes the same items from both. The p-value is that of "no
// difference", by inverting the interval: twice the smaller share of resamples
// on one side of zero (those at zero count for both), at least 2 / (resamples
// + 1).
struct PairedDifference : Interval {
  double p_value = 1;
};
absl::StatusOr<PairedDifference> PairedRatioBootstrap(
    absl::Span<const double> numerators_a,
    absl::Span<const double> denominators_a,
    absl::Span<const double> numerators_b,
    absl::Span<const double> denominators_b,
    const BootstrapOptions& options = {});

// Two models on the same n items, right or wrong.
struct McNemarResult {
  // Exact, two-sided: 2 sum_{i <= min(b,c)} C(b+c, i) / 2^(b+c), at most 1
  // (McNemar, Psychometrika 12, 1947, with the binomial distribution).
  double p_value = 1;
  // (c - b) / n with a normal interval of the standard error below.
  Interval difference;
  // sqrt((b + c) - (b - c)^2 / n) / n
  double standard_error = 0;
  // MinimumDetectableDifference((b + c) / n, n).
  double detectable = 0;
};

// `only_base` = b: items that only the base got right; `only_head` = c.
absl::StatusOr<McNemarResult> McNemar(int64_t only_base, int64_t only_head,
                                      int64_t n, double confidence = 0.95);

// Fisher's exact test of a 2 x 2 table with fixed margins (Fisher 1922):
//   a  b      for example   reached  not     of one configuration
//   c  d                    reached  not     of another
struct FisherResult {
  // Sum over tables that are at most as likely as this one.
  double two_sided = 1;
  // P(top left <= a) and P(top left >= a).
  double less = 1;
  double greater = 1;
};
absl::StatusOr<FisherResult> FisherExact(int64_t a, int64_t b, int64_t c,
                                         int64_t d);

// The p-values of a family of tests, adjusted so that rejecting where the
// result is <= q makes at most a share q of the rejections false, on average
// (Benjamini and Hochberg, JRSS B 57, 1995): min over j >= i of n p_(j) / j for
// the i-th smallest, in the order of the input. O(n log n).
absl::StatusOr<std::vector<double>> AdjustForFalseDiscoveries(
    absl::Span<const double> p_values);

// The smallest true difference in accuracy that two models on n items, of which
// a share `discordance` is right for only one of them, would show with 80 %
// power at the two-sided 5 % level: about (z_0.975 + z_0.8) sqrt(r / n) =
// 2.8 sqrt(r / n). "No difference" means little without it.
double MinimumDetectableDifference(double discordance, int64_t n);

}  // namespace lt2::evals

#endif  // LT2_EVALS_STATS_STATS_H_
