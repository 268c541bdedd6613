// Which benchmarks to run, from the command line or a file:
//
//   {"schema_version":1,"rounds":7,"min_time":0.05,"benchmarks":
//    [{"target":"//kernels/norm:norm_benchmark","filter":"RmsForward/cpu"}]}
//
// Keys but schema_version, benchmarks and target may be absent.

#ifndef LT2_TOOLS_TRACKING_SUITE_H_
#define LT2_TOOLS_TRACKING_SUITE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::tools {

struct Suite {
  struct Entry {
    std::string target;
    std::string filter;  // a regular expression; "" = all
  };
  std::vector<Entry> entries;
  int rounds = 7;
  double min_time = 0;  // seconds for each benchmark; 0 = the program's own
};

absl::StatusOr<Suite> ParseSuite(absl::string_view text,
                                 absl::string_view source);

// "//a/b:c" as "a/b" and "c"; "//a/b" means "//a/b:b".
absl::StatusOr<std::pair<std::string, std::string>> SplitTarget(
    const std::string& target);

// The tests that must be green before the suite is believed: those of the
// benchmarks' packages, or the patterns in `wanted`, separated by commas;
// "none" for none.
std::vector<std::string> TestsOf(const Suite& suite, const std::string& wanted);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_SUITE_H_
