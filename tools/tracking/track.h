// The subcommands of //tools:track, apart from its command line.

#ifndef LT2_TOOLS_TRACKING_TRACK_H_
#define LT2_TOOLS_TRACKING_TRACK_H_

#include <string>
#include <vector>

#include "kernels/core/status.h"

namespace lt2::tools {

struct TrackOptions {
  double floor = 0.01;               // compare
  bool paired = false;               // compare
  std::string history;               // gate
  std::string confirm;               // gate: files of the second round
  std::string metric = "real_time";  // of Google Benchmark's files
  // Of Google Benchmark's files, which do not know them: "cpu=x,gpu=y".
  std::string machine, build, commit;
  bool all = false;
  std::string json, xml;  // files to write
};

// `arguments` are the subcommand and what follows. Text for people is appended
// to `out`. The result is the exit code, 0 to 3; an error means 2.
//
//   compare BASE HEAD    each a list of files, separated by commas
//   gate RESULT          against options.history
//   record RESULT        appends to options.history, which may not exist yet:
//                        one line for each benchmark
//   series HISTORY       change points; 1 if one is for the worse
//
// A file is lines of records or one process of Google Benchmark's JSON. Of one
// such file alone the repetitions are the samples, which gives hints only.
absl::StatusOr<int> Track(const std::vector<std::string>& arguments,
                          const TrackOptions& options, std::string* out);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_TRACK_H_
