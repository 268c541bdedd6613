#include "kernels/core/figure/figure.h"

#include <cmath>

#include "gtest/gtest.h"

namespace lt2 {
namespace {

Figure Example() {
  Panel panel;
  panel.title = "a \"title\"";
  panel.series = {{"s", {{0, 1}, {2, 3}, {4, -1}, {8, std::nan("")}}}};
  return {1, {panel}};
}

TEST(Figure, LeavesOutWhatALogAxisCannotShow) {
  Figure figure = Example();
  EXPECT_NE(GnuplotScript(figure).find("0 1\n2 3\n4 -1\nEOD"),
            std::string::npos);
  figure.panels[0].log_y = true;
  EXPECT_NE(GnuplotScript(figure).find("0 1\n2 3\nEOD"), std::string::npos);
  figure.panels[0].log_x = true;
  const std::string script = GnuplotScript(figure);
  EXPECT_NE(script.find("EOD\n2 3\nEOD"), std::string::npos);
  EXPECT_NE(script.find("set logscale x 2\n"), std::string::npos);
}

TEST(Figure, LogAxesEndWithTheirPanel) {
  Figure figure = Example();
  figure.panels[0].log_x = figure.panels[0].log_y = true;
  figure.panels.push_back(Example().panels[0]);
  const std::string script = GnuplotScript(figure);
  EXPECT_GT(script.find("unset logscale x"), script.find("set logscale x"));
  EXPECT_GT(script.find("unset logscale y"), script.find("set logscale y"));
  EXPECT_NE(script.find("unset logscale x"), std::string::npos);
}

TEST(Figure, QuotesText) {
  EXPECT_NE(GnuplotScript(Example()).find("\"a \\\"title\\\"\""),
            std::string::npos);
}

TEST(Figure, RendersSvg) {
  Figure figure = Example();
  figure.panels[0].log_x = true;
  const auto svg = RenderSvg(figure);
  if (svg.status().code() == absl::StatusCode::kNotFound) {
    GTEST_SKIP() << svg.status();
  }
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_NE(svg->find("<svg"), std::string::npos);
}

}  // namespace
}  // namespace lt2
