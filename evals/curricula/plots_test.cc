#include "evals/curricula/plots.h"

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

RunOutcome Outcome(const std::string& row, const std::string& strength,
                   int64_t column, int64_t seed, int64_t stage) {
  RunOutcome o;
  o.row = row;
  o.write_strength = strength;
  o.column = column;
  o.seed = seed;
  o.status = RunStatus::kDone;
  o.highest_stage = stage;
  return o;
}

TEST(MedianFigure, HasAPanelForEachWriteStrength) {
  Results results;
  results.column_name = "T";
  results.runs = {
      Outcome("full", "-", 1, 1, 2), Outcome("gdn", "(0,1)", 1, 1, 3),
      Outcome("gdn", "(0,1)", 4, 1, 4), Outcome("gdn", "(0,2)", 4, 1, 5),
      Outcome("gdn", "(0,2)", 4, 2, 6)};
  results.runs.push_back(Outcome("gdn", "(0,2)", 8, 1, 0));
  results.runs.back().status = RunStatus::kPending;
  const Figure figure = MedianFigure(results);
  ASSERT_EQ(figure.panels.size(), 3u);
  EXPECT_EQ(figure.panels[0].title, "write strength (0,1)");
  EXPECT_EQ(figure.panels[2].title, "no write strength");
  using Points = std::vector<std::pair<double, double>>;
  EXPECT_EQ(figure.panels[0].series[0].points, (Points{{1, 3}, {4, 4}}));
  EXPECT_EQ(figure.panels[1].series[0].points, (Points{{4, 5.5}}));
  EXPECT_LT(figure.panels[2].x.max, 8);  // nothing is known of T = 8
  EXPECT_GT(figure.panels[2].y.max, 5.5);
}

TEST(MedianFigure, SeriesOfEqualStagesStandSideBySide) {
  Results results;
  results.column_name = "T";
  results.runs = {Outcome("dsa", "-", 2, 1, 1), Outcome("full", "-", 2, 1, 1),
                  Outcome("nsa", "-", 2, 1, 1)};
  const Figure figure = MedianFigure(results);
  const auto x = [&](int i) {
    return figure.panels[0].series[i].points[0].first;
  };
  EXPECT_LT(x(0), x(1));
  EXPECT_EQ(x(1), 2);
  EXPECT_LT(x(1), x(2));
  EXPECT_LT(x(2), 2 * 1.13);
}

TEST(MedianFigure, AnAxisIsTheXOfAPanelForEachColumn) {
  Results results;
  results.column_name = "T";
  results.measure = Measure::kAccuracy;
  results.runs = {Outcome("gdn", "(0,2)", 4, 1, 0)};
  results.runs[0].axis = "d=64";
  results.runs[0].accuracy = 0.75;
  const Figure figure = MedianFigure(results);
  ASSERT_EQ(figure.panels.size(), 1u);
  EXPECT_EQ(figure.panels[0].title, "T=4");
  EXPECT_EQ(figure.panels[0].x_label, "d");
  EXPECT_EQ(figure.panels[0].series[0].name, "gdn (0,2)");
  EXPECT_EQ(figure.panels[0].series[0].points[0], std::make_pair(64.0, 0.75));
  // All of an accuracy's range, so that panels compare.
  EXPECT_EQ(figure.panels[0].y.min, 0);
  EXPECT_GT(figure.panels[0].y.max, 1);
  EXPECT_TRUE(figure.panels[0].log_x);
}

}  // namespace
}  // namespace lt2::evals
