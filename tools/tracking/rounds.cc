#include "tools/tracking/rounds.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_format.h"

namespace lt2::tools {
namespace {

using bench::Record;
using bench::Report;
using bench::Row;
using bench::Verdict;

class Measurement {
 public:
  Measurement(Bench& bench, const RoundsOptions& options)
      : bench_(bench), options_(options), start_(bench.Seconds()) {
    options_.compare.paired = true;
  }

  absl::StatusOr<Measured> Run() {
    if (options_.rounds < 1 || options_.max_rounds < options_.rounds ||
        options_.max_rounds > bench::kMostSamples) {
      return InvalidArgument(
          "expected 1 <= rounds <= max_rounds <= ", bench::kMostSamples,
          ", got ", options_.rounds, " and ", options_.max_rounds);
    }
    std::vector<Selection> open;
    for (int i = 0; i < bench_.programs(); ++i) open.push_back({i, {}});
    result_.ended = "clear";
    LT2_RETURN_IF_ERROR(Rounds("round", open, options_.rounds,
                               options_.time_limit, &result_.base,
                               &result_.head));
    int done = options_.rounds;
    LT2_RETURN_IF_ERROR(Judge());
    while (result_.ended == "clear") {
      open = Select(result_.report,
                    [](const Row& row) { return row.Is(Verdict::kUnclear); });
      if (open.empty()) break;
      if (done == options_.max_rounds) {
        result_.ended = "max_rounds";
        break;
      }
      const int more = std::min(done, options_.max_rounds - done);
      LT2_RETURN_IF_ERROR(Rounds("round", open, more, options_.time_limit / 2,
                                 &result_.base, &result_.head, done));
      done += more;
      LT2_RETURN_IF_ERROR(Judge());
    }
    if (options_.confirm) LT2_RETURN_IF_ERROR(Confirm());
    result_.seconds = Elapsed();
    return std::move(result_);
  }

 private:
  double Elapsed() { return bench_.Seconds() - start_; }

  absl::Status Judge() {
    LT2_ASSIGN_OR_RETURN(
        result_.report,
        CompareRecords(result_.base, result_.head, options_.compare));
    result_.report.needs_confirmation = options_.confirm;
    return absl::OkStatus();
  }

  // The programs of the rows that `wanted` accepts, with these rows only.
  template <typename Wanted>
  std::vector<Selection> Select(const Report& report, const Wanted& wanted) {
    std::map<int, std::vector<std::string>> subjects;
    for (const Row& row : report.rows) {
      if (!wanted(row)) continue;
      const std::string subject = row.subject.Subject();
      subjects[program_of_[subject]].push_back(subject);
    }
    std::vector<Selection> selections;
    for (auto& [program, names] : subjects) {
      selections.push_back({program, std::move(names)});
    }
    return selections;
  }

  // `count` more rounds; both sides of a round are kept, or none. The programs
  // take turns in going first. Sets `ended` if it stops early.
  absl::Status Rounds(const char* what, const std::vector<Selection>& open,
                      int count, double limit, std::vector<Record>* base,
                      std::vector<Record>* head, int first = 0) {
    for (int round = 0; round < count; ++round) {
      for (size_t i = 0; i < open.size(); ++i) {
        const Selection& selection = open[(i + round) % open.size()];
        const double now = Elapsed();
        const auto known = seconds_.find(selection.program);
        const double pair = known == seconds_.end() ? 0 : 2 * known->second;
        if (bench_.Interrupted()) {
          result_.ended = "interrupted";
          return absl::OkStatus();
        }
        if (now + pair > limit) {
          result_.ended = "time_limit";
          return absl::OkStatus();
        }
        std::vector<Record> records[2];
        for (int turn = 0; turn < 2; ++turn) {
          const int side = (first + round) % 2 == 0 ? turn : 1 - turn;
          auto run = bench_.Run(side, selection);
          if (absl::IsCancelled(run.status())) {
            result_.ended = "interrupted";
            return absl::OkStatus();
          }
          LT2_RETURN_IF_ERROR(run.status());
          records[side] = *std::move(run);
          ++result_.processes;
        }
        seconds_[selection.program] = (Elapsed() - now) / 2;
        for (int side = 0; side < 2; ++side) {
          std::vector<Record>* all = side == 0 ? base : head;
          for (Record& record : records[side]) {
            program_of_[record.Subject()] = selection.program;
            all->push_back(std::move(record));
          }
        }
        Tell(what, first + round + 1, first + count, open, round, i + 1);
      }
      if (base == &result_.base) {
        result_.rounds = std::max(result_.rounds, first + round + 1);
      }
    }
    return absl::OkStatus();
  }

