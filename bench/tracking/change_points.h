// Where did a benchmark's history change? Finds what comparisons of neighbours
// cannot, such as five times 0.8 %.
//
// Windows of 50 values, each half over the last, are divided where the energy
// statistic of their logarithms (cut at 3 IQR beyond the quartiles, so that an
// outlier hides nothing) is largest (Szekely and Rizzo 2004; divisive use by
// Matteson and James, JASA 109, 2014):
//   Q(t) = t (n - t) / n (2 E|X - Y| - E|X - X'| - E|Y - Y'|),
// X before t, Y from t on, and again within the parts, as long as a share of at
// most p of random permutations has a larger maximum. Then, the weakest first,
// points are dropped whose levels on both sides (up to 50 values each, to the
// next points) do not differ by at least 1 %, or not with the same p in a test
// of Mann and Whitney. Deterministic. A change needs about 3 values after it to
// be seen. O(50^2) for each permutation; most windows need a few.

#ifndef LT2_BENCH_TRACKING_CHANGE_POINTS_H_
#define LT2_BENCH_TRACKING_CHANGE_POINTS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::bench {

struct ChangePointOptions {
  int window = 50;
  double p = 0.001;
  double least_change = 0.01;  // relative
  int permutations = 1999;
  uint64_t seed = 20240229;
};

struct ChangePoint {
  int64_t first = 0;  // index of the first value of the new level
  // Hodges-Lehmann shift of the logarithms, and its 98 % interval: above 0 is a
  // larger value, whether that is good or not.
  double change = 0, low = 0, high = 0;
  double p_value = 1;  // of Mann and Whitney's test, two-sided
};

// Values are positive numbers, oldest first; the result ascends.
absl::StatusOr<std::vector<ChangePoint>> FindChangePoints(
    absl::Span<const double> history, const ChangePointOptions& options = {});

// The place t, 1 <= t < n, where Q is largest (the first of equals), and Q
// there; 0 and 0 for fewer than 2 values.
struct EnergySplit {
  int64_t place = 0;
  double statistic = 0;
};
EnergySplit BestEnergySplit(absl::Span<const double> values);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_CHANGE_POINTS_H_
