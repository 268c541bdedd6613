// What the probes share: options, reports, jobs on several threads.
//
// A probe measures a property of models that no score shows (README.md). It
// returns a report; the program prints its tables and writes PROBE.json,
// PROBE.md and PROBE.svg from it.

#ifndef LT2_EVALS_PROBES_PROBE_H_
#define LT2_EVALS_PROBES_PROBE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "evals/stats/table.h"
#include "kernels/core/figure/figure.h"
#include "kernels/core/status.h"
#include "kernels/core/tensor.h"
#include "nlohmann/json.hpp"

namespace lt2::evals {

inline constexpr int kProbeSchemaVersion = 1;

struct ProbeOptions {
  std::string repository;   // where testdata/ is
  std::string checkpoints;  // folder FAMILY/MODEL/
  std::string data_dir;     // optional: with corpus/, for --probe=stability
  std::vector<std::string> models;  // MODEL or FAMILY/MODEL; empty = all
  Device device = Device::kCPU;
  int threads = 1;        // models at a time, each on one thread
  int64_t examples = 64;  // of depth; the others take a share of it
  // Of stability.
  std::vector<std::string> mixers;  // empty = all
  bool large = false;               // the preset for a GPU
  int64_t steps = 0;                // 0 = the preset's
  std::function<void(const std::string&)> progress;
};

struct ProbeReport {
  std::string probe;  // "rank"
  std::string title;
  // One sentence for each quantity: goes into all outputs.
  std::vector<std::string> definitions;
  std::vector<std::pair<std::string, Table>> tables;  // with their captions
  nlohmann::json rows = nlohmann::json::array();
  Figure figure;
};

// How a report came about.
struct ProbeRun {
  std::string build, machine, command;
  double seconds = 0;
};

std::string ProbeText(const ProbeReport& report, const ProbeRun& run);
std::string ProbeMarkdown(const ProbeReport& report, const ProbeRun& run);
nlohmann::json ProbeJson(const ProbeReport& report, const ProbeRun& run);

// A number of a row: null if it is not finite.
nlohmann::json JsonNumber(double value);

// job(0), ..., job(n - 1) on `threads` threads; the first error of the lowest
// index. `name` is told to `progress` when a job is done.
absl::Status RunJobs(int64_t n, const ProbeOptions& options,
                     const std::function<absl::Status(int64_t)>& job,
                     const std::function<std::string(int64_t)>& name);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_PROBE_H_
