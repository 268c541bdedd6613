// The smoke preset from end to end, with the program //tools:train.

#include "evals/curricula/schedule.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "gtest/gtest.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

std::string Temp(const std::string& name) {
  return std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
}

Preset Smoke() {
  auto preset =
      ReadPreset("evals/curricula/presets", "smoke", nlohmann::json::object());
  EXPECT_TRUE(preset.ok()) << preset.status();
  return *std::move(preset);
}

struct Session {
  ScheduleEnd end = ScheduleEnd::kDone;
  std::vector<std::string> lines;
};

Session Train(const Preset& preset, const std::vector<PlannedRun>& runs,
              const std::string& folder, ScheduleOptions options = {}) {
  Session session;
  char directory[4096];
  if (options.train.empty()) {
    options.train =
        absl::StrCat(getcwd(directory, sizeof(directory)), "/tools/train");
  }
  options.runs = Temp(folder);
  mkdir(options.runs.c_str(), 0777);
  const auto tell = options.tell;
  options.tell = [&session, tell](const std::string& line) {
    session.lines.push_back(line);
    if (tell) tell(line);
  };
  if (!options.progress) options.progress = [](const std::string&) {};
  const auto end = RunAll(preset, runs, options);
  EXPECT_TRUE(end.ok()) << end.status();
  if (end.ok()) session.end = *end;
  return session;
}

std::string Joined(const Session& session) {
  std::string text;
  for (const std::string& line : session.lines)
    absl::StrAppend(&text, line, "\n");
  return text;
}

RunOutcome OutcomeOf(const Preset& preset, const PlannedRun& run,
                     const std::string& folder) {
  auto o = ReadOutcome(Temp(folder) + "/" + run.name, preset, run);
  EXPECT_TRUE(o.ok()) << o.status();
  return *std::move(o);
}

std::string Weights(const PlannedRun& run, const std::string& folder) {
  const auto bytes = model::ReadFile(Temp(folder) + "/" + run.name +
                                     "/last/model.safetensors");
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *bytes : "";
}

TEST(Schedule, InterruptedAgainAndAgainReachesTheSameBits) {
  const Preset preset = Smoke();
  const std::vector<PlannedRun> runs(preset.runs.begin(),
                                     preset.runs.begin() + 3);
  ASSERT_EQ(Train(preset, runs, "whole").end, ScheduleEnd::kDone);
  // Each session is stopped as soon as a run has written its log, by Ctrl-C
  // or by the time limit in turn.
  ScheduleEnd end = ScheduleEnd::kInterrupted;
  int sessions = 0;
  for (; end != ScheduleEnd::kDone && sessions < 100; ++sessions) {
    ScheduleOptions options;
    options.jobs = 2;
    options.poll = 0.001;
    std::atomic<int> interrupts{0};
    options.interrupts = &interrupts;
    const auto start = std::chrono::steady_clock::now();
    if (sessions % 2 == 1) {
      options.time_limit = 0.1 + 0.02 * sessions;
    } else {
      options.progress = [&](const std::string&) {
        const double seconds = std::chrono::duration<double>(
                                   std::chrono::steady_clock::now() - start)
                                   .count();
        if (seconds > 0.1 + 0.02 * sessions) interrupts = 1;
      };
    }
    const Session session = Train(preset, runs, "pieces", options);
    end = session.end;
  }
  EXPECT_EQ(end, ScheduleEnd::kDone);
  int64_t all_sessions = 0;
  for (const PlannedRun& run : runs) {
    const RunOutcome whole = OutcomeOf(preset, run, "whole");
    const RunOutcome pieces = OutcomeOf(preset, run, "pieces");
    EXPECT_EQ(whole.status, RunStatus::kDone);
    EXPECT_EQ(pieces.status, RunStatus::kDone);
    EXPECT_EQ(whole.log_digest, pieces.log_digest) << run.name;
    EXPECT_EQ(whole.steps, pieces.steps);
    EXPECT_TRUE(Weights(run, "whole") == Weights(run, "pieces")) << run.name;
    EXPECT_GT(pieces.seconds, 0);
    all_sessions += pieces.sessions;
  }
  EXPECT_GT(all_sessions, 3) << "nothing was interrupted";
  // What is done is not started again.
  EXPECT_TRUE(Train(preset, runs, "whole").lines.empty());
}

