#include "evals/curricula/plots.h"

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "evals/curricula/report.h"

namespace lt2::evals {
namespace {

// The number of "d=64".
double AxisValue(const std::string& axis) {
  const std::vector<std::string> parts = absl::StrSplit(axis, '=');
  double value = 0;
  return absl::SimpleAtod(parts.back(), &value) ? value : 0;
}

}  // namespace

Figure MedianFigure(const Results& results) {
  // Values of the seeds: panel, series, place on the x axis.
  std::map<std::string, std::map<std::string, std::map<double, Runs>>> cells;
  std::string axis_name;
  for (const RunOutcome& run : results.runs) {
    const std::string column =
        absl::StrCat(results.column_name, "=", run.column);
    if (run.axis.empty()) {
      cells[run.write_strength][run.row][static_cast<double>(run.column)]
          .push_back(&run);
    } else {
      const std::vector<std::string> parts = absl::StrSplit(run.axis, '=');
      axis_name = parts[0];
      const std::string name =
          run.write_strength == "-"
              ? run.row
              : absl::StrCat(run.row, " ", run.write_strength);
      cells[column][name][AxisValue(run.axis)].push_back(&run);
    }
  }
  Figure figure;
  for (const auto& [title, rows] : cells) {
    Panel panel;
    panel.title = title == "-"      ? "no write strength"
                  : title[0] == '(' ? absl::StrCat("write strength ", title)
                                    : title;
    panel.x_label = axis_name.empty() ? results.column_name : axis_name;
    panel.y_label = results.measure == Measure::kStage
                        ? "highest stage solved (median)"
                        : "accuracy (median)";
    for (const auto& [name, places] : rows) {
      Series series;
      series.name = name;
      for (const auto& [place, runs] : places) {
        const CellValue value = ValueOfCell(runs, results.measure);
        if (value.seeds > 0) series.points.push_back({place, value.median});
      }
      panel.series.push_back(series);
    }
    figure.panels.push_back(panel);
  }
  return figure;
}

}  // namespace lt2::evals
