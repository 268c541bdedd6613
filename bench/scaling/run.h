// Runs a preset and writes what it found.

#ifndef LT2_BENCH_SCALING_RUN_H_
#define LT2_BENCH_SCALING_RUN_H_

#include <functional>
#include <string>

#include "bench/scaling/results.h"

namespace lt2::bench {

struct RunOptions {
  std::string out;  // folder of scaling.json, scaling.md and the figures
  int threads = 1;  // of the CPU
  std::string command;
  std::function<void(const std::string&)> progress;
};

struct RunSummary {
  int measured = 0;   // rows of this run, those without a time among them
  int taken = 0;      // from the file of an earlier run
  int pending = 0;    // left for a next run: the preset's time was over
  std::string notes;  // what could not be drawn
};
absl::StatusOr<RunSummary> RunPreset(const Preset& preset,
                                     const RunOptions& options);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_RUN_H_
