// The subcommands of //tools:track, apart from its command line.

#ifndef LT2_TOOLS_TRACKING_TRACK_H_
#define LT2_TOOLS_TRACKING_TRACK_H_

#include <string>
#include <vector>

#include "kernels/core/status.h"
#include "tools/tracking/measure.h"
#include "tools/tracking/quality.h"

namespace lt2::tools {

struct TrackOptions {
  double floor = 0.01;               // compare
  bool paired = false;               // compare, of files
  std::string history;               // gate, record
  std::string confirm;               // gate: files of the second round
  std::string baseline;              // gate: accepted results.json
  std::string metric = "real_time";  // of Google Benchmark's files
  // Of Google Benchmark's files, which do not know them: "cpu=x,gpu=y".
  // Without `machine`, files of this host have its machine class (machine.h),
  // others {"host": NAME}.
  std::string machine, build, commit;
  bool all = false;
  std::string json, xml, html, markdown;  // files to write
  QualityOptions quality;
  // Of compare, gate and record when they measure. metric, floor, machine,
  // build and commit above win.
  MeasureOptions measure;
};

// `arguments` are the subcommand and what follows. Text for people is appended
// to `out`. The result is the exit code, 0 to 3; an error means 2.
//
//   compare BASE HEAD    each a list of files, separated by commas; or two
//                        results.json of the evaluations
//   compare              measures measure.commits or measure.binaries
//   gate RESULT          against options.history, or a results.json against
//                        options.baseline
//   gate                 measures measure.commits (one) or measure.binaries
//                        (one program), more rounds while something is UNCLEAR,
//                        and a second time if something is SLOWER
//   record RESULT        appends to options.history, which may not exist yet:
//                        one line for each benchmark
//   record               measures measure.commits or measure.binaries
//   series HISTORY       change points; 1 if something became worse and still
//                        is
//   report HISTORY       the same, to options.html and options.markdown
//   machine              this machine's class
//
// A file is lines of records or one process of Google Benchmark's JSON. Of one
// such file alone the repetitions are the samples, which gives hints only.
absl::StatusOr<int> Track(const std::vector<std::string>& arguments,
                          const TrackOptions& options, std::string* out);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_TRACK_H_
