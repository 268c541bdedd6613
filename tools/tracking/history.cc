#include "tools/tracking/history.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/tracking/machine.h"
#include "evals/stats/table.h"
#include "model/io/atomic_file.h"
#include "tools/tracking/figures.h"
#include "tools/tracking/report.h"

namespace lt2::tools {
namespace {

using bench::ChangePoint;
using bench::Record;

// Fewer values than this cannot have a change point.
constexpr size_t kShort = 8;

std::string ChangeText(const Series& series, const ChangePoint& change) {
  return absl::StrFormat("%s [%+.2f, %+.2f]", bench::Percent(change.change),
                         100 * std::expm1(change.low),
                         100 * std::expm1(change.high)) +
         (series.IsWorse(change) ? ", worse" : ", better");
}

std::string Last(const Series& series, double value) {
  return ValueText(value, series.subject.unit);
}

// The median of values [begin, end).
double Level(const Series& series, int64_t begin, int64_t end) {
  return bench::Median(std::vector<double>(series.values.begin() + begin,
                                           series.values.begin() + end));
}

// What the gate would say of the last commit, by benchmark; "" without it.
absl::StatusOr<std::map<std::string, std::string>> LastCommit(
    const std::vector<Record>& history) {
  std::vector<Record> before, last;
  for (const Record& record : history) {
    (record.commit == history.back().commit ? last : before).push_back(record);
  }
  std::map<std::string, std::string> said;
  if (before.empty()) return said;
  LT2_ASSIGN_OR_RETURN(const bench::Report report,
                       bench::Gate(before, last, {}, {}));
  for (const bench::Row& row : report.rows) {
    std::string text = row.Label();
    if (row.outcome == bench::Outcome::kJudged) {
      absl::StrAppendFormat(&text, " %s [%+.2f, %+.2f], floor %.1f %%",
                            bench::Percent(row.shift.cost.estimate),
                            100 * std::expm1(row.shift.cost.low),
                            100 * std::expm1(row.shift.cost.high),
                            100 * row.floor);
    }
    said[row.subject.Key()] = text;
  }
  return said;
}

PageRow RowOf(const Series& series, const std::string& last_commit) {
  PageRow row;
  row.name = series.subject.Name();
  const size_t n = series.values.size();
  if (series.changes.empty()) {
    row.label = n < kShort ? "TOO SHORT" : "STEADY";
    row.tone = n < kShort ? Tone::kNeutral : Tone::kQuiet;
    row.headline = n == 0 ? "no value" : Last(series, series.values.back());
  } else {
    const int still = series.StillWorse();
    const size_t place =
        still >= 0 ? static_cast<size_t>(still) : series.changes.size() - 1;
    const ChangePoint& change = series.changes[place];
    const bool undone = still < 0 && series.IsWorse(change);
    const bool back =
        still < 0 && std::abs(series.Remaining(0)) <
                         std::log1p(bench::ChangePointOptions().least_change);
    row.label = still >= 0 ? "WORSE" : back || undone ? "AS BEFORE" : "BETTER";
    row.tone = still >= 0       ? Tone::kBad
               : back || undone ? Tone::kQuiet
                                : Tone::kGood;
    row.headline = absl::StrCat(
        bench::Percent(still >= 0 ? series.Remaining(place)
                                  : series.Remaining(0)),
        still >= 0 ? " since " : ", last change in ",
        series.commits[static_cast<size_t>(change.first)].substr(0, 12));
  }
  Trend trend;
  trend.values = series.values;
  for (const ChangePoint& change : series.changes) {
    trend.changes.push_back(change.first);
    const size_t first = static_cast<size_t>(change.first);
    row.facts.push_back(
        {"changed in", absl::StrCat(series.commits[first - 1].substr(0, 12),
                                    "..", series.commits[first].substr(0, 12),
                                    ": ", ChangeText(series, change))});
  }
  row.trend = TrendText(trend);
  if (n > 0) {
    row.facts.push_back({"first", Last(series, series.values.front())});
    row.facts.push_back({"last", Last(series, series.values.back())});
    row.figure = TrendSvg(
        trend, absl::StrFormat("%d commits, %s to %s, %d changes of level", n,
                               Last(series, series.values.front()),
                               Last(series, series.values.back()),
                               series.changes.size()));
  }
  row.facts.push_back({"commits", absl::StrCat(n)});
  if (series.left_out > 0) {
    row.facts.push_back({"without a value", absl::StrCat(series.left_out)});
  }
  if (!last_commit.empty()) row.facts.push_back({"last commit", last_commit});
  return row;
}

std::string Bisection(const Series& series) {
  const size_t first = static_cast<size_t>(
      series.changes[static_cast<size_t>(series.StillWorse())].first);
  return absl::StrCat("git log --oneline ", series.commits[first - 1], "..",
                      series.commits[first]);
}

}  // namespace

double Series::Remaining(size_t change) const {
  const int64_t end = static_cast<int64_t>(values.size());
  const int64_t begin = change == 0 ? 0 : changes[change - 1].first;
  const double before = Level(*this, begin, changes[change].first);
  const double now = Level(*this, changes.back().first, end);
  return (subject.higher_is_better ? -1 : 1) * std::log(now / before);
}

int Series::StillWorse() const {
  int worst = -1;
  double most = std::log1p(bench::ChangePointOptions().least_change);
  for (size_t i = 0; i < changes.size(); ++i) {
    if (!IsWorse(changes[i]) || Remaining(i) < most) continue;
    most = Remaining(i);
    worst = static_cast<int>(i);
  }
  return worst;
}

absl::StatusOr<std::vector<Series>> FindSeries(
    const std::vector<Record>& history) {
  std::map<std::string, size_t> place;
  std::vector<Series> all;
  for (const Record& record : history) {
    const auto [found, is_new] = place.emplace(record.Key(), all.size());
    if (is_new) all.emplace_back();
    Series& series = all[found->second];
    series.subject = record;
    series.subject.samples.clear();
    bool whole = !record.samples.empty();
    for (const double x : record.samples) {
      whole = whole && std::isfinite(x) && x > 0;
    }
    if (!whole) {
      ++series.left_out;
      continue;
    }
    series.values.push_back(bench::Median(record.samples));
    series.commits.push_back(record.commit);
    series.times.push_back(record.time);
  }
  for (Series& series : all) {
    LT2_ASSIGN_OR_RETURN(series.changes,
                         bench::FindChangePoints(series.values));
  }
  return all;
}

std::string SeriesText(const std::vector<Series>& all) {
  const auto right = evals::Align::kRight;
  evals::Table table({{"benchmark"},
                      {"first commit"},
                      {"last before"},
                      {"change", right},
                      {"interval %", right},
                      {"p", right},
                      {"verdict"}});
  int worse = 0;
  int64_t left_out = 0;
  for (const Series& series : all) {
    left_out += series.left_out;
    for (const ChangePoint& point : series.changes) {
      const size_t first = static_cast<size_t>(point.first);
      worse += series.IsWorse(point);
      table.AddRow(
          {series.subject.Name(), series.commits[first],
           series.commits[first - 1], bench::Percent(point.change),
           absl::StrFormat("[%+.2f, %+.2f]", 100 * std::expm1(point.low),
                           100 * std::expm1(point.high)),
           absl::StrFormat("%.5f", point.p_value),
           series.IsWorse(point) ? "WORSE" : "BETTER"});
    }
  }
  std::string text;
  if (table.rows() > 0) absl::StrAppend(&text, table.ToText(), "\n");
  absl::StrAppend(&text, all.size(), " series, ", table.rows(),
                  " change points, ", worse, " for the worse, ", left_out,
                  " points without a value.\n");
  return text;
}

int SeriesExitCode(const std::vector<Series>& all) {
  for (const Series& series : all) {
    if (series.StillWorse() >= 0) return 1;
  }
  return 0;
}

absl::StatusOr<std::string> AppendedHistory(const std::vector<Record>& records,
                                            const std::string& path) {
  std::string text;
  const auto before = model::ReadFile(path);
  if (before.ok()) {
    text = *before;
  } else if (!absl::IsNotFound(before.status())) {
    return before.status();
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  for (const Record& record : records) {
    if (record.commit.empty()) {
      return InvalidArgument(record.Name(), ": no commit; give --commit");
    }
    absl::StrAppend(&text, bench::RecordLine(record), "\n");
  }
  // Also refuses to mix machine classes.
  LT2_RETURN_IF_ERROR(bench::ParseHistory(text, path).status());
  return text;
}

absl::StatusOr<Page> HistoryPage(const std::vector<Record>& history,
                                 const std::string& path) {
  if (history.empty()) return InvalidArgument(path, ": no records");
  LT2_ASSIGN_OR_RETURN(std::vector<Series> all, FindSeries(history));
  LT2_ASSIGN_OR_RETURN(const auto last, LastCommit(history));
  const auto rank = [](const Series& series) {
    return series.StillWorse() >= 0 ? 0 : series.changes.empty() ? 2 : 1;
  };
  const auto cost = [](const Series& series) {
    const int still = series.StillWorse();
    return still >= 0 ? series.Remaining(static_cast<size_t>(still))
           : series.changes.empty() ? 0.0
                                    : series.Remaining(0);
  };
  std::stable_sort(all.begin(), all.end(),
                   [&](const Series& a, const Series& b) {
                     if (rank(a) != rank(b)) return rank(a) < rank(b);
                     return cost(a) > cost(b);
                   });
  Page page;
  page.title = "Speed, commit by commit";
  int worse = 0, better = 0, steady = 0;
  for (const Series& series : all) {
    const auto said = last.find(series.subject.Key());
    PageRow row = RowOf(series, said == last.end() ? "" : said->second);
    worse += row.tone == Tone::kBad;
    better += row.tone == Tone::kGood;
    steady += series.changes.empty();
    (series.changes.empty() ? page.folded : page.rows)
        .push_back(std::move(row));
  }
  page.folded_title =
      absl::StrCat(steady, " of ", all.size(), " without a change of level");
  page.verdict = worse > 0
                     ? absl::StrCat(worse, " of ", all.size(),
                                    " benchmarks became slower and stayed so.")
                     : absl::StrCat("No slowdown that lasts was found in ",
                                    all.size(), " benchmarks.");
  if (better > 0)
    absl::StrAppend(&page.verdict, " ", better, " became faster.");
  page.tone = worse > 0 ? Tone::kBad : better > 0 ? Tone::kGood : Tone::kQuiet;
  page.legend =
      "Each line: medians by commit, oldest left, the last one marked; the "
      "vertical range, relative to the first, is at least 4 %. Thick: the "
      "level between changes. "
      "Dashed: a change of level (energy statistic, p at most 0.001, at least "
      "1 %), which needs about 3 commits after it to be seen.";
  for (const Series& series : all) {
    if (rank(series) != 0 || page.next.size() >= 6) continue;
    page.next.push_back({absl::StrCat("See what changed before ",
                                      series.subject.Name(), " became slower:"),
                         Bisection(series)});
    const size_t first = static_cast<size_t>(
        series.changes[static_cast<size_t>(series.StillWorse())].first);
    page.next.push_back(
        {"Measure these two commits against each other:",
         absl::StrCat("./bazelw run //tools:track -- compare --commits=",
                      series.commits[first - 1], "..", series.commits[first],
                      " --benchmark=$(./bazelw query 'filter(\":",
                      series.subject.suite, "$\", //...)')")});
  }
  if (page.next.empty()) {
    page.next.push_back(
        {"Nothing. After the next commit on the main branch, append it:",
         absl::StrCat("./bazelw run //tools:track -- record --history=", path,
                      " --commits=", history.back().commit,
                      "..HEAD --suite=SUITE.json")});
  }
  page.about = {{"history", path},
                {"machine", bench::MachineText(history.back().machine)},
                {"build", bench::MachineText(history.back().build)},
                {"records", absl::StrCat(history.size())},
                {"commits", absl::StrCat(history.front().commit, " to ",
                                         history.back().commit)},
                {"measured", absl::StrCat(history.front().time, " to ",
                                          history.back().time)}};
  return page;
}

}  // namespace lt2::tools
