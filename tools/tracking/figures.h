// Small pictures of //tools:track's page, as inline SVG without scripts.
// Colours are CSS variables of the page (light and dark); nothing is said by
// colour alone.

#ifndef LT2_TOOLS_TRACKING_FIGURES_H_
#define LT2_TOOLS_TRACKING_FIGURES_H_

#include <string>
#include <vector>

namespace lt2::tools {

// A change with its interval on an axis of ratios from -limit to +limit, with
// the band of changes that do not matter, -floor to +floor. What lies beyond
// the axis is cut, and an arrow says so.
struct IntervalBar {
  double estimate = 0, low = 0, high = 0, floor = 0;
  double limit = 0.1;
};
std::string IntervalSvg(const IntervalBar& bar, const std::string& label);

// A history, oldest first, with the level (median) between change points. The
// axis covers at least 4 %, so that noise looks as small as it is; its numbers
// are relative to the first value.
struct Trend {
  std::vector<double> values;    // > 0
  std::vector<int64_t> changes;  // first index of each new level
};
std::string TrendSvg(const Trend& trend, const std::string& label);
// The same as a line of at most `columns` characters of eight heights, each the
// median of its part of the history.
std::string TrendText(const Trend& trend, int columns = 24);

// `text` where HTML or XML expects text or a quoted attribute.
std::string EscapeHtml(const std::string& text);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRACKING_FIGURES_H_
