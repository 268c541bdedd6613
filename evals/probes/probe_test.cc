// Reports, jobs and figures.

#include "evals/probes/probe.h"

#include <atomic>
#include <cmath>
#include <set>

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

ProbeReport Report() {
  ProbeReport report;
  report.probe = "example";
  report.title = "An example";
  report.definitions = {"x: a number."};
  Table table({{"model"}, {"x", Align::kRight}});
  table.AddRow({"gdn", "1.50"});
  report.tables = {{"All of it", table}};
  report.rows = {
      {{"model", "gdn"}, {"x", 1.5}, {"y", JsonNumber(std::nan(""))}}};
  return report;
}

const ProbeRun kRun = {"g++ 1", "a processor", "bazel run //evals:probes", 2};

TEST(ProbeReport, TextMarkdownAndJsonComeFromOneReport) {
  EXPECT_EQ(ProbeText(Report(), kRun),
            "An example\n\nAll of it\n\nmodel     x\n-----  ----\n"
            "gdn    1.50\n\n  x: a number.\n\n"
            "bazel run //evals:probes; a processor; g++ 1; 2 s\n");
  EXPECT_NE(ProbeMarkdown(Report(), kRun).find("| gdn   | 1.50 |"),
            std::string::npos);
  const nlohmann::json json = ProbeJson(Report(), kRun);
  std::set<std::string> keys;
  for (const auto& item : json.items()) keys.insert(item.key());
  EXPECT_EQ(keys, (std::set<std::string>{"schema_version", "probe", "title",
                                         "definitions", "build", "machine",
                                         "command", "seconds", "rows"}));
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_TRUE(json["rows"][0]["y"].is_null());
}

TEST(RunJobs, RunsEachOnceAndNamesTheFailure) {
  ProbeOptions options;
  options.threads = 3;
  std::atomic<int64_t> sum{0};
  auto name = [](int64_t i) { return absl::StrCat("job ", i); };
  EXPECT_TRUE(RunJobs(
                  100, options,
                  [&](int64_t i) {
                    sum += i;
                    return absl::OkStatus();
                  },
                  name)
                  .ok());
  EXPECT_EQ(sum, 4950);
  const absl::Status failed = RunJobs(
      100, options,
      [&](int64_t i) {
        return i == 40 ? InvalidArgument("no") : absl::OkStatus();
      },
      name);
  EXPECT_EQ(failed.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(failed.message().find("job 40"), std::string::npos);
}

Figure TwoPanels() {
  Figure figure;
  figure.panels.push_back({"growth",
                           "loops",
                           "RMS",
                           true,
                           {{"a \"quoted\" name", {{1, 10}, {2, 100}}, false},
                            {"theory_1", {{1, 5}, {2, 50}}, true}}});
  figure.panels.push_back({"empty", "x", "y", false, {}});
  return figure;
}

TEST(Figure, ScriptHasLabelsAndAStyleForEachSeries) {
  const std::string script = GnuplotScript(TwoPanels());
  for (const char* part :
       {"set xlabel \"loops\"", "set ylabel \"RMS\"", "set logscale y",
        "title \"a \\\"quoted\\\" name\"", "dt 1", "dt 2", "with lines lc",
        "with linespoints lc", "unset multiplot"}) {
    EXPECT_NE(script.find(part), std::string::npos) << part << "\n" << script;
  }
}

TEST(Figure, PointsThatCannotBeDrawnAreLeftOut) {
  Figure figure;
  figure.panels.push_back({"p",
                           "x",
                           "y",
                           true,
                           {{"s", {{1, 0}, {2, std::nan("")}, {3, 7}}, true}}});
  const std::string script = GnuplotScript(figure);
  EXPECT_NE(script.find("<< EOD\n3 7\nEOD"), std::string::npos) << script;
}

TEST(Figure, GnuplotDrawsIt) {
  const auto svg = RenderSvg(TwoPanels());
  if (absl::IsNotFound(svg.status())) {
    GTEST_SKIP() << svg.status().message() << ": this test drew nothing";
  }
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_NE(svg->find("<svg"), std::string::npos);
  EXPECT_NE(svg->find("theory_1"), std::string::npos);
  EXPECT_NE(svg->find("quoted"), std::string::npos);
}

}  // namespace
}  // namespace lt2::evals
