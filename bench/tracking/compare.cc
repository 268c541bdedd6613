#include "bench/tracking/compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lt2::bench {
namespace {

std::string FamilyName(const Record& record) {
  return record.suite.empty()
             ? record.benchmark
             : absl::StrCat(record.suite, "/", record.benchmark);
}

Record WithoutSamples(Record record) {
  record.samples.clear();
  return record;
}

Row Unjudged(Outcome outcome, const Record& subject,
             const std::string& reason) {
  Row row;
  row.outcome = outcome;
  row.subject = WithoutSamples(subject);
  row.reason = reason;
  return row;
}

// The pairs of a run, judged at the end.
class Run {
 public:
  explicit Run(const VerdictOptions& options) : options_(options) {}

  void Add(Row row) { report_.rows.push_back(std::move(row)); }

  void AddPair(const Record& base, const Record& head, double floor,
               bool paired) {
    if (base.unit != head.unit ||
        base.higher_is_better != head.higher_is_better) {
      return Add(Unjudged(Outcome::kElsewhere, head,
                          absl::StrCat("unit or direction differs: ", base.unit,
                                       " and ", head.unit)));
    }
    Sides sides{base.samples, head.samples, paired, head.higher_is_better,
                floor};
    const absl::StatusOr<Shift> shift = MeasureShift(sides, options_);
    if (!shift.ok()) {
      return Add(Unjudged(Outcome::kInvalid, head,
                          std::string(shift.status().message())));
    }
    Row row;
    row.outcome = Outcome::kJudged;
    row.subject = WithoutSamples(head);
    row.shift = *shift;
    if (base.sampling == Sampling::kRepetition ||
        head.sampling == Sampling::kRepetition) {
      // Repetitions of one process are no independent rounds.
      row.shift.rounds =
          std::min(row.shift.rounds, options_.rounds_to_gate - 1);
    }
    row.base = Median(base.samples);
    row.head = Median(head.samples);
    row.floor = floor;
    members_[FamilyName(head)].push_back(sides);
    everything_.push_back(std::move(sides));
    Add(std::move(row));
  }

  absl::StatusOr<Report> Finish() {
    std::vector<Shift> shifts;
    std::vector<size_t> places;
    for (size_t i = 0; i < report_.rows.size(); ++i) {
      if (report_.rows[i].outcome != Outcome::kJudged) continue;
      shifts.push_back(report_.rows[i].shift);
      places.push_back(i);
    }
    LT2_ASSIGN_OR_RETURN(const std::vector<Judgement> judgements,
                         Judge(shifts, options_));
    for (size_t i = 0; i < places.size(); ++i) {
      report_.rows[places[i]].judgement = judgements[i];
    }
    for (const auto& [name, members] : members_) {
      if (members.size() < 2) continue;
      LT2_RETURN_IF_ERROR(AddFamily(name, members));
    }
    if (members_.size() > 1) {
      LT2_RETURN_IF_ERROR(AddFamily("all", everything_));
    }
    std::stable_sort(report_.rows.begin(), report_.rows.end(), Worse);
    return std::move(report_);
  }

 private:
  static int Rank(const Row& row) {
    if (row.Is(Verdict::kSlower)) return 0;
    if (row.outcome == Outcome::kJudged) {
      return row.Is(Verdict::kUnclear) ? 5 : row.Is(Verdict::kFaster) ? 7 : 8;
    }
    return row.outcome == Outcome::kNew ? 6 : static_cast<int>(row.outcome);
  }
  static bool Worse(const Row& a, const Row& b) {
    if (Rank(a) != Rank(b)) return Rank(a) < Rank(b);
    return a.shift.cost.estimate > b.shift.cost.estimate;
  }

  absl::Status AddFamily(const std::string& name,
                         const std::vector<Sides>& members) {
    Family family;
    family.name = name;
    family.members = static_cast<int>(members.size());
    LT2_ASSIGN_OR_RETURN(const Sides mean, GeometricMean(members));
    LT2_ASSIGN_OR_RETURN(family.shift, MeasureShift(mean, options_));
    LT2_ASSIGN_OR_RETURN(const std::vector<Judgement> judgement,
                         Judge({family.shift}, options_));
    family.judgement = judgement[0];
    report_.families.push_back(std::move(family));
    return absl::OkStatus();
  }

  VerdictOptions options_;
  Report report_;
  std::map<std::string, std::vector<Sides>> members_;
  std::vector<Sides> everything_;
};

// What differs between two places, for people.
std::string Difference(const Record& base, const Record& head) {
  const auto first = [](const char* what, const auto& a, const auto& b) {
    for (const auto& [key, value] : a) {
      const auto found = b.find(key);
      if (found == b.end() || found->second != value) {
        return absl::StrCat(
            what, ".", key, ": '", value, "' and ",
            found == b.end() ? "none" : absl::StrCat("'", found->second, "'"));
      }
    }
    return std::string();
  };
  for (const std::string& text : {first("machine", base.machine, head.machine),
                                  first("machine", head.machine, base.machine),
                                  first("build", base.build, head.build),
                                  first("build", head.build, base.build)}) {
    if (!text.empty()) return absl::StrCat("not comparable, ", text);
  }
  return "not comparable";
}

}  // namespace

