#include "tools/tracking/quality.h"

#include "gtest/gtest.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/track.h"

namespace lt2::tools {
namespace {

using nlohmann::json;
using Class = QualityRow::Class;

// A leaderboard's results: example i is right if i % 10 < tenths.
json Scores(int tenths, int examples, const std::string& model = "gdn") {
  json items = json::array();
  for (int i = 0; i < examples; ++i) {
    items.push_back({i, 1, i % 10 < tenths ? 1 : 0, 0.5});
  }
  return {{"schema_version", 1},
          {"rows",
           {{{"model", model},
             {"task", "mqar"},
             {"task_version", 1},
             {"data_digest", "d"},
             {"loops", 1},
             {"metric", "accuracy"},
             {"item_fields", {"index", "scored", "correct", "nll"}},
             {"items", items}}}}};
}

json Curriculum(int successes, int seeds, const std::string& log) {
  json runs = json::array();
  for (int i = 0; i < seeds; ++i) {
    runs.push_back({{"name", "gdn-s" + std::to_string(i)},
                    {"row", "gdn"},
                    {"write_strength", "(0,1)"},
                    {"column", 4},
                    {"seed", i},
                    {"config_digest", "c"},
                    {"status", "done"},
                    {"highest_stage", i < successes ? 5 : 1},
                    {"log_digest", log + std::to_string(i)}});
  }
  return {{"schema_version", 1},
          {"preset", "p"},
          {"measure", "stage"},
          {"success", 5},
          {"columns", {{"name", "T"}, {"values", {4}}}},
          {"runs", runs}};
}

QualityReport Compared(const json& base, const json& head) {
  const auto report = CompareQuality(base, head, {"base", "head"}, {});
  EXPECT_TRUE(report.ok()) << report.status();
  return *report;
}

TEST(Quality, KindsAreRecognised) {
  EXPECT_EQ(KindOf(Scores(5, 10)), QualityKind::kScores);
  EXPECT_EQ(KindOf(Curriculum(1, 2, "")), QualityKind::kSuccesses);
  EXPECT_EQ(KindOf(json::array()), QualityKind::kNone);
  EXPECT_EQ(KindOf({{"context", 1}, {"benchmarks", 2}}), QualityKind::kNone);
  EXPECT_FALSE(
      CompareQuality(Scores(5, 10), Curriculum(1, 2, ""), {"a", "b"}, {}).ok());
}

TEST(Quality, ExitCodesOfScores) {
  EXPECT_EQ(Compared(Scores(8, 400), Scores(8, 400)).ExitCode(), 0);
  const QualityReport worse = Compared(Scores(8, 400), Scores(5, 400));
  EXPECT_EQ(worse.ExitCode(), 1);
  EXPECT_EQ(worse.rows[0].type, Class::kWorse);
  EXPECT_EQ(worse.rows[0].base, "80.00 %");
  EXPECT_NEAR(worse.rows[0].cost, 0.3, 1e-12);
  EXPECT_LT(worse.rows[0].cost_low, worse.rows[0].cost_high);
  EXPECT_EQ(Compared(Scores(5, 400), Scores(8, 400)).ExitCode(), 0);
  EXPECT_EQ(Compared(Scores(8, 10), Scores(7, 10)).ExitCode(), 3);
  // One row vanished and one is new.
  EXPECT_EQ(Compared(Scores(8, 10), Scores(8, 10, "kda")).ExitCode(), 2);
  json more = Scores(8, 10);
  more["rows"].push_back(Scores(8, 10, "kda")["rows"][0]);
  const QualityReport with_new = Compared(Scores(8, 10), more);
  EXPECT_EQ(with_new.ExitCode(), 3);
  EXPECT_EQ(with_new.rows[0].label, "NEW");
}

TEST(Quality, ExitCodesOfSuccesses) {
  const json five = Curriculum(5, 5, "a");
  EXPECT_EQ(Compared(five, five).ExitCode(), 0);
  EXPECT_EQ(Compared(five, Curriculum(0, 5, "b")).ExitCode(), 1);
  const QualityReport unclear = Compared(five, Curriculum(5, 5, "b"));
  EXPECT_EQ(unclear.ExitCode(), 3);
  EXPECT_EQ(unclear.rows[0].detectable, "at most 1/5");
}

TEST(Quality, FormsSayTheSame) {
  const QualityReport report = Compared(Scores(8, 400), Scores(5, 400));
  const auto out = QualityJson(report);
  EXPECT_EQ(out["schema_version"], 1);
  EXPECT_EQ(out["kind"], "scores");
  EXPECT_EQ(out["exit_code"], 1);
  EXPECT_EQ(out["rows"][0]["label"], "WORSE");
  EXPECT_NEAR(out["rows"][0]["difference"].get<double>(), -0.3, 1e-12);
  EXPECT_NE(QualityText(report, false).find("WORSE"), std::string::npos);
  const std::string xml = QualityJUnit(report);
  EXPECT_NE(xml.find("failures=\"1\""), std::string::npos) << xml;
  EXPECT_NE(xml.find("<failure message=\"WORSE 80.00 % -&gt; 50.00 %"),
            std::string::npos)
      << xml;
  const Page page = QualityPage(report, {"base", "head"});
  EXPECT_EQ(page.tone, Tone::kBad);
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_NE(PageHtml(page).find("1 of 1 rows worse."), std::string::npos);
  EXPECT_TRUE(
      QualityPage(Compared(Scores(8, 9), Scores(8, 9)), {"", ""}).rows.empty());
}

TEST(Quality, CompareAndGateTakeTheFiles) {
  const std::string base = testing::TempDir() + "/base_results.json";
  const std::string head = testing::TempDir() + "/head_results.json";
  LT2_CHECK_OK(model::WriteFileAtomically(base, Scores(8, 400).dump()));
  LT2_CHECK_OK(model::WriteFileAtomically(head, Scores(5, 400).dump()));
  std::string out;
  EXPECT_EQ(*Track({"compare", base, head}, {}, &out), 1) << out;
  EXPECT_EQ(*Track({"compare", base, base}, {}, &out), 0) << out;
  TrackOptions options;
  options.baseline = base;
  options.html = testing::TempDir() + "/quality.html";
  EXPECT_EQ(*Track({"gate", head}, options, &out), 1) << out;
  EXPECT_TRUE(model::ReadFile(options.html).ok());
  options.quality.accuracy_floor = 0.5;
  EXPECT_EQ(*Track({"gate", head}, options, &out), 0) << out;
  options.baseline = "/nonexistent";
  EXPECT_FALSE(Track({"gate", head}, options, &out).ok());
}

}  // namespace
}  // namespace lt2::tools
