// Compares two sets of records, or one with a history: pairs them, judges all
// pairs together, and sums up each family (the sizes of one benchmark) and the
// whole as geometric means. Nothing is left out silently: a benchmark that
// vanished, is new, failed or was measured elsewhere is a row of its own.

#ifndef LT2_BENCH_TRACKING_COMPARE_H_
#define LT2_BENCH_TRACKING_COMPARE_H_

#include <string>
#include <vector>

#include "bench/tracking/records.h"
#include "bench/tracking/verdict.h"

namespace lt2::bench {

enum class Outcome {
  kJudged,
  kInvalid,    // failed, or not above 0
  kVanished,   // only in base
  kElsewhere,  // another machine class or build: not comparable
  kNew,        // only in head, or no baseline yet
};
const char* OutcomeName(Outcome outcome);

struct Row {
  Outcome outcome = Outcome::kNew;
  std::string reason;  // of all but kJudged
  Record subject;      // head's where there is one, without samples
  // Of kJudged:
  Shift shift;
  Judgement judgement;
  double base = 0, head = 0;  // medians
  double floor = 0;           // relative
  // A SLOWER of the gate that a second round also found.
  bool confirmed = false;

  bool Is(Verdict verdict) const {
    return outcome == Outcome::kJudged && judgement.verdict == verdict;
  }
  // "SLOWER", "slower?" of a hint, "VANISHED", ...
  std::string Label() const;
};

struct Family {
  std::string name;  // "suite/benchmark", or "all"
  int members = 0;
  Shift shift;
  Judgement judgement;  // not adjusted: for people, it fails nothing
};

struct Report {
  std::vector<Row> rows;  // worst first
  std::vector<Family> families;
  bool needs_confirmation = false;  // exit code 1 only for confirmed rows
  // 0 nothing is slower; 1 something is; 2 something could not be measured
  // (failed, vanished, elsewhere, or there are no rows); 3 inconclusive: a row
  // is unclear, a hint, not confirmed, or has no baseline.
  int ExitCode() const;
};

struct CompareOptions {
  VerdictOptions verdict;
  double floor = kLeastFloor;
  // Sample i of both sides was measured in the same round (A B B A).
  bool paired = false;
};

absl::StatusOr<Report> CompareRecords(const std::vector<Record>& base,
                                      const std::vector<Record>& head,
                                      const CompareOptions& options);

// Against the last entry of each key in the history, with the history's own
// floor. `confirmation`, a second independent round of the same build, may be
// empty: then nothing is confirmed.
absl::StatusOr<Report> Gate(const std::vector<Record>& history,
                            const std::vector<Record>& head,
                            const std::vector<Record>& confirmation,
                            const VerdictOptions& options);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_COMPARE_H_