  void Tell(const char* what, int round, int rounds,
            const std::vector<Selection>& open, int past, size_t done) {
    if (!options_.progress) return;
    double left = 0;
    for (size_t i = 0; i < open.size(); ++i) {
      const int program = open[i].program;
      const auto known = seconds_.find(program);
      // What has not run yet takes what the last one took.
      const double each =
          known != seconds_.end() ? known->second : seconds_.begin()->second;
      left += 2 * each * (rounds - round);
    }
    for (size_t i = done; i < open.size(); ++i) {
      const int program = open[(i + past) % open.size()].program;
      if (seconds_.count(program) != 0) left += 2 * seconds_[program];
    }
    options_.progress(absl::StrFormat(
        "%s %d of %d, %d processes in %s, about %s to the next verdict", what,
        round, rounds, result_.processes, Clock(Elapsed()), Clock(left)));
  }

  // Measures what is SLOWER again, with as many rounds, and compares that
  // alone; what is UNCLEAR then gets more rounds, as the first time.
  absl::Status Confirm() {
    const auto slower = [](const Row& row) {
      return row.Is(Verdict::kSlower) && !row.judgement.hint;
    };
    std::vector<Selection> open = Select(result_.report, slower);
    if (result_.ended == "interrupted") return absl::OkStatus();
    int rounds = options_.rounds, done = 0;
    for (const Row& row : result_.report.rows) {
      if (slower(row)) rounds = std::max(rounds, row.shift.rounds);
    }
    std::set<std::string> again;
    while (!open.empty() && rounds > done) {
      const std::string ended = result_.ended;
      result_.ended = "";
      LT2_RETURN_IF_ERROR(Rounds("confirmation", open, rounds - done,
                                 options_.time_limit, &result_.base_again,
                                 &result_.head_again, done));
      const bool stopped = !result_.ended.empty();
      if (!stopped) result_.ended = ended;
      LT2_ASSIGN_OR_RETURN(
          const Report second,
          CompareRecords(result_.base_again, result_.head_again,
                         options_.compare));
      again.clear();
      for (const Row& row : second.rows) {
        if (slower(row)) again.insert(row.subject.Key());
      }
      if (stopped) break;
      open = Select(second,
                    [](const Row& row) { return row.Is(Verdict::kUnclear); });
      done = rounds;
      rounds = std::min(2 * rounds, options_.max_rounds);
    }
    for (Row& row : result_.report.rows) {
      row.confirmed = slower(row) && again.count(row.subject.Key()) != 0;
    }
    return absl::OkStatus();
  }

  Bench& bench_;
  RoundsOptions options_;
  const double start_;
  Measured result_;
  std::map<int, double> seconds_;  // of a program's last process
  std::map<std::string, int> program_of_;
};

}  // namespace

absl::StatusOr<Measured> MeasureInRounds(Bench& bench,
                                         const RoundsOptions& options) {
  return Measurement(bench, options).Run();
}

std::string Clock(double seconds) {
  const int64_t whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  return whole >= 3600 ? absl::StrFormat("%d:%02d:%02d", whole / 3600,
                                         whole / 60 % 60, whole % 60)
                       : absl::StrFormat("%d:%02d", whole / 60, whole % 60);
}

}  // namespace lt2::tools
