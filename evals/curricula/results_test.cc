#include "evals/curricula/results.h"

#include <cmath>
#include <cstdlib>

#include "evals/curricula/report.h"
#include "gtest/gtest.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

RunOutcome Outcome(const std::string& row, const std::string& strength,
                   int64_t column, int64_t seed, RunStatus status,
                   int64_t stage) {
  RunOutcome o;
  o.name = absl::StrCat(row, strength == "(0,2)" ? "-neg" : "", "-T", column,
                        "-s", seed);
  o.row = row;
  o.write_strength = strength;
  o.column = column;
  o.seed = seed;
  o.config_digest = absl::StrCat("config of ", o.name);
  o.status = status;
  o.highest_stage = stage;
  o.n_max = stage == 0 ? 0 : 4 << stage;
  o.steps = 100 * stage;
  o.accuracy = 0.75;
  o.log_digest = "0123456789abcdef";
  o.machine = "m";
  return o;
}

Results Made(std::vector<RunOutcome> runs) {
  Results r;
  r.preset = "p";
  r.title = "title";
  r.success = 5;
  r.column_name = "T";
  r.columns = {1, 4};
  r.runs = std::move(runs);
  return r;
}

constexpr RunStatus kDone = RunStatus::kDone, kPartial = RunStatus::kPartial,
                    kFailed = RunStatus::kFailed,
                    kPending = RunStatus::kPending;

Results Example() {
  return Made({Outcome("full", "-", 1, 1, kDone, 2),
               Outcome("full", "-", 1, 2, kDone, 4),
               Outcome("full", "-", 4, 1, kPending, 0),
               Outcome("gdn", "(0,1)", 4, 1, kDone, 3),
               Outcome("gdn", "(0,1)", 4, 2, kDone, 4),
               Outcome("gdn", "(0,1)", 4, 3, kDone, 4),
               Outcome("gdn", "(0,2)", 4, 1, kDone, 6),
               Outcome("gdn", "(0,2)", 4, 2, kPartial, 5),
               Outcome("gdn", "(0,2)", 4, 3, kPartial, 1),
               Outcome("gdn", "(0,2)", 1, 1, kFailed, 3)});
}

TEST(Report, CellsAreMediansWithRangeSeedsAndMarks) {
  const std::string text = MainTable(Example()).ToText();
  for (const char* cell : {"3 [2..4] n=2", "4 [3..4] n=3",
                           "5 [1..6] n=3 (2 partial)", "- (1 failed)"}) {
    EXPECT_NE(text.find(cell), std::string::npos) << cell << " in\n" << text;
  }
}

TEST(Report, SuccessesLeaveUndecidedRunsOut) {
  // (0,1): 0 of 3. (0,2): the done one and the partial one at stage 5 have
  // succeeded, the partial one at stage 1 may still. Fisher: C(2,2)/C(5,2).
  const std::string text = SuccessTable(Example(), 5).ToText();
  EXPECT_NE(text.find("0/3"), std::string::npos) << text;
  EXPECT_NE(text.find("2/2"), std::string::npos) << text;
  EXPECT_NE(text.find("0.1000  0.1000"), std::string::npos) << text;
  EXPECT_EQ(SuccessTable(Example(), 5).rows(), 1);
  EXPECT_EQ(SuccessTable(Example(), 0).rows(), 0);
}

TEST(Report, AccuracyIsTheMeanOfTests) {
  Results r = Made({Outcome("gdn", "-", 1, 1, kDone, 0)});
  r.measure = Measure::kAccuracy;
  EXPECT_DOUBLE_EQ(ValueOf(r.runs[0], r.measure), 0.75);
  r.runs[0].tests = {{{}, 1.0}, {{}, 0.25}};
  r.runs[0].axis = "d=64";
  EXPECT_DOUBLE_EQ(ValueOf(r.runs[0], r.measure), 0.625);
  const std::string text = MainTable(r).ToText();
  EXPECT_NE(text.find("62.5% n=1"), std::string::npos) << text;
  EXPECT_NE(text.find("d=64"), std::string::npos) << text;
}

TEST(Report, SaysHowManyRunsAreMissing) {
  const std::string text = Report(Example(), 0, /*markdown=*/false);
  EXPECT_NE(text.find("10 runs: 6 done, 2 partial, 1 failed, 1 pending."),
            std::string::npos)
      << text;
  EXPECT_NE(Report(Example(), 0, true).find("## Runs"), std::string::npos);
}

TEST(Results, JsonIsReadBack) {
  Results r = Example();
  r.build = "b";
  r.command = "c";
  r.runs[3].stages = {{0, 0.95, 0.95, 100, true}, {1, 0.5, 0.6, 30, false}};
  r.runs[3].tests = {{{{"task", "parity"}}, 0.5}};
  r.runs[4].accuracy = std::nan("");
  const nlohmann::json json = ResultsJson(r);
  EXPECT_EQ(json["schema_version"], 1);
  const auto again = ParseResultsJson(json, "r.json");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ResultsJson(*again), json);
  nlohmann::json bad = json;
  bad["runs"][1]["stepps"] = 3;
  EXPECT_NE(ParseResultsJson(bad, "r.json")
                .status()
                .message()
                .find("r.json.runs.1.stepps"),
            std::string::npos)
      << ParseResultsJson(bad, "r.json").status();
  bad = json;
  bad["schema_version"] = 2;
  EXPECT_FALSE(ParseResultsJson(bad, "r.json").ok());
}

