#include "tools/tracking/report.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "evals/stats/table.h"
#include "tools/tracking/figures.h"

namespace lt2::tools {
namespace {

using bench::Family;
using bench::Outcome;
using bench::Percent;
using bench::Report;
using bench::Row;
using bench::Shift;
using bench::Verdict;
using nlohmann::ordered_json;

std::string IntervalText(const Shift& shift) {
  return absl::StrFormat("[%+.2f, %+.2f]", 100 * std::expm1(shift.cost.low),
                         100 * std::expm1(shift.cost.high));
}

evals::Table RowTable(const Report& report, bool all) {
  const auto right = evals::Align::kRight;
  evals::Table table({{"benchmark"},
                      {"verdict"},
                      {"base", right},
                      {"head", right},
                      {"cost", right},
                      {"interval %", right},
                      {"floor", right},
                      {"detectable", right},
                      {"p", right},
                      {"rounds", right}});
  for (const Row& row : report.rows) {
    if (row.outcome != Outcome::kJudged) continue;
    if (row.Is(Verdict::kSame) && !all) continue;
    std::string label = row.Label();
    if (row.confirmed) label += " (confirmed)";
    if (row.judgement.implausible) label += " (implausible)";
    table.AddRow(
        {row.subject.Name(), label, ValueText(row.base, row.subject.unit),
         ValueText(row.head, row.subject.unit),
         Percent(row.shift.cost.estimate), IntervalText(row.shift),
         absl::StrFormat("%.1f %%", 100 * row.floor),
         Percent(row.shift.detectable),
         absl::StrFormat(
             "%.4f", std::min(row.judgement.p_slower, row.judgement.p_faster)),
         absl::StrCat(row.shift.rounds)});
  }
  return table;
}

std::string Advice(const Report& report) {
  switch (report.ExitCode()) {
    case 0:
      return "Nothing is slower.\n";
    case 1:
      return "Something is slower: find the commit that did it, or say why.\n";
    case 2:
      return "Something could not be measured: see the rows above the count, "
             "and measure both sides on one machine with one build.\n";
    default:
      break;
  }
  return report.needs_confirmation
             ? "Inconclusive: SLOWER fails only if a second round says so too "
               "(gate: --confirm); unclear rows need more rounds "
               "(processes).\n"
             : "Inconclusive: unclear rows need more rounds (processes); at "
               "least 7 on each side decide.\n";
}

// Not a number is null.
ordered_json Number(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json();
}

ordered_json ShiftJson(const Shift& shift) {
  ordered_json json;
  json["method"] = shift.method == bench::Method::kSignedRank ? "signed_rank"
                                                              : "mann_whitney";
  json["change"] = Number(std::expm1(shift.cost.estimate));
  json["low"] = Number(std::expm1(shift.cost.low));
  json["high"] = Number(std::expm1(shift.cost.high));
  json["confidence"] = Number(shift.cost.confidence);
  json["floor"] = Number(std::expm1(shift.floor));
  json["detectable"] = Number(std::expm1(shift.detectable));
  json["rounds"] = shift.rounds;
  return json;
}

std::string Xml(const std::string& text) {
  return EscapeHtml(evals::Printable(text));
}

// The element of a row that did not pass, and what it says.
std::pair<std::string, std::string> Problem(const Report& report,
                                            const Row& row) {
  if (row.outcome != Outcome::kJudged) {
    return {row.outcome == Outcome::kNew ? "skipped" : "error",
            absl::StrCat(row.Label(), ": ", row.reason)};
  }
  const std::string message =
      absl::StrCat(row.Label(), " ", Percent(row.shift.cost.estimate), " ",
                   IntervalText(row.shift),
                   absl::StrFormat(", floor %.1f %%", 100 * row.floor));
  if (row.Is(Verdict::kSlower)) {
    if (row.judgement.hint) return {"skipped", message + ", too few rounds"};
    if (report.needs_confirmation && !row.confirmed) {
      return {"skipped", message + ", not confirmed"};
    }
    return {"failure", message};
  }
  if (row.Is(Verdict::kUnclear)) return {"skipped", message};
  return {"", ""};
}

}  // namespace

std::string ValueText(double value, const std::string& unit) {
  static const char* const kUnits[] = {"ns", "us", "ms", "s"};
  const auto* place = std::find(std::begin(kUnits), std::end(kUnits), unit);
  if (place == std::end(kUnits)) {
    return absl::StrFormat(unit.empty() ? "%.4g%s" : "%.4g %s", value, unit);
  }
  while (place + 1 != std::end(kUnits) && std::abs(value) >= 1000) {
    value /= 1000;
    ++place;
  }
  while (place != std::begin(kUnits) && value != 0 && std::abs(value) < 1) {
    value *= 1000;
    --place;
  }
  return absl::StrFormat("%.4g %s", value, *place);
}

std::string ReportText(const Report& report, bool all) {
  std::string text;
  const evals::Table table = RowTable(report, all);
  if (table.rows() > 0) absl::StrAppend(&text, table.ToText(), "\n");
  int64_t same = 0;
  for (const Row& row : report.rows) {
    same += row.Is(Verdict::kSame);
    if (row.outcome == Outcome::kJudged) continue;
    absl::StrAppend(&text, row.Label(), " ",
                    evals::Printable(row.subject.Name()), ": ", row.reason,
                    "\n");
  }
  for (const Family& family : report.families) {
    absl::StrAppendFormat(&text, "geometric mean of %s (%d): %s %s %s\n",
                          evals::Printable(family.name), family.members,
                          Percent(family.shift.cost.estimate),
                          IntervalText(family.shift),
                          bench::VerdictName(family.judgement.verdict));
  }
  absl::StrAppend(&text, report.rows.size(), " rows, ", same, " the same. ",
                  Advice(report));
  return text;
}

ordered_json ReportJson(const Report& report) {
  ordered_json json;
  json["schema_version"] = kTrackSchemaVersion;
  json["exit_code"] = report.ExitCode();
  json["rows"] = ordered_json::array();
  for (const Row& row : report.rows) {
    ordered_json out;
    out["name"] = row.subject.Name();
    out["label"] = row.Label();
    out["outcome"] = bench::OutcomeName(row.outcome);
    out["reason"] = row.reason;
    out["suite"] = row.subject.suite;
    out["benchmark"] = row.subject.benchmark;
    out["parameters"] = row.subject.parameters;
    out["metric"] = row.subject.metric;
    out["unit"] = row.subject.unit;
    out["higher_is_better"] = row.subject.higher_is_better;
    const bool judged = row.outcome == Outcome::kJudged;
    out["base"] = judged ? Number(row.base) : ordered_json();
    out["head"] = judged ? Number(row.head) : ordered_json();
    out["cost"] = judged ? ShiftJson(row.shift) : ordered_json();
    out["p_slower"] = judged ? Number(row.judgement.p_slower) : ordered_json();
    out["p_faster"] = judged ? Number(row.judgement.p_faster) : ordered_json();
    out["hint"] = row.judgement.hint;
    out["implausible"] = row.judgement.implausible;
    out["confirmed"] = row.confirmed;
    json["rows"].push_back(std::move(out));
  }
  json["families"] = ordered_json::array();
  for (const Family& family : report.families) {
    ordered_json out;
    out["name"] = family.name;
    out["members"] = family.members;
    out["verdict"] = bench::VerdictName(family.judgement.verdict);
    out["cost"] = ShiftJson(family.shift);
    json["families"].push_back(std::move(out));
  }
  return json;
}

std::string ReportJUnit(const Report& report) {
  std::string cases;
  int failures = 0, errors = 0, skipped = 0;
  for (const Row& row : report.rows) {
    const auto [element, message] = Problem(report, row);
    failures += element == "failure";
    errors += element == "error";
    skipped += element == "skipped";
    absl::StrAppend(&cases, "  <testcase classname=\"", Xml(row.subject.suite),
                    "\" name=\"", Xml(row.subject.Name()), "\"");
    if (element.empty()) {
      cases += "/>\n";
    } else {
      absl::StrAppend(&cases, "><", element, " message=\"", Xml(message),
                      "\"/></testcase>\n");
    }
  }
  return absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"track\" tests=\"%d\" failures=\"%d\" errors=\"%d\" "
      "skipped=\"%d\">\n%s</testsuite>\n",
      report.rows.size(), failures, errors, skipped, cases);
}

}  // namespace lt2::tools
