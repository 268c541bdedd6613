#include "tools/tracking/rounds.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"

namespace lt2::tools {
namespace {

using bench::Record;
using bench::Verdict;

// Two programs of two benchmarks each, a process a second.
class FakeBench : public Bench {
 public:
  explicit FakeBench(double slowdown, double noise = 0.003)
      : slowdown_(slowdown), noise_(noise), rng_(1, 2) {}
  int programs() const override { return 2; }
  absl::StatusOr<std::vector<Record>> Run(int side,
                                          const Selection& s) override {
    if (calls_.size() == fails_at) return absl::InternalError("broken");
    seconds_ += 1;
    calls_.push_back({side, s.program});
    subjects_ += s.subjects.size();
    std::vector<Record> records;
    for (int i = 0; i < 2; ++i) {
      Record r;
      r.suite = s.program == 0 ? "p" : "q";
      r.benchmark = i == 0 ? "a" : "b";
      r.metric = "real_time";
      r.unit = "ns";
      r.commit = side == 0 ? "base" : "head";
      const bool slow =
          side == 1 && s.program == 0 && i == 0 && calls_.size() <= slow_until;
      r.samples = {(slow ? 1 + slowdown_ : 1) *
                   std::exp((i == 0 ? noise_ : unsteady) * rng_.Normal())};
      const bool wanted =
          s.subjects.empty() || std::find(s.subjects.begin(), s.subjects.end(),
                                          r.Subject()) != s.subjects.end();
      if (wanted) records.push_back(r);
    }
    return records;
  }
  double Seconds() override { return seconds_; }
  bool Interrupted() override { return calls_.size() >= interrupt_at; }

  double unsteady = 0.003;  // noise of benchmark b
  size_t interrupt_at = 1000000, fails_at = 1000000, slow_until = 1000000;
  std::vector<std::pair<int, int>> calls_;  // side, program
  size_t subjects_ = 0;

 private:
  double slowdown_, noise_;
  Philox rng_;
  double seconds_ = 1000;
};

RoundsOptions Options() { return {}; }

Measured Measure(FakeBench& bench, const RoundsOptions& options = Options()) {
  auto measured = MeasureInRounds(bench, options);
  EXPECT_TRUE(measured.ok()) << measured.status();
  return *std::move(measured);
}

TEST(Rounds, SidesTakeTurnsInGoingFirst) {
  FakeBench bench(0, 0.0001);
  bench.unsteady = 0.0001;
  RoundsOptions options;
  options.rounds = 8;
  const Measured measured = Measure(bench, options);
  ASSERT_EQ(bench.calls_.size(), 32u);
  EXPECT_EQ(measured.processes, 32);
  EXPECT_EQ(measured.rounds, 8);
  EXPECT_EQ(measured.ended, "clear");
  for (size_t i = 0; i < bench.calls_.size(); i += 2) {
    const bool base_first = i / 4 % 2 == 0;
    EXPECT_EQ(bench.calls_[i].first, base_first ? 0 : 1);
    EXPECT_EQ(bench.calls_[i + 1].first, base_first ? 1 : 0);
    EXPECT_EQ(bench.calls_[i].second, bench.calls_[i + 1].second);
  }
}

TEST(Rounds, TheSameBuildIsTheSame) {
  FakeBench bench(0);
  const Measured measured = Measure(bench);
  EXPECT_EQ(measured.report.ExitCode(), 0);
  EXPECT_EQ(measured.ended, "clear");
}

TEST(Rounds, ASlowerBenchmarkIsConfirmedBySecondRounds) {
  FakeBench bench(0.05);
  const Measured measured = Measure(bench);
  EXPECT_EQ(measured.report.ExitCode(), 1);
  ASSERT_TRUE(measured.report.rows[0].Is(Verdict::kSlower));
  EXPECT_TRUE(measured.report.rows[0].confirmed);
  EXPECT_EQ(measured.report.rows[0].subject.Name(), "p/a [real_time]");
  EXPECT_EQ(measured.head_again.size(), 7u);  // of that benchmark alone
}

TEST(Rounds, WhatTheSecondRoundDoesNotFindIsNotConfirmed) {
  FakeBench bench(0.05);
  bench.slow_until = 28;  // the first seven rounds
  const Measured measured = Measure(bench);
  ASSERT_TRUE(measured.report.rows[0].Is(Verdict::kSlower));
  EXPECT_FALSE(measured.report.rows[0].confirmed);
  EXPECT_EQ(measured.report.ExitCode(), 3);
}

TEST(Rounds, OnlyUnclearBenchmarksGetMoreRounds) {
  FakeBench bench(0, 0.001);
  bench.unsteady = 0.03;
  const Measured measured = Measure(bench);
  EXPECT_EQ(measured.ended, "max_rounds");
  EXPECT_EQ(measured.rounds, 28);
  for (const bench::Row& row : measured.report.rows) {
    EXPECT_EQ(row.shift.rounds, row.subject.benchmark == "a" ? 7 : 28);
  }
}

TEST(Rounds, TimeIsKept) {
  FakeBench bench(0, 0.03);
  bench.unsteady = 0.03;
  RoundsOptions options;
  options.time_limit = 60;  // a round of both programs takes four seconds
  const Measured measured = Measure(bench, options);
  EXPECT_EQ(measured.ended, "time_limit");
  EXPECT_EQ(measured.processes, 30);  // half is kept for the confirmation
  options.time_limit = 10;
  FakeBench again(0, 0.03);
  EXPECT_EQ(Measure(again, options).processes, 10);
}

TEST(Rounds, AnInterruptLeavesWholeRoundsSoFar) {
  FakeBench bench(0.05);
  bench.interrupt_at = 19;  // within a pair: it is finished
  const Measured measured = Measure(bench);
  EXPECT_EQ(measured.ended, "interrupted");
  EXPECT_EQ(measured.processes, 20);
  ASSERT_FALSE(measured.report.rows.empty());
  EXPECT_TRUE(measured.report.rows[0].judgement.hint);
  EXPECT_EQ(measured.report.ExitCode(), 3);
  FakeBench none(0.05);
  none.interrupt_at = 0;
  EXPECT_EQ(Measure(none).report.ExitCode(), 2);
}

TEST(Rounds, AProgramThatFailsIsAnError) {
  FakeBench bench(0);
  bench.fails_at = 5;
  EXPECT_EQ(MeasureInRounds(bench, Options()).status().message(), "broken");
  RoundsOptions wrong;
  wrong.max_rounds = 65;
  EXPECT_FALSE(MeasureInRounds(bench, wrong).ok());
}

TEST(Rounds, ProgressEstimatesWhatIsLeft) {
  FakeBench bench(0);
  std::vector<std::string> lines;
  RoundsOptions options;
  options.progress = [&](const std::string& line) { lines.push_back(line); };
  Measure(bench, options);
  ASSERT_GE(lines.size(), 14u);
  EXPECT_EQ(lines[1],
            "round 1 of 7, 4 processes in 0:04, about 0:24 to the next "
            "verdict");
  EXPECT_EQ(Clock(3723), "1:02:03");
  EXPECT_EQ(Clock(59.6), "1:00");
}

}  // namespace
}  // namespace lt2::tools