TEST(Merge, KeepsWhatTellsMore) {
  const Results a = Made({Outcome("gdn", "-", 1, 1, kPartial, 2),
                          Outcome("gdn", "-", 1, 2, kDone, 3),
                          Outcome("gdn", "-", 1, 3, kPending, 0)});
  const Results b = Made({Outcome("gdn", "-", 1, 1, kPartial, 4),
                          Outcome("gdn", "-", 1, 2, kPartial, 6),
                          Outcome("gdn", "-", 1, 3, kFailed, 1),
                          Outcome("gdn", "-", 1, 4, kDone, 5)});
  std::vector<std::string> warnings;
  const auto merged = Merge(a, b, &warnings);
  ASSERT_TRUE(merged.ok()) << merged.status();
  ASSERT_EQ(merged->runs.size(), 4u);
  EXPECT_EQ(merged->runs[0].highest_stage, 4);
  EXPECT_EQ(merged->runs[1].status, kDone);
  EXPECT_EQ(merged->runs[1].highest_stage, 3);
  EXPECT_EQ(merged->runs[2].status, kFailed);
  EXPECT_EQ(merged->runs[3].highest_stage, 5);
  EXPECT_TRUE(warnings.empty());
}

TEST(Merge, RefusesWhatDiffersAndWarnsOfDifferentLogs) {
  Results a = Made({Outcome("gdn", "-", 1, 1, kDone, 2)});
  Results b = a;
  std::vector<std::string> warnings;
  b.runs[0].log_digest = "other";
  ASSERT_TRUE(Merge(a, b, &warnings).ok());
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("gdn-T1-s1"), std::string::npos);
  b.runs[0].config_digest = "other";
  EXPECT_NE(Merge(a, b, &warnings).status().message().find("gdn-T1-s1"),
            std::string::npos);
  b = a;
  b.preset = "q";
  EXPECT_FALSE(Merge(a, b, &warnings).ok());
}

TEST(RunFolder, ReadsALogThatWasCutShort) {
  const std::string folder = std::string(std::getenv("TEST_TMPDIR")) + "/run";
  Preset preset;
  preset.stage_numbers = {0, 1, 2};
  preset.stage_sizes = {8, 16};
  PlannedRun run;
  run.name = "run";
  run.config = {{"seed", 1}};
  ASSERT_TRUE(PrepareFolder(folder, run).ok());
  auto o = ReadOutcome(folder, preset, run);
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->status, kPending);
  const std::string log =
      "{\"step\":50,\"loss\":1,\"tokens_per_second\":SPEED}\n"
      "{\"step\":50,\"stage\":1,\"valid_loss\":1,\"accuracy\":0.9}\n"
      "{\"step\":50,\"solved\":1,\"stage_steps\":50}\n"
      "{\"step\":80,\"stage\":2,\"valid_loss\":1,\"accuracy\":0.95}\n"
      "{\"step\":80,\"solved\":2,\"stage_steps\":30}\n"
      "{\"step\":90,\"stage\":3,\"valid_loss\":1,\"accuracy\":0.7}\n"
      "{\"step\":95,\"stage\":3,\"valid_loss\":1,\"accuracy\":0.6}\n";
  const auto write = [&](std::string text, const std::string& speed) {
    const size_t at = text.find("SPEED");
    if (at != std::string::npos) text.replace(at, 5, speed);
    ASSERT_TRUE(model::WriteFileAtomically(folder + "/log.jsonl", text).ok());
  };
  write(log + "{\"step\":1", "7");
  o = ReadOutcome(folder, preset, run);
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->status, kPartial);
  EXPECT_EQ(o->highest_stage, 1);
  EXPECT_EQ(o->n_max, 8);
  EXPECT_EQ(o->steps, 95);
  ASSERT_EQ(o->stages.size(), 3u);
  EXPECT_EQ(o->stages[0].number, 0);
  EXPECT_EQ(o->stages[1].steps, 30);
  EXPECT_EQ(o->stages[2].steps, 15);
  EXPECT_EQ(o->stages[2].best, 0.7);
  EXPECT_EQ(o->stages[2].accuracy, 0.6);
  EXPECT_EQ(StepsSoFar(folder), 95);
  // The digest does not depend on the clock.
  const std::string digest = o->log_digest;
  write(log, "9");
  EXPECT_EQ(ReadOutcome(folder, preset, run)->log_digest, digest);
  write(log + "{\"step\":96}\n", "9");
  EXPECT_NE(ReadOutcome(folder, preset, run)->log_digest, digest);
  // Damage is an error that names the line.
  write("{\"step\":1}\nnonsense\n", "");
  EXPECT_NE(ReadOutcome(folder, preset, run).status().message().find("line 2"),
            std::string::npos);
  // Another configuration does not get mixed in.
  run.config["seed"] = 2;
  EXPECT_NE(PrepareFolder(folder, run).message().find("/seed"),
            std::string::npos);
}

}  // namespace
}  // namespace lt2::evals
