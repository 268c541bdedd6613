// The statistics of a scaling table: medians of times, exponents of cost,
// lengths where one mixer overtakes another.

#ifndef LT2_BENCH_SCALING_STATISTICS_H_
#define LT2_BENCH_SCALING_STATISTICS_H_

#include <string>
#include <utility>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::bench {

// (x, y), by rising x, all positive.
using Points = std::vector<std::pair<double, double>>;

// The median with the interval [x_(k), x_(n+1-k)] of order statistics, which
// covers the true median with probability 1 - 2 P(Binomial(n, 1/2) < k) for
// samples of any continuous distribution. k is the largest whose coverage is at
// least `confidence`; with too few samples (fewer than 6 for 95 %) k = 1 and
// `coverage` says what that is worth: 0 for one sample.
struct MedianInterval {
  double median = 0, low = 0, high = 0;
  double coverage = 0;
};
absl::StatusOr<MedianInterval> MedianOf(std::vector<double> samples,
                                        double confidence = 0.95);

// y = c x^exponent, by least squares of log y on log x. The interval is
// Student's with n - 2 degrees of freedom: it measures how straight the line
// is, bends included, not the noise of single points. With two points it is
// infinite.
struct PowerLaw {
  double exponent = 0, low = 0, high = 0;
  int points = 0;
};
absl::StatusOr<PowerLaw> FitPowerLaw(const Points& points,
                                     double confidence = 0.95);

// The last `n` points, or all.
Points Largest(const Points& points, size_t n);

// t with P(|T| <= t) = confidence for T of Student's distribution (Abramowitz
// and Stegun 26.7.3, 26.7.4: exact for whole degrees of freedom).
double StudentQuantile(double confidence, int degrees_of_freedom);

// Where `other` stops being slower than `base` for good, over the x that both
// have.
struct Crossover {
  enum Outcome {
    kNever,    // slower at the largest x
    kReached,  // slower before `x`, not after
    kAlways,   // at no x slower
    kUnknown,  // no x in common
  };
  Outcome outcome = kUnknown;
  double x =
      0;  // of kReached; log y is taken as linear in log x between points
  double ratio = 0;  // other / base at the largest x
};
Crossover FindCrossover(const Points& base, const Points& other);
std::string NameOf(Crossover::Outcome outcome);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_STATISTICS_H_
