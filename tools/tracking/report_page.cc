#include "tools/tracking/report_page.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/tracking/figures.h"
#include "tools/tracking/report.h"

namespace lt2::tools {
namespace {

using bench::Family;
using bench::Outcome;
using bench::Percent;
using bench::Report;
using bench::Row;
using bench::Shift;
using bench::Verdict;

// The common axis: wide enough for most rows, at most +-50 %.
double Limit(const Report& report) {
  double limit = 0.02;
  for (const Row& row : report.rows) {
    if (row.outcome != Outcome::kJudged) continue;
    limit = std::max({limit, 2 * row.floor,
                      1.2 * std::abs(std::expm1(row.shift.cost.estimate))});
  }
  for (const double nice : {0.02, 0.05, 0.1, 0.2}) {
    if (limit <= nice) return nice;
  }
  return 0.5;
}

std::string Headline(const Shift& shift) {
  return absl::StrFormat("%s [%+.2f, %+.2f]", Percent(shift.cost.estimate),
                         100 * std::expm1(shift.cost.low),
                         100 * std::expm1(shift.cost.high));
}

Tone ToneOf(const Report& report, const Row& row) {
  if (row.outcome != Outcome::kJudged) {
    return row.outcome == Outcome::kNew ? Tone::kNeutral : Tone::kBad;
  }
  const bool counts =
      !row.judgement.hint && (row.confirmed || !report.needs_confirmation);
  switch (row.judgement.verdict) {
    case Verdict::kSlower:
      return counts ? Tone::kBad : Tone::kDoubt;
    case Verdict::kUnclear:
      return Tone::kDoubt;
    case Verdict::kFaster:
      return row.judgement.implausible ? Tone::kDoubt : Tone::kGood;
    case Verdict::kSame:
      return Tone::kQuiet;
  }
  return Tone::kNeutral;
}

PageRow Judged(const Report& report, const Row& row, double limit) {
  PageRow entry;
  entry.name = row.subject.Name();
  entry.label = row.Label();
  entry.tone = ToneOf(report, row);
  entry.headline = Headline(row.shift);
  const bool slower = row.Is(Verdict::kSlower) && !row.judgement.hint;
  if (row.confirmed) entry.label += ", confirmed";
  if (slower && report.needs_confirmation && !row.confirmed) {
    entry.label += ", not confirmed";
  }
  if (row.judgement.implausible) entry.label += ", implausible";
  const double p = std::min(row.judgement.p_slower, row.judgement.p_faster);
  entry.facts = {{"base", ValueText(row.base, row.subject.unit)},
                 {"head", ValueText(row.head, row.subject.unit)},
                 {"floor", absl::StrFormat("%.1f %%", 100 * row.floor)},
                 {"detectable", Percent(row.shift.detectable)},
                 {"rounds", absl::StrCat(row.shift.rounds)},
                 {"p", p < 5e-5 ? "below 0.0001" : absl::StrFormat("%.4f", p)}};
  IntervalBar bar;
  bar.estimate = std::expm1(row.shift.cost.estimate);
  bar.low = std::expm1(row.shift.cost.low);
  bar.high = std::expm1(row.shift.cost.high);
  bar.floor = row.floor;
  bar.limit = limit;
  entry.figure = IntervalSvg(
      bar, absl::StrCat("cost ", Headline(row.shift),
                        absl::StrFormat(", floor %.1f %%", 100 * row.floor)));
  return entry;
}

std::string VerdictText(const Report& report, int slower, int doubtful,
                        int unmeasured) {
  const size_t n = report.rows.size();
  switch (report.ExitCode()) {
    case 0:
      return absl::StrCat("Nothing is slower (", n, " benchmarks).");
    case 1:
      return absl::StrCat(
          slower, " of ", n,
          slower == 1 ? " benchmarks is slower." : " benchmarks are slower.");
    case 2:
      return n == 0 ? "Nothing was measured."
                    : absl::StrCat(unmeasured, " of ", n,
                                   " benchmarks could not be compared.");
    default:
      return absl::StrCat("Inconclusive: ", doubtful, " of ", n,
                          " benchmarks could not be decided.");
  }
}

void Advise(const Report& report, std::vector<PageStep>* next) {
  switch (report.ExitCode()) {
    case 0:
      next->push_back({"Nothing: merge.", ""});
      return;
    case 1:
      next->push_back(
          {"Find what did it, or say in the commit why it is worth "
           "it.",
           ""});
      return;
    case 2:
      next->push_back(
          {"Look at the entries that were not compared, and measure "
           "both sides on one machine with one build.",
           ""});
      return;
    default:
      next->push_back(
          {"Measure more rounds on a quieter machine; 'detectable' "
           "says how small a slowdown these would have shown.",
           ""});
  }
}

}  // namespace

Page ReportPage(const Report& report, const std::string& title,
                std::vector<std::pair<std::string, std::string>> about,
                std::vector<PageStep> next) {
  Page page;
  page.title = title;
  const double limit = Limit(report);
  int slower = 0, doubtful = 0, unmeasured = 0;
  for (const Row& row : report.rows) {
    if (row.outcome != Outcome::kJudged) {
      unmeasured += row.outcome != Outcome::kNew;
      doubtful += row.outcome == Outcome::kNew;
      page.rows.push_back({row.subject.Name(),
                           row.Label(),
                           ToneOf(report, row),
                           row.reason,
                           "",
                           "",
                           {}});
      continue;
    }
    PageRow entry = Judged(report, row, limit);
    slower += entry.tone == Tone::kBad;
    doubtful += entry.tone == Tone::kDoubt && !row.judgement.implausible;
    (row.Is(Verdict::kSame) ? page.folded : page.rows)
        .push_back(std::move(entry));
  }
  page.folded_title = absl::StrCat(page.folded.size(), " shown to be the same");
  page.verdict = VerdictText(report, slower, doubtful, unmeasured);
  const int code = report.ExitCode();
  page.tone = code == 0 ? Tone::kGood : code == 3 ? Tone::kDoubt : Tone::kBad;
  page.legend = absl::StrFormat(
      "Change of the cost, head against base: right is slower. Line: 98 %% "
      "interval, dot: estimate, band: changes that do not matter (floor). All "
      "axes end at %.0f %%; an arrow marks what goes beyond.",
      100 * limit);
  Advise(report, &page.next);
  page.next.insert(page.next.end(), next.begin(), next.end());
  page.about = std::move(about);
  for (const Family& family : report.families) {
    page.about.push_back(
        {absl::StrCat("geometric mean of ", family.name, " (", family.members,
                      ")"),
         absl::StrCat(Headline(family.shift), " ",
                      bench::VerdictName(family.judgement.verdict))});
  }
  return page;
}

}  // namespace lt2::tools
