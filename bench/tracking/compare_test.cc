#include "bench/tracking/compare.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::bench {
namespace {

// Benchmark `name` with `rounds` samples around `level`, 0.3 % noise.
Record Measured(const std::string& name, double level, uint64_t stream,
                int rounds = 7) {
  Philox rng(7, stream);
  Record record;
  record.suite = "s";
  record.benchmark = name.substr(0, name.find(':'));
  record.parameters["n"] = name.substr(name.find(':') + 1);
  record.metric = "real_time";
  record.unit = "ns";
  record.machine = {{"cpu", "x"}};
  record.build = {{"compiler", "gcc"}};
  record.commit = "c";
  for (int i = 0; i < rounds; ++i) {
    record.samples.push_back(level * std::exp(0.003 * rng.Normal()));
  }
  return record;
}

Report MustCompare(const std::vector<Record>& base,
                   const std::vector<Record>& head) {
  const auto report = CompareRecords(base, head, {});
  EXPECT_TRUE(report.ok()) << report.status();
  return *report;
}

std::string Labels(const Report& report) {
  std::string labels;
  for (const Row& row : report.rows) {
    labels += row.subject.benchmark + row.subject.parameters.at("n") + "=" +
              row.Label() + " ";
  }
  return labels;
}

TEST(Compare, EqualBuildsPass) {
  const Report report =
      MustCompare({Measured("a:1", 100, 1)}, {Measured("a:1", 100, 2)});
  EXPECT_EQ(Labels(report), "a1=SAME ");
  EXPECT_EQ(report.ExitCode(), 0);
  EXPECT_TRUE(report.families.empty());
}

TEST(Compare, WorstRowsComeFirstAndDecide) {
  const Report report =
      MustCompare({Measured("a:1", 100, 1), Measured("a:2", 100, 2),
                   Measured("b:1", 100, 3), Measured("gone:1", 100, 4)},
                  {Measured("new:1", 1, 5), Measured("b:1", 90, 6),
                   Measured("a:2", 105, 7), Measured("a:1", 110, 8)});
  EXPECT_EQ(Labels(report),
            "a1=SLOWER a2=SLOWER gone1=VANISHED new1=NEW b1=FASTER ");
  EXPECT_EQ(report.ExitCode(), 1);
  ASSERT_EQ(report.families.size(), 2u);
  EXPECT_EQ(report.families[0].name, "s/a");
  EXPECT_EQ(report.families[0].members, 2);
  EXPECT_NEAR(report.families[0].shift.cost.estimate, std::log(1.1 * 1.05) / 2,
              0.004);
  EXPECT_EQ(report.families[0].judgement.verdict, Verdict::kSlower);
  EXPECT_EQ(report.families[1].name, "all");
}

TEST(Compare, DirectionIsThatOfTheMetric) {
  Record base = Measured("a:1", 100, 1), head = Measured("a:1", 110, 2);
  base.higher_is_better = head.higher_is_better = true;
  EXPECT_EQ(MustCompare({base}, {head}).ExitCode(), 0);
  EXPECT_EQ(MustCompare({head}, {base}).ExitCode(), 1);
  base.higher_is_better = false;
  EXPECT_EQ(MustCompare({base}, {head}).ExitCode(), 2);
}

TEST(Compare, WhatCannotBeMeasuredFailsTheRunAsTwo) {
  const Record good = Measured("a:1", 100, 1);
  const auto code = [&](auto change) {
    Record head = Measured("a:1", 100, 2);
    change(head);
    return MustCompare({good}, {head}).ExitCode();
  };
  EXPECT_EQ(code([](Record&) {}), 0);
  EXPECT_EQ(code([](Record& r) { r.samples[2] = std::nan(""); }), 2);
  EXPECT_EQ(code([](Record& r) { r.samples[2] = 0; }), 2);
  EXPECT_EQ(code([](Record& r) { r.samples.clear(); }), 2);
  EXPECT_EQ(code([](Record& r) { r.machine["cpu"] = "y"; }), 2);
  EXPECT_EQ(code([](Record& r) { r.build["compiler"] = "clang"; }), 2);
  EXPECT_EQ(code([](Record& r) { r.benchmark = "renamed"; }), 2);
  EXPECT_EQ(MustCompare({good}, {}).ExitCode(), 2);
  EXPECT_EQ(MustCompare({}, {}).ExitCode(), 2);
  EXPECT_EQ(MustCompare({}, {good}).ExitCode(), 3);
}

TEST(Compare, ElsewhereSaysWhatDiffers) {
  Record head = Measured("a:1", 100, 2);
  head.machine["cpu"] = "y";
  const Report report = MustCompare({Measured("a:1", 100, 1)}, {head});
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_EQ(report.rows[0].reason, "not comparable, machine.cpu: 'x' and 'y'");
}

TEST(Compare, FewRoundsAndRepetitionsAreHints) {
  for (int rounds : {1, 3, 4, 6, 7}) {
    const Report report = MustCompare({Measured("a:1", 100, 1, rounds)},
                                      {Measured("a:1", 120, 2, rounds)});
    EXPECT_EQ(report.ExitCode(), rounds == 7 ? 1 : 3) << rounds;
    EXPECT_EQ(report.rows[0].Label(), rounds < 4   ? "UNCLEAR"
                                      : rounds < 7 ? "slower?"
                                                   : "SLOWER");
  }
  Record base = Measured("a:1", 100, 1), head = Measured("a:1", 120, 2);
  base.sampling = head.sampling = Sampling::kRepetition;
  EXPECT_EQ(MustCompare({base}, {head}).ExitCode(), 3);
}

TEST(Compare, ProcessesOfSeparateLinesAreOneSide) {
  std::vector<Record> base, head;
  for (int i = 0; i < 7; ++i) {
    base.push_back(Measured("a:1", 100, 10 + i, 1));
    head.push_back(Measured("a:1", 103, 20 + i, 1));
  }
  EXPECT_EQ(MustCompare(base, head).ExitCode(), 1);
}

// A history of 40 commits without changes.
std::vector<Record> History() {
  std::vector<Record> history;
  for (int i = 0; i < 40; ++i) {
    for (const char* name : {"a:1", "b:1"}) {
      history.push_back(Measured(name, 100, 100 + history.size()));
      history.back().commit = "c" + std::to_string(i);
    }
  }
  return history;
}

Report MustGate(const std::vector<Record>& head,
                const std::vector<Record>& confirmation) {
  const auto report = Gate(History(), head, confirmation, {});
  EXPECT_TRUE(report.ok()) << report.status();
  return *report;
}

TEST(Gate, PassesTheSameAndFailsWhatTwoRoundsFindSlower) {
  const auto round = [](double level, uint64_t stream) {
    return std::vector<Record>{Measured("a:1", level, stream),
                               Measured("b:1", 100, stream + 1)};
  };
  EXPECT_EQ(MustGate(round(100, 1), {}).ExitCode(), 0);
  EXPECT_EQ(MustGate(round(103, 3), {}).ExitCode(), 3);
  EXPECT_EQ(MustGate(round(103, 3), round(103, 5)).ExitCode(), 1);
  EXPECT_EQ(MustGate(round(103, 3), round(100, 5)).ExitCode(), 3);
  EXPECT_EQ(MustGate(round(97, 3), {}).ExitCode(), 0);
  EXPECT_EQ(MustGate({Measured("a:1", 100, 1)}, {}).ExitCode(), 2);
}

TEST(Gate, HasNoBaselineOnAnotherMachine) {
  Record head = Measured("a:1", 100, 1);
  head.machine["cpu"] = "y";
  const Report report = MustGate({head}, {});
  EXPECT_EQ(Labels(report), "a1=NEW ");
  EXPECT_EQ(report.ExitCode(), 3);
}

TEST(Gate, LearnsHowMuchDaysDiffer) {
  // Levels of days differ by 1 %, rounds of one day by 0.3 %: the rounds' own
  // interval knows nothing of the days, the history's floor does.
  Philox days(9, 0);
  const auto level = [&] { return 100 * std::exp(0.01 * days.Normal()); };
  int alarms = 0, found = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    const uint64_t stream = 1000 * (trial + 1);
    std::vector<Record> history;
    for (int i = 0; i < 40; ++i) {
      history.push_back(Measured("a:1", level(), stream + i));
    }
    const double today = level();
    const auto same =
        Gate(history, {Measured("a:1", today, stream + 50)}, {}, {});
    const auto slower =
        Gate(history, {Measured("a:1", 1.12 * today, stream + 51)}, {}, {});
    ASSERT_TRUE(same.ok() && slower.ok());
    alarms += same->rows[0].Is(Verdict::kSlower);
    found += slower->rows[0].Is(Verdict::kSlower);
  }
  EXPECT_LE(alarms, kTrials / 100);
  EXPECT_GE(found, kTrials * 95 / 100);
}

TEST(Gate, TakesItsFloorFromTheHistory) {
  const Report report =
      MustGate({Measured("a:1", 100, 1), Measured("b:1", 100, 2)}, {});
  for (const Row& row : report.rows) EXPECT_EQ(row.floor, 0.01);
  // A young history has 3 %.
  const auto young =
      Gate({Measured("a:1", 100, 3)}, {Measured("a:1", 102, 1)}, {}, {});
  ASSERT_TRUE(young.ok());
  EXPECT_EQ(young->rows[0].floor, 0.03);
  EXPECT_EQ(young->ExitCode(), 0);
}

}  // namespace
}  // namespace lt2::bench