const char* OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kJudged:
      return "JUDGED";
    case Outcome::kInvalid:
      return "INVALID";
    case Outcome::kVanished:
      return "VANISHED";
    case Outcome::kElsewhere:
      return "ELSEWHERE";
    case Outcome::kNew:
      return "NEW";
  }
  return "?";
}

std::string Row::Label() const {
  if (outcome != Outcome::kJudged) return OutcomeName(outcome);
  const std::string name = VerdictName(judgement.verdict);
  const bool doubtful = judgement.hint && !Is(Verdict::kUnclear);
  return doubtful ? absl::StrCat(absl::AsciiStrToLower(name), "?") : name;
}

int Report::ExitCode() const {
  bool slower = false, unmeasured = rows.empty(), inconclusive = false;
  for (const Row& row : rows) {
    const bool is_slower = row.Is(Verdict::kSlower);
    const bool counts =
        !row.judgement.hint && (row.confirmed || !needs_confirmation);
    slower |= is_slower && counts;
    inconclusive |= (is_slower && !counts) || row.Is(Verdict::kUnclear) ||
                    row.outcome == Outcome::kNew;
    unmeasured |= row.outcome == Outcome::kInvalid ||
                  row.outcome == Outcome::kVanished ||
                  row.outcome == Outcome::kElsewhere;
  }
  return slower ? 1 : unmeasured ? 2 : inconclusive ? 3 : 0;
}

absl::StatusOr<Report> CompareRecords(const std::vector<Record>& base,
                                      const std::vector<Record>& head,
                                      const CompareOptions& options) {
  LT2_ASSIGN_OR_RETURN(const std::vector<Record> bases, MergeProcesses(base));
  LT2_ASSIGN_OR_RETURN(const std::vector<Record> heads, MergeProcesses(head));
  std::map<std::string, const Record*> by_key, by_subject;
  for (const Record& record : bases) {
    by_key[record.Key()] = &record;
    by_subject[record.Subject()] = &record;
  }
  Run run(options.verdict);
  std::set<std::string> seen;
  for (const Record& record : heads) {
    seen.insert(record.Subject());
    const auto same = by_key.find(record.Key());
    if (same != by_key.end()) {
      run.AddPair(*same->second, record, options.floor, options.paired);
      continue;
    }
    const auto other = by_subject.find(record.Subject());
    if (other != by_subject.end()) {
      run.Add(Unjudged(Outcome::kElsewhere, record,
                       Difference(*other->second, record)));
    } else {
      run.Add(Unjudged(Outcome::kNew, record, "not in base"));
    }
  }
  for (const Record& record : bases) {
    if (seen.count(record.Subject()) == 0) {
      run.Add(Unjudged(Outcome::kVanished, record, "not in head"));
    }
  }
  return run.Finish();
}

absl::StatusOr<Report> Gate(const std::vector<Record>& history,
                            const std::vector<Record>& head,
                            const std::vector<Record>& confirmation,
                            const VerdictOptions& options) {
  LT2_ASSIGN_OR_RETURN(const std::vector<Record> heads, MergeProcesses(head));
  std::map<std::string, std::vector<const Record*>> series;
  for (const Record& record : history) series[record.Key()].push_back(&record);
  Run run(options);
  std::set<std::string> seen, places;
  for (const Record& record : heads) {
    seen.insert(record.Key());
    places.insert(record.Place());
    const auto found = series.find(record.Key());
    if (found == series.end()) {
      run.Add(Unjudged(Outcome::kNew, record,
                       "no baseline yet for this machine class and build"));
      continue;
    }
    std::vector<double> medians;
    for (const Record* past : found->second) {
      const bool whole =
          !past->samples.empty() &&
          std::all_of(past->samples.begin(), past->samples.end(),
                      [](double x) { return std::isfinite(x) && x > 0; });
      if (whole) medians.push_back(Median(past->samples));
    }
    LT2_ASSIGN_OR_RETURN(const double floor, PracticalFloor(medians));
    run.AddPair(*found->second.back(), record, floor, /*paired=*/false);
  }
  // What the history's last commit on this machine and build had.
  std::map<std::string, std::string> last_commit;
  for (const Record& record : history) {
    last_commit[record.suite + record.Place()] = record.commit;
  }
  for (const auto& [key, past] : series) {
    const Record& last = *past.back();
    if (seen.count(key) == 0 && places.count(last.Place()) != 0 &&
        last_commit[last.suite + last.Place()] == last.commit) {
      run.Add(Unjudged(Outcome::kVanished, last, "only in the history"));
    }
  }
  LT2_ASSIGN_OR_RETURN(Report report, run.Finish());
  report.needs_confirmation = true;
  if (!confirmation.empty()) {
    LT2_ASSIGN_OR_RETURN(const Report second,
                         Gate(history, confirmation, {}, options));
    std::set<std::string> again;
    for (const Row& row : second.rows) {
      if (row.Is(Verdict::kSlower) && !row.judgement.hint) {
        again.insert(row.subject.Key());
      }
    }
    for (Row& row : report.rows) {
      row.confirmed =
          row.Is(Verdict::kSlower) && again.count(row.subject.Key()) != 0;
    }
  }
  return report;
}

}  // namespace lt2::bench
