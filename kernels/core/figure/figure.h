// Line plots as SVG, drawn by gnuplot.
//
// A figure is a grid of panels; every series of a panel has a dash pattern and
// a marker of its own, so that it reads without colour too.

#ifndef LT2_KERNELS_CORE_FIGURE_FIGURE_H_
#define LT2_KERNELS_CORE_FIGURE_FIGURE_H_

#include <string>
#include <utility>
#include <vector>

#include "kernels/core/status.h"

namespace lt2 {

struct Series {
  std::string name;
  // Points that are not finite, or not positive on a log axis, are left out.
  std::vector<std::pair<double, double>> points;
  bool line_only = false;  // no markers: theory, and series of many points
};

// Of an axis; empty = chosen by gnuplot.
struct Range {
  double min = 0, max = 0;
};

struct Panel {
  std::string title, x_label, y_label;
  bool log_y = false;
  std::vector<Series> series;
  bool log_x = false;  // of base 2
  double y_step = 0;   // between marks; 0 = chosen by gnuplot
  Range x, y;
};

struct Figure {
  int columns = 2;
  std::vector<Panel> panels;
};

// The gnuplot program that draws the figure to its standard output.
std::string GnuplotScript(const Figure& figure);

// The SVG; NotFound if gnuplot is not installed.
absl::StatusOr<std::string> RenderSvg(const Figure& figure);

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_FIGURE_FIGURE_H_
