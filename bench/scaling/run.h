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
  bool keep_errors = false;  // rows with an error are not tried again
  std::function<void(const std::string&)> progress;
};

struct RunSummary {
  int measured = 0;   // rows of this run, those without a time among them
  int taken = 0;      // from the file of an earlier run
  int pending = 0;    // left for a next run: the time was over
  std::string notes;  // what could not be drawn
  // The device stopped working for this process: the rest is for another one.
  bool device_lost = false;
};
absl::StatusOr<RunSummary> RunPreset(const Preset& preset,
                                     const RunOptions& options);

// Writes scaling.md and figures of `results`; returns notes on what could not
// be drawn.
absl::StatusOr<std::string> WriteReport(const Results& results,
                                        const std::string& folder);
// The same of the scaling.json that lies in a folder.
absl::StatusOr<std::string> RenderFolder(const std::string& folder);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_RUN_H_