TEST(Schedule, AFailedRunIsReportedAndTheOthersGoOn) {
  const Preset preset = Smoke();
  std::vector<PlannedRun> runs(preset.runs.begin(), preset.runs.begin() + 3);
  runs[1].config["train"]["lr"] = "fast";
  const Session first = Train(preset, runs, "failing");
  EXPECT_EQ(first.end, ScheduleEnd::kDone);
  const RunOutcome failed = OutcomeOf(preset, runs[1], "failing");
  EXPECT_EQ(failed.status, RunStatus::kFailed);
  EXPECT_NE(failed.reason.find("train.lr"), std::string::npos) << failed.reason;
  EXPECT_NE(Joined(first).find("train.lr"), std::string::npos);
  EXPECT_EQ(OutcomeOf(preset, runs[0], "failing").status, RunStatus::kDone);
  EXPECT_EQ(OutcomeOf(preset, runs[2], "failing").status, RunStatus::kDone);
  // Only told the second time; tried again on request.
  EXPECT_NE(Joined(Train(preset, runs, "failing")).find("failed before"),
            std::string::npos);
  EXPECT_EQ(OutcomeOf(preset, runs[1], "failing").sessions, 1);
  ScheduleOptions retry;
  retry.retry = true;
  Train(preset, runs, "failing", retry);
  EXPECT_EQ(OutcomeOf(preset, runs[1], "failing").sessions, 2);
}

TEST(Schedule, AProgramThatIsNotThereFails) {
  const Preset preset = Smoke();
  ScheduleOptions options;
  options.train = Temp("no-such-program");
  Train(preset, {preset.runs[0]}, "nothing", options);
  const RunOutcome o = OutcomeOf(preset, preset.runs[0], "nothing");
  EXPECT_EQ(o.status, RunStatus::kFailed);
  EXPECT_EQ(o.reason, "cannot start the program");
}

TEST(Schedule, SlicesLetEveryRunBegin) {
  const Preset preset = Smoke();
  std::vector<PlannedRun> runs(preset.runs.begin(), preset.runs.begin() + 3);
  for (PlannedRun& run : runs) {
    run.config["train"]["steps"] = 1000000;  // for ever
    run.config["train"]["advance_at"] = 1.0;
  }
  ScheduleOptions options;
  options.jobs = 1;
  options.slice = 0.3;
  options.time_limit = 3;
  EXPECT_EQ(Train(preset, runs, "slices", options).end,
            ScheduleEnd::kTimeLimit);
  for (const PlannedRun& run : runs) {
    const RunOutcome o = OutcomeOf(preset, run, "slices");
    EXPECT_EQ(o.status, RunStatus::kPartial) << run.name;
    EXPECT_GE(o.sessions, 1) << run.name;
  }
}

TEST(Estimate, ProjectsWhatIsKnown) {
  Workload work;
  EXPECT_EQ(EstimateSeconds(work), 0);
  work.waiting = 4;
  EXPECT_EQ(EstimateSeconds(work), -1);
  // One at a tenth after 10 s has 90 left; the waiting ones take 100 each.
  work.running = {{10, 50, 500}};
  EXPECT_DOUBLE_EQ(EstimateSeconds(work), 490);
  work.slots = 2;
  EXPECT_DOUBLE_EQ(EstimateSeconds(work), 245);
  // Finished ones are better witnesses for waiting ones.
  work.finished = {20, 40};
  EXPECT_DOUBLE_EQ(EstimateSeconds(work), 105);
  work.waiting = 0;
  EXPECT_DOUBLE_EQ(EstimateSeconds(work), 90);
}

}  // namespace
}  // namespace lt2::evals
