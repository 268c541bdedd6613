// Files of results and histories: JSON Lines, one measurement a line,
//
//   {"schema_version":1,"suite":"gemm_benchmark","benchmark":"BM_Gemm",
//    "parameters":{"arg0":"64"},"metric":"real_time","unit":"ns",
//    "higher_is_better":false,"machine":{"cpu":"..."},"build":{"compiler":
//    "gcc 12.2"},"data":"","commit":"0123abc","time":"2026-11-23T13:00:00Z",
//    "sampling":"process","samples":[1032.5,null]}
//
// A line is one process, or several that were merged. A history has one line
// for each benchmark and commit, oldest first, of one machine class: appending
// to it never rewrites what is there. Reading is strict: an unknown, missing or
// repeated key, a wrong type or another schema_version is an error with the
// file's name and the line. A sample that could not be measured is null.

#ifndef LT2_BENCH_TRACKING_RECORDS_H_
#define LT2_BENCH_TRACKING_RECORDS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::bench {

inline constexpr int kRecordSchemaVersion = 1;

// What a sample is the median of. Repetitions inside one process share layout,
// clocks and neighbours: they say little about another process.
enum class Sampling { kProcess, kRepetition };

struct Record {
  std::string suite, benchmark;
  std::map<std::string, std::string> parameters;  // all of them
  std::string metric, unit;
  bool higher_is_better = false;
  // Whatever makes times incomparable: GPU, driver, CPU, clocks; compiler,
  // flags. Only equal ones are compared.
  std::map<std::string, std::string> machine, build;
  std::string data;  // digest of the data measured on, or ""
  std::string commit, time;
  Sampling sampling = Sampling::kProcess;
  std::vector<double> samples;  // NaN: failed

  // "suite/benchmark name:value ... [metric]", for people.
  std::string Name() const;
  // What is measured: suite, benchmark, parameters, metric and data, as JSON.
  std::string Subject() const;
  // Where: machine and build, as JSON.
  std::string Place() const;
  // Both: equal keys are comparable.
  std::string Key() const;
};

// Without line break.
std::string RecordLine(const Record& record);

// `source` names the file in errors. Empty lines are not allowed, but for the
// end of the last line.
absl::StatusOr<std::vector<Record>> ParseRecords(absl::string_view text,
                                                 absl::string_view source);
// The same, all of one machine class.
absl::StatusOr<std::vector<Record>> ParseHistory(absl::string_view text,
                                                 absl::string_view source);

// Records of one key as one, with the samples in order, in the order of their
// first. An error where commits differ, or unit, direction or sampling.
absl::StatusOr<std::vector<Record>> MergeProcesses(
    const std::vector<Record>& records);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_RECORDS_H_
