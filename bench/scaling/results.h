// The results file of the scaling benchmark: what was measured, and what
// follows from it. A later run of the same preset on the same machine reads it
// back and measures only what it does not have.

#ifndef LT2_BENCH_SCALING_RESULTS_H_
#define LT2_BENCH_SCALING_RESULTS_H_

#include <map>
#include <string>
#include <vector>

#include "bench/scaling/measure.h"
#include "bench/scaling/statistics.h"
#include "nlohmann/json.hpp"

namespace lt2::bench {

inline constexpr int kScalingSchemaVersion = 2;

// One process.
struct RunInfo {
  std::string command;
  Ceilings ceilings;
  double seconds = 0;
  // At its start and end, over a minute: above the threads that it used, other
  // programs ran too.
  double load[2] = {};
};

struct Results {
  Preset preset;
  // Where and how.
  std::string device, processor, build;
  int threads = 1;
  int driver = 0;  // of CUDA; 0 on the CPU
  std::vector<RunInfo> runs;
  std::map<std::string, Row> rows;  // by Cell::Key

  double seconds() const;  // of all runs together
};

// Of a call: over the medians of processes where there are several, else over
// the samples.
absl::StatusOr<MedianInterval> IntervalOf(const Row& row);
double MedianSeconds(const Row& row);  // NaN without samples
// Parts of the ceilings of the run that measured the row: of the product of
// matrices, of the copy. NaN where the row has no FLOPs, or no bytes.
struct Shares {
  double flops = 0, bytes = 0;
};
Shares SharesOf(const Results& results, const Row& row);
double TokensOf(const Row& row);  // that a call processes

// Median seconds of the rows that ran, by length.
Points ByLength(const Results& results, const std::string& mixer, Phase phase,
                int64_t loops, int64_t batch);
// By loops.
Points ByLoops(const Results& results, const std::string& mixer, Phase phase,
               int64_t length, int64_t batch);
// The same with the FLOPs of the formula in place of seconds.
Points FlopsByLength(const Results& results, const std::string& mixer,
                     Phase phase, int64_t loops, int64_t batch);

// Exponents of the cost over the `kFitPoints` largest lengths.
inline constexpr size_t kFitPoints = 4;
struct Exponent {
  std::string variable;  // "length" or "loops"
  std::string mixer;
  Phase phase = Phase::kTrain;
  int64_t fixed = 0;  // the loops of a fit in length, and the reverse
  int64_t batch = 1;
  PowerLaw law;
  PowerLaw
      flops;  // of the formula: what the operators need, at the same points
};
// In length for each T; in loops at the largest length where all T ran.
std::vector<Exponent> Exponents(const Results& results);

struct CrossoverRow {
  std::string mixer, against;
  Phase phase = Phase::kTrain;
  int64_t loops = 0, batch = 1;
  Crossover crossover;
};
// Of each pair that has a length in common, in the direction in which the
// second is the faster one at the longest length.
std::vector<CrossoverRow> Crossovers(const Results& results);

// The longest sequences of a batch: how far a phase ran, and why no further.
struct FrontierRow {
  std::string mixer;
  int64_t loops = 0, batch = 1;
  Phase phase = Phase::kDecode;
  int64_t longest = 0;        // that ran; 0 = none
  int64_t out_of_memory = 0;  // the shortest that did not fit; 0 = none
  bool untried = false;       // longer ones of the grid are pending
};
std::vector<FrontierRow> Frontiers(const Results& results);

nlohmann::json ToJson(const Results& results);
// As the file has it: one line for each row.
std::string ToText(const nlohmann::json& file);
// Takes rows and runs of an earlier file into `results`; InvalidArgument if the
// file is of another preset, model or machine. Rows with errors are taken only
// with `keep_errors`.
absl::Status TakeRows(const nlohmann::json& json, bool keep_errors,
                      Results* results);
// The results of a file alone, to draw them again elsewhere.
absl::StatusOr<Results> ResultsFromJson(const nlohmann::json& json);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_RESULTS_H_
