// Compares two results of the leaderboard example by example.
//
// Rows pair up by task, model and loop count; within a pair only examples that
// both have are compared, each with itself. The difference head - base has a
// bootstrap interval over examples; where an example has one scored position or
// is wanted whole, McNemar's exact test counts the examples that only one side
// got right. With `floor`, the difference that matters in practice:
//
//   IDENTICAL  every example has the same bits
//   WORSE      the whole interval is worse than -floor, and the p-value,
//              adjusted for the number of rows, is at most 0.05
//   BETTER     the same on the other side
//   SAME       the whole interval is inside (-floor, +floor): shown equal, not
//              merely not shown different
//   UNCLEAR    none of these: more examples are needed
//
// Every verdict comes with the smallest difference that this number of examples
// would have shown (80 % power). Source of the rules: Benjamini and Hochberg
// 1995, McNemar 1947, and the two one-sided tests of Schuirmann 1987.

#ifndef LT2_EVALS_COMPARISON_COMPARE_H_
#define LT2_EVALS_COMPARISON_COMPARE_H_

#include <string>
#include <vector>

#include "evals/comparison/results_file.h"
#include "evals/stats/stats.h"

namespace lt2::evals {

enum class Verdict { kIdentical, kSame, kBetter, kUnclear, kWorse, kMissing };
const char* VerdictName(Verdict verdict);

struct CompareOptions {
  double accuracy_floor = 0.01;  // absolute
  double bits_floor = 0.001;     // of the base's bits per byte
  double q = 0.05;               // false discoveries among rows
  // Compare this model of base with that model of head, instead of equal
  // names; both or neither.
  std::string base_model, head_model;
  BootstrapOptions bootstrap;
};

struct Comparison {
  std::string task, base_label, head_label, metric;
  Verdict verdict = Verdict::kMissing;
  std::string reason;  // of kMissing: what keeps the rows from being compared
  bool higher_is_better = true;
  int64_t n = 0;              // examples compared
  double base = 0, head = 0;  // values on those
  Interval difference;        // head - base
  double p_value = 1;         // adjusted
  double floor = 0;           // in the metric's unit
  double detectable = 0;
  // Examples without an error (accuracy only).
  int64_t only_base = 0, only_head = 0;
  double mcnemar_p = 1;
};

// Worst first. A row that only one file has, or whose examples are not the
// same, is a Comparison of its own with kMissing, never silence. An error if
// the options name no row.
absl::StatusOr<std::vector<Comparison>> Compare(const ResultsFile& base,
                                                const ResultsFile& head,
                                                const CompareOptions& options);

// 0 nothing is worse, 1 something is worse, 2 nothing could be compared, 3
// nothing is worse but something is unclear.
int ExitCode(const std::vector<Comparison>& comparisons);

}  // namespace lt2::evals

#endif  // LT2_EVALS_COMPARISON_COMPARE_H_
