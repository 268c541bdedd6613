// Builds and measures: two builds against each other, or many commits for a
// history.

#ifndef LT2_TOOLS_TRACKING_MEASURE_H_
#define LT2_TOOLS_TRACKING_MEASURE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/tracking/records.h"
#include "tools/tracking/rounds.h"

namespace lt2::tools {

struct MeasureOptions {
  // One of these two: commits to build, or built programs "BASE,HEAD" (for
  // MeasureCommits one side), several of a side separated by ':'.
  std::string commits, binaries;
  std::string commit;             // of the records of `binaries`
  uint64_t first_process = 0;     // see ProgramBenchOptions
  std::string benchmark, filter;  // targets, and a filter for all of them
  std::string suite;              // or this file
  int rounds = 0;                 // 0: the suite's
  int max_rounds = 28;
  double min_time = -1;  // < 0: the suite's
  double time_limit = 900;
  bool confirm = true;
  std::string tests;  // patterns; "" those of the benchmarks' packages; "none"
  std::string cache;  // "": DefaultCache()
  std::string bazel_flags;  // separated by spaces
  std::string out;          // folder for raw files; "": in the cache
  std::string metric = "real_time";
  double floor = 0.01;
  std::map<std::string, std::string> machine, build;
  std::function<void(const std::string&)> tell;      // a line for people
  std::function<void(const std::string&)> progress;  // replaces the last one
};

struct ComparedBuilds {
  Measured measured;
  // How it was measured, for the report.
  std::vector<std::pair<std::string, std::string>> about;
};

absl::StatusOr<ComparedBuilds> CompareBuilds(const MeasureOptions& options);

// One record for each benchmark and commit, in the order of the commits, each
// with a sample for each round. All are built first, then measured in turn, the
// order reversed in every other round, so that a machine that drifts does not
// make a trend. Commits in `known` are left out. An interrupt is Cancelled; the
// raw files are kept.
absl::StatusOr<std::vector<bench::Record>> MeasureCommits(
    const MeasureOptions& options, const std::vector<std::string>& known);

// $XDG_CACHE_HOME/lt2-track, else ~/.cache/lt2-track.
std::string DefaultCache();

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_MEASURE_H_
