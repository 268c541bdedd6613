#include "evals/curricula/plots.h"

#include <algorithm>
#include <cmath>
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

// The same axes in all panels: x in octaves around all points, y as given.
void ShareAxes(Range y, double y_step, Figure* figure) {
  double least = INFINITY, most = 0;
  for (const Panel& panel : figure->panels) {
    for (const Series& series : panel.series) {
      for (const auto& point : series.points) {
        least = std::min(least, point.first);
        most = std::max(most, point.first);
      }
    }
  }
  if (!(least > 0 && most >= least)) return;
  for (Panel& panel : figure->panels) {
    panel.log_x = true;
    panel.x = {least / 1.3, most * 1.3};
    panel.y = y;
    panel.y_step = y_step;
  }
}

// Stages are few and whole, so series lie on each other: moves each a little to
// its side, by up to a sixth of an octave.
void SpreadSeries(Figure* figure) {
  for (Panel& panel : figure->panels) {
    const auto n = static_cast<double>(panel.series.size());
    for (size_t i = 0; i < panel.series.size(); ++i) {
      const double side = (static_cast<double>(i) - (n - 1) / 2) / n;
      for (auto& point : panel.series[i].points) {
        point.first *= std::exp2(side / 3);
      }
    }
  }
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
  double highest = 1;
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
        if (value.seeds == 0) continue;
        series.points.push_back({place, value.median});
        highest = std::max(highest, value.median);
      }
      panel.series.push_back(series);
    }
    figure.panels.push_back(panel);
  }
  if (results.measure == Measure::kAccuracy) {
    ShareAxes({0, 1.03}, 0.2, &figure);
  } else {
    ShareAxes({-0.3, highest + 0.5}, 1, &figure);
    if (axis_name.empty()) SpreadSeries(&figure);
  }
  return figure;
}

}  // namespace lt2::evals
