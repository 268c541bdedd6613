#include "kernels/core/figure/figure.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace lt2 {
namespace {

constexpr int kPanelWidth = 420, kPanelHeight = 320;

// Dark enough on white paper; distinct for colour-blind readers (Okabe, Ito).
constexpr const char* kColours[] = {"#000000", "#0072b2", "#d55e00", "#009e73",
                                    "#cc79a7", "#7f7f7f", "#56b4e9"};
constexpr int kStyles = 7;

std::string Quoted(const std::string& text) {
  return absl::StrCat(
      "\"",
      absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", " "}}),
      "\"");
}

bool Drawable(const Panel& panel, const std::pair<double, double>& point) {
  return std::isfinite(point.first) && std::isfinite(point.second) &&
         (!panel.log_x || point.first > 0) &&
         (!panel.log_y || point.second > 0);
}

}  // namespace

std::string GnuplotScript(const Figure& figure) {
  const int panels = static_cast<int>(figure.panels.size());
  const int columns = std::max(1, std::min(figure.columns, panels));
  const int rows = std::max(1, (panels + columns - 1) / columns);
  std::string script = absl::StrFormat(
      "set encoding utf8\n"
      "set terminal svg noenhanced size %d,%d font 'sans-serif,11' "
      "background '#ffffff'\n"
      "set multiplot layout %d,%d\n"
      "set grid lc rgb '#dddddd' dt 1\nset border 3\nset tics nomirror\n"
      "set key outside below maxcols 2 samplen 4 spacing 1.1 font ',10'\n",
      columns * kPanelWidth, rows * kPanelHeight, rows, columns);
  for (const Panel& panel : figure.panels) {
    absl::StrAppend(&script, "set title ", Quoted(panel.title), "\nset xlabel ",
                    Quoted(panel.x_label), "\nset ylabel ",
                    Quoted(panel.y_label), "\n",
                    panel.log_y ? "set logscale y\nset format y '%.0e'\n"
                                : "unset logscale y\nset format y '%g'\n");
    absl::StrAppend(&script,
                    panel.log_x ? "set logscale x 2\n" : "unset logscale x\n");
    const auto range = [](const Range& r) {
      return r.min < r.max ? absl::StrCat("[", r.min, ":", r.max, "]")
                           : std::string("[*:*]");
    };
    const std::string y_step =
        panel.y_step > 0 ? absl::StrCat(panel.y_step) : "autofreq";
    absl::StrAppend(&script, "set ytics ", y_step, "\nset xrange ",
                    range(panel.x), "\nset yrange ", range(panel.y), "\n");
    std::string data, plot;
    for (size_t i = 0; i < panel.series.size(); ++i) {
      const Series& series = panel.series[i];
      std::string points;
      for (const auto& point : series.points) {
        if (!Drawable(panel, point)) continue;
        absl::StrAppendFormat(&points, "%.7g %.7g\n", point.first,
                              point.second);
      }
      if (points.empty()) continue;
      const int style = static_cast<int>(i) % kStyles;
      absl::StrAppend(&data, "$d", i, " << EOD\n", points, "EOD\n");
      absl::StrAppendFormat(
          &plot, "%s$d%d using 1:2 with %s lc rgb '%s' dt %d lw 1.6%s title %s",
          plot.empty() ? "plot " : ", ", i,
          series.line_only ? "lines" : "linespoints", kColours[style],
          style % 5 + 1,
          series.line_only ? "" : absl::StrFormat(" pt %d ps 0.6", style + 4),
          Quoted(series.name));
    }
    if (plot.empty()) {
      // An empty panel keeps its place in the grid.
      plot = "plot [0:1][0:1] NaN notitle";
    }
    absl::StrAppend(&script, data, plot, "\n");
  }
  return absl::StrCat(script, "unset multiplot\n");
}

absl::StatusOr<std::string> RenderSvg(const Figure& figure) {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) {
    return absl::NotFoundError(
        "gnuplot is not installed (Debian: apt-get install gnuplot-nox)");
  }
  char path[] = "/tmp/lt2_figure_XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) return absl::InternalError("cannot make a temporary file");
  auto remove = absl::MakeCleanup([&] { unlink(path); });
  const std::string script = GnuplotScript(figure);
  const bool written = write(file, script.data(), script.size()) ==
                       static_cast<ssize_t>(script.size());
  if (close(file) != 0 || !written) {
    return absl::InternalError(absl::StrCat("cannot write ", path));
  }
  FILE* pipe = popen(absl::StrCat("gnuplot ", path, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return absl::InternalError("cannot run gnuplot");
  std::string svg;
  char buffer[4096];
  size_t n;
  while ((n = fread(buffer, 1, sizeof(buffer), pipe)) > 0) {
    svg.append(buffer, n);
  }
  const int status = pclose(pipe);
  if (status != 0 || svg.find("</svg>") == std::string::npos) {
    return absl::InternalError(
        absl::StrCat("gnuplot failed: ", svg.substr(0, 500)));
  }
  return svg;
}

}  // namespace lt2
