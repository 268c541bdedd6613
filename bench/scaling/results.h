// The results file of the scaling benchmark: what was measured, and what
// follows from it. A later run of the same preset on the same machine reads it
// back and measures only the cells that it does not have.

#ifndef LT2_BENCH_SCALING_RESULTS_H_
#define LT2_BENCH_SCALING_RESULTS_H_

#include <map>
#include <string>
#include <vector>

#include "bench/scaling/measure.h"
#include "bench/scaling/statistics.h"
#include "nlohmann/json.hpp"

namespace lt2::bench {

inline constexpr int kScalingSchemaVersion = 1;

struct Results {
  Preset preset;
  // Where and how.
  std::string device, processor, build, command;
  int threads = 1;
  double seconds = 0;  // of all runs together
  // Of the last run at its start and end, over a minute: above `threads`, other
  // programs ran too.
  double load[2] = {};
  std::map<std::string, Row> rows;  // by Cell::Key
};

double MedianSeconds(const Row& row);  // of a call
double TokensOf(const Row& row);       // that a call processes

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
  std::string mixer;  // against full
  Phase phase = Phase::kTrain;
  int64_t loops = 0, batch = 1;
  Crossover crossover;
};
std::vector<CrossoverRow> Crossovers(const Results& results);

nlohmann::json ToJson(const Results& results);
// As the file has it: one line for each row.
std::string ToText(const nlohmann::json& file);
// Takes the rows of an earlier file into `results`; InvalidArgument if the file
// is of another preset, model or machine. Rows with errors are not taken.
absl::Status TakeRows(const nlohmann::json& json, Results* results);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_RESULTS_H_
