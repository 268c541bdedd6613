#include "tools/tracking/figures.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/tracking/rank_tests.h"

namespace lt2::tools {
namespace {

constexpr double kWidth = 320, kBarHeight = 44, kTrendHeight = 72;
constexpr double kLeastRange = 0.04;

std::string Open(double height, const std::string& label) {
  return absl::StrFormat(
      "<svg class=\"figure\" viewBox=\"0 0 %g %g\" role=\"img\" "
      "aria-label=\"%s\">",
      kWidth, height, EscapeHtml(label));
}

std::string Line(const char* kind, double x1, double y1, double x2, double y2) {
  return absl::StrFormat(
      "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>",
      kind, x1, y1, x2, y2);
}

std::string Text(double x, double y, const char* anchor,
                 const std::string& text) {
  return absl::StrFormat(
      "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>", x, y, anchor,
      EscapeHtml(text));
}

std::string SignedPercent(double ratio) {
  return absl::StrFormat("%+.2g%%", 100 * ratio);
}

// The range of the vertical axis of a history.
struct Range {
  double low = 0, high = 0;
};
Range RangeOf(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  Range range = {*low, *high};
  const double missing = kLeastRange * range.high - (range.high - range.low);
  if (missing > 0) {
    range.low -= missing / 2;
    range.high += missing / 2;
  }
  return range;
}

}  // namespace

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string IntervalSvg(const IntervalBar& bar, const std::string& label) {
  constexpr double kMargin = 14, kMiddle = 16;
  const auto x_of = [&](double ratio) {
    const double unit = std::clamp(ratio / bar.limit, -1.0, 1.0);
    return kWidth / 2 + unit * (kWidth / 2 - kMargin);
  };
  std::string svg = Open(kBarHeight, label);
  const double left = x_of(-bar.floor), right = x_of(bar.floor);
  absl::StrAppendFormat(
      &svg,
      "<rect class=\"band\" x=\"%.1f\" y=\"4\" width=\"%.1f\" height=\"24\"/>",
      left, right - left);
  svg += Line("axis", x_of(-bar.limit), 28, x_of(bar.limit), 28);
  svg += Line("zero", x_of(0), 4, x_of(0), 28);
  svg += Line("interval", x_of(bar.low), kMiddle, x_of(bar.high), kMiddle);
  for (const double end : {bar.low, bar.high}) {
    const double x = x_of(end);
    if (std::abs(end) <= bar.limit) {
      svg += Line("interval", x, kMiddle - 5, x, kMiddle + 5);
    } else {
      const double out = end < 0 ? -8 : 8;
      absl::StrAppendFormat(
          &svg, "<path class=\"dot\" d=\"M%.1f %.1f l%.1f 5 l%.1f 5z\"/>", x,
          kMiddle - 5, out, -out);
    }
  }
  if (std::abs(bar.estimate) <= bar.limit) {
    absl::StrAppendFormat(
        &svg, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>",
        x_of(bar.estimate), kMiddle);
  }
  svg += Text(x_of(-bar.limit), 41, "start", SignedPercent(-bar.limit));
  svg += Text(x_of(0), 41, "middle", "0");
  svg += Text(x_of(bar.limit), 41, "end", SignedPercent(bar.limit));
  return svg + "</svg>";
}

std::string TrendSvg(const Trend& trend, const std::string& label) {
  const std::vector<double>& values = trend.values;
  if (values.empty()) return "";
  constexpr double kTop = 10, kBottom = kTrendHeight - 10;
  constexpr double kLeft = 52, kRight = kWidth - 8;  // numbers are on the left
  const Range range = RangeOf(values);
  const auto x_of = [&](double place) {
    const double last = static_cast<double>(values.size()) - 1;
    return last == 0 ? (kLeft + kRight) / 2
                     : kLeft + place / last * (kRight - kLeft);
  };
  const auto y_of = [&](double value) {
    return kBottom -
           (value - range.low) / (range.high - range.low) * (kBottom - kTop);
  };
  std::string svg = Open(kTrendHeight, label);
  const double first = values[0];
  for (const double value : {range.low, range.high}) {
    svg += Line("axis", kLeft, y_of(value), kRight, y_of(value));
    svg += Text(kLeft - 6, y_of(value) + 4, "end",
                SignedPercent(value / first - 1));
  }
  std::string path;
  for (size_t i = 0; i < values.size(); ++i) {
    absl::StrAppendFormat(&path, "%s%.1f %.1f", i == 0 ? "M" : " L",
                          x_of(static_cast<double>(i)), y_of(values[i]));
  }
  absl::StrAppend(&svg, "<path class=\"trend\" d=\"", path, "\"/>");
  std::vector<int64_t> ends = trend.changes;
  ends.push_back(static_cast<int64_t>(values.size()));
  int64_t begin = 0;
  for (const int64_t end : ends) {
    if (end <= begin) continue;
    const double level = bench::Median(
        std::vector<double>(values.begin() + begin, values.begin() + end));
    // A level begins half a step before its first value.
    const double from = begin == 0 ? 0 : static_cast<double>(begin) - 0.5;
    const double to = end == static_cast<int64_t>(values.size())
                          ? static_cast<double>(end - 1)
                          : static_cast<double>(end) - 0.5;
    svg += Line("level", x_of(from), y_of(level), x_of(to), y_of(level));
    if (begin > 0) {
      svg += Line("change", x_of(from), 2, x_of(from), kTrendHeight - 1);
    }
    begin = end;
  }
  absl::StrAppendFormat(
      &svg, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>",
      x_of(static_cast<double>(values.size()) - 1), y_of(values.back()));
  return svg + "</svg>";
}

std::string TrendText(const Trend& trend, int columns) {
  const size_t n = trend.values.size();
  if (n == 0) return "";
  const size_t width = std::min(n, static_cast<size_t>(columns));
  std::vector<double> medians;
  for (size_t i = 0; i < width; ++i) {
    medians.push_back(bench::Median(
        std::vector<double>(trend.values.begin() + i * n / width,
                            trend.values.begin() + (i + 1) * n / width)));
  }
  const Range range = RangeOf(medians);
  std::string text;
  for (const double median : medians) {
    const double unit = (median - range.low) / (range.high - range.low);
    const int height = std::clamp(static_cast<int>(unit * 8), 0, 7);
    // U+2581 to U+2588 in UTF-8.
    text += "\xe2\x96";
    text += static_cast<char>(0x81 + height);
  }
  return text;
}

}  // namespace lt2::tools
