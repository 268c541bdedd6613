// One rule for "did it become slower?": the shift of the logarithms of process
// medians, its interval, and a floor below which changes do not matter.
//
//   SLOWER   the whole interval is above +floor, and the p-value of that,
//            adjusted for the number of benchmarks, is at most q
//   FASTER   the same on the other side
//   SAME     the whole interval is inside (-floor, +floor): shown equal, not
//            merely not shown different
//   UNCLEAR  none of these: more rounds are needed
//
// The unit is the process: a sample is the median of one process. The default
// interval leaves out at most 1 % on each side, for any distribution of noise,
// so that the same build against itself is called SLOWER in at most 1 % of
// comparisons even before the confirmation round.

#ifndef LT2_BENCH_TRACKING_VERDICT_H_
#define LT2_BENCH_TRACKING_VERDICT_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "bench/tracking/rank_tests.h"
#include "kernels/core/status.h"

namespace lt2::bench {

inline constexpr double kLeastFloor = 0.01;
inline constexpr double kYoungFloor = 0.03;
inline constexpr int kHistoryForFloor = 30;

// The relative change that matters for a benchmark with these values at
// successive commits, oldest first: over the last 30 values
//   max(1 %, Q3 + 3 IQR of |x_i / x_{i-1} - 1|),
// and 3 % while there are fewer than 30.
absl::StatusOr<double> PracticalFloor(absl::Span<const double> history);

struct VerdictOptions {
  double confidence = 0.98;
  double q = 0.05;  // false discoveries among the benchmarks of a run
  // Fewer rounds than this on a side give a hint, which fails no build.
  int rounds_to_gate = 7;
  // Fewer than this give no verdict.
  int rounds_to_hint = 4;
  // Paired rounds whose two sides rise and fall together with this p-value are
  // compared round by round.
  double drift_p = 0.01;
};

// One benchmark on two sides.
struct Sides {
  std::vector<double> base, head;  // process medians, > 0, in order of rounds
  // base[i] and head[i] were measured one after the other.
  bool paired = false;
  bool higher_is_better = false;
  double floor = kYoungFloor;  // relative, > 0
};

enum class Method { kMannWhitney, kSignedRank };

// All changes are of the cost, as a logarithm: more is worse, also where higher
// values are better.
struct Shift {
  Method method = Method::kMannWhitney;
  ShiftInterval cost;
  double floor = 0;     // ln(1 + floor)
  double p_slower = 1;  // of "above +floor"
  double p_faster = 1;  // of "below -floor"
  // The smallest cost that so many rounds of this noise would call SLOWER in 80
  // % of comparisons, about: floor + half the interval's width (1 + z_0.8 /
  // z_confidence).
  double detectable = 0;
  int rounds = 0;  // of the side with fewer
};

// A side that is empty, or has a value that is not above 0, is an error.
absl::StatusOr<Shift> MeasureShift(const Sides& sides,
                                   const VerdictOptions& options);

enum class Verdict { kSlower, kUnclear, kFaster, kSame };
const char* VerdictName(Verdict verdict);

struct Judgement {
  Verdict verdict = Verdict::kUnclear;
  bool hint = false;  // too few rounds to fail a build
  // A speed-up above 30 %: rather a skipped path than a success.
  bool implausible = false;
  double p_slower = 1, p_faster = 1;  // adjusted
};

// The benchmarks of one run, together: p-values are adjusted over all of them.
absl::StatusOr<std::vector<Judgement>> Judge(const std::vector<Shift>& shifts,
                                             const VerdictOptions& options);

// A change counts when an independent second round says the same.
Verdict Confirmed(Verdict first, Verdict second);

// The geometric mean over benchmarks, as a benchmark of its own: sample i is
// the geometric mean of their samples i (of their costs, where higher is
// better), so that what the benchmarks of one process share stays together.
// Sides are cut to the fewest rounds; the floor is the smallest there is.
absl::StatusOr<Sides> GeometricMean(const std::vector<Sides>& members);

// Benjamini and Hochberg's adjustment (JRSS B 57, 1995): rejecting where the
// result is at most q makes at most a share q of the rejections false.
std::vector<double> AdjustForFalseDiscoveries(
    const std::vector<double>& p_values);

// exp(x) - 1 as "+1.23 %".
std::string Percent(double log_change);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_VERDICT_H_
