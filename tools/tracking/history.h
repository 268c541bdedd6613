// The series of a history file: one for each benchmark, with its change points.

#ifndef LT2_TOOLS_TRACKING_HISTORY_H_
#define LT2_TOOLS_TRACKING_HISTORY_H_

#include <string>
#include <vector>

#include "bench/tracking/change_points.h"
#include "bench/tracking/compare.h"
#include "bench/tracking/records.h"
#include "tools/tracking/page.h"

namespace lt2::tools {

struct Series {
  bench::Record subject;  // of the last record, without samples
  // Of the commits that have a value: median of the processes.
  std::vector<double> values;
  std::vector<std::string> commits, times;
  std::vector<bench::ChangePoint> changes;
  int64_t left_out = 0;  // records without a value

  bool IsWorse(const bench::ChangePoint& change) const {
    return (change.change > 0) != subject.higher_is_better;
  }
  // How much of a change is left: the last level's cost over that before the
  // change, as a logarithm.
  double Remaining(size_t change) const;
  // The change for the worse of which most is left, if that is at least 1 %;
  // else -1: a slowdown that was undone is no news.
  int StillWorse() const;
};

// In the order of their first records.
absl::StatusOr<std::vector<Series>> FindSeries(
    const std::vector<bench::Record>& history);

// A table of the change points and a line that counts them.
std::string SeriesText(const std::vector<Series>& series);
// 1 if something became worse and still is, else 0.
int SeriesExitCode(const std::vector<Series>& series);

// The text of the history file with the records appended, which must name their
// commits and be of its machine class. The file may not exist yet.
absl::StatusOr<std::string> AppendedHistory(
    const std::vector<bench::Record>& records, const std::string& path);

// The page of a history: a trend for each benchmark, worst first, and how the
// last commit compares with the one before (without a second round: nothing is
// confirmed). `path` is named in commands.
absl::StatusOr<Page> HistoryPage(const std::vector<bench::Record>& history,
                                 const std::string& path);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_HISTORY_H_
