// Two results.json of the same preset, say of two commits: do as many seeds
// still succeed?
//
// Cells pair up by row and column. Success rates jump (a run groks or does
// not), so means mislead: Fisher's exact test on the number of seeds that
// reached the preset's success. A partial run that has not reached it is
// undecided and left out. With `floor`, the difference of rates that matters:
//
//   IDENTICAL  every seed's log is the same, step by step
//   WORSE      Fisher's p-value of "head succeeds less", adjusted for the
//   number
//              of cells (Benjamini and Hochberg), is at most q
//   BETTER     the same the other way
//   SAME       the 95 % interval of the difference (Newcombe 1998, method 10:
//              from the Wilson intervals of both rates) is inside +-floor
//   UNCLEAR    none of these: more seeds are needed
//   MISSING    only one side has the cell, or its configurations differ
//
// Few seeds show little: 5 of 5 against 5 of 5 is UNCLEAR, and `detectable`
// says from how few successes of head on it would have been WORSE.

#ifndef LT2_EVALS_CURRICULA_COMPARISON_H_
#define LT2_EVALS_CURRICULA_COMPARISON_H_

#include <string>
#include <vector>

#include "evals/curricula/results.h"
#include "evals/stats/stats.h"

namespace lt2::evals {

enum class SuccessVerdict {
  kWorse,
  kMissing,
  kUnclear,
  kBetter,
  kSame,
  kIdentical
};
const char* SuccessVerdictName(SuccessVerdict verdict);

struct SuccessComparison {
  std::string label;  // of the row
  int64_t column = 0;
  SuccessVerdict verdict = SuccessVerdict::kMissing;
  std::string reason;   // of kMissing
  bool is_new = false;  // kMissing, as only head has it
  int64_t base = 0, base_seeds = 0, head = 0, head_seeds = 0;
  Interval difference;               // of the rates, head - base
  double p_worse = 1, p_better = 1;  // one-sided, adjusted
  // The largest number of head's successes that would be WORSE with this base,
  // alone; -1: none would, there are too few seeds.
  int64_t detectable = -1;
};

struct SuccessOptions {
  double success = 0;  // 0: the results' own
  double floor = 0.2;
  double q = 0.05;
};

// Worst first. An error if the presets, columns or measures differ, or no
// success is named.
absl::StatusOr<std::vector<SuccessComparison>> CompareSuccesses(
    const Results& base, const Results& head, const SuccessOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_CURRICULA_COMPARISON_H_
