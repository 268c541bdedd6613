// Benchmark programs of two builds, or of many commits, run one process at a
// time. What each wrote is kept in a folder: OUT/SIDE-PROGRAM-NUMBER.json.

#ifndef LT2_TOOLS_TRACKING_PROGRAM_BENCH_H_
#define LT2_TOOLS_TRACKING_PROGRAM_BENCH_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/tracking/rounds.h"

namespace lt2::tools {

// One program of one side.
struct BenchProgram {
  std::string path;    // absolute, or "" where this side does not have it
  std::string suite;   // name of the suite in records
  std::string filter;  // --benchmark_filter; "" = all
  // Seconds that each benchmark runs in a process; 0 = the program's own.
  double min_time = 0;
};

struct BenchSide {
  std::string label;   // "base", "head": names of files
  std::string commit;  // of the records
  std::vector<BenchProgram> programs;
};

struct ProgramBenchOptions {
  std::string metric = "real_time";
  std::map<std::string, std::string> machine, build;
  std::string out;             // existing folder for the raw files
  uint64_t first_process = 0;  // number of the first process
};

class ProgramBench : public Bench {
 public:
  // All sides have the same number of programs.
  ProgramBench(std::vector<BenchSide> sides, ProgramBenchOptions options);

  int programs() const override;
  absl::StatusOr<std::vector<bench::Record>> Run(
      int side, const Selection& selection) override;
  double Seconds() override;
  bool Interrupted() override;

  // Of all processes so far: the clock that Google Benchmark saw, in MHz, and
  // the load average of one minute; empty ranges (low > high) if none said.
  struct Range {
    double low = 1e300, high = -1e300;
    void Add(double x);
    bool empty() const { return low > high; }
  };
  const Range& megahertz() const { return megahertz_; }
  const Range& load() const { return load_; }

 private:
  std::vector<BenchSide> sides_;
  ProgramBenchOptions options_;
  uint64_t processes_;                        // the next one's number
  std::map<std::string, std::string> names_;  // run names of subjects
  Range megahertz_, load_;
};

// `text` as a regular expression that matches only it.
std::string QuoteForFilter(const std::string& text);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_PROGRAM_BENCH_H_
