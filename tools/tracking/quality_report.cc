// What a comparison of quality says.

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "evals/stats/table.h"
#include "tools/tracking/figures.h"
#include "tools/tracking/quality.h"

namespace lt2::tools {
namespace {

using Class = QualityRow::Class;
using nlohmann::ordered_json;

bool Compared(const QualityRow& row) {
  return row.type != Class::kMissing && row.type != Class::kNew;
}

std::string Advice(const QualityReport& report) {
  const bool scores = report.kind == QualityKind::kScores;
  switch (report.ExitCode()) {
    case 0:
      return "Nothing is worse.";
    case 1:
      return "Something is worse: find the commit that did it, or say why.";
    case 2:
      return "Something could not be compared: evaluate both sides with the "
             "same tasks, examples and configurations.";
    default:
      return scores ? "Unclear rows need more examples to show a difference as "
                      "small as their floor."
                    : "Unclear rows need more seeds.";
  }
}

ordered_json Number(const QualityRow& row, double value) {
  return Compared(row) && std::isfinite(value) ? ordered_json(value)
                                               : ordered_json();
}

Tone ToneOf(Class type) {
  switch (type) {
    case Class::kWorse:
    case Class::kMissing:
      return Tone::kBad;
    case Class::kUnclear:
      return Tone::kDoubt;
    case Class::kNew:
      return Tone::kNeutral;
    case Class::kBetter:
      return Tone::kGood;
    case Class::kSame:
      break;
  }
  return Tone::kQuiet;
}

}  // namespace

std::string QualityText(const QualityReport& report, bool all) {
  const auto right = evals::Align::kRight;
  evals::Table table({{"suite"},
                      {"what"},
                      {"verdict"},
                      {"base", right},
                      {"head", right},
                      {"head - base", right},
                      {"p", right},
                      {"would have been seen", right},
                      {"n", right}});
  std::string text, uncompared;
  int64_t same = 0;
  for (const QualityRow& row : report.rows) {
    same += row.type == Class::kSame;
    if (!Compared(row)) {
      absl::StrAppend(&uncompared, row.label, " ", evals::Printable(row.suite),
                      " ", evals::Printable(row.name), ": ", row.reason, "\n");
    } else if (all || row.type != Class::kSame) {
      table.AddRow({row.suite, row.name, row.label, row.base, row.head,
                    row.change, absl::StrFormat("%.4f", row.p), row.detectable,
                    absl::StrCat(row.n)});
    }
  }
  if (table.rows() > 0) absl::StrAppend(&text, table.ToText(), "\n");
  absl::StrAppend(&text, uncompared, report.rows.size(), " rows, ", same,
                  " the same. ", Advice(report), "\n");
  return text;
}

ordered_json QualityJson(const QualityReport& report) {
  ordered_json json;
  json["schema_version"] = kQualitySchemaVersion;
  json["kind"] = report.kind == QualityKind::kScores ? "scores" : "successes";
  json["exit_code"] = report.ExitCode();
  json["rows"] = ordered_json::array();
  for (const QualityRow& row : report.rows) {
    ordered_json out;
    out["suite"] = row.suite;
    out["name"] = row.name;
    out["label"] = row.label;
    out["reason"] = row.reason;
    out["base"] = row.base;
    out["head"] = row.head;
    out["difference"] = Number(row, row.estimate);
    out["low"] = Number(row, row.low);
    out["high"] = Number(row, row.high);
    out["p"] = Number(row, row.p);
    out["floor"] = Number(row, row.floor);
    out["detectable"] = row.detectable;
    out["n"] = row.n;
    out["pairs"] = row.pairs;
    json["rows"].push_back(std::move(out));
  }
  return json;
}

std::string QualityJUnit(const QualityReport& report) {
  std::string cases;
  int failures = 0, errors = 0, skipped = 0;
  const auto xml = [](const std::string& text) {
    return EscapeHtml(evals::Printable(text));
  };
  for (const QualityRow& row : report.rows) {
    const char* element = "";
    if (row.type == Class::kWorse) element = "failure";
    if (row.type == Class::kMissing) element = "error";
    if (row.type == Class::kUnclear || row.type == Class::kNew) {
      element = "skipped";
    }
    failures += row.type == Class::kWorse;
    errors += row.type == Class::kMissing;
    skipped += row.type == Class::kUnclear || row.type == Class::kNew;
    absl::StrAppend(&cases, "  <testcase classname=\"", xml(row.suite),
                    "\" name=\"", xml(row.name), "\"");
    if (*element == 0) {
      cases += "/>\n";
      continue;
    }
    const std::string message =
        row.reason.empty() ? absl::StrCat(row.label, " ", row.base, " -> ",
                                          row.head, ", ", row.change)
                           : absl::StrCat(row.label, ": ", row.reason);
    absl::StrAppend(&cases, "><", element, " message=\"", xml(message),
                    "\"/></testcase>\n");
  }
  return absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuite name=\"track quality\" tests=\"%d\" failures=\"%d\" "
      "errors=\"%d\" skipped=\"%d\">\n%s</testsuite>\n",
      report.rows.size(), failures, errors, skipped, cases);
}

Page QualityPage(const QualityReport& report,
                 const std::pair<std::string, std::string>& sources) {
  Page page;
  const bool scores = report.kind == QualityKind::kScores;
  page.title =
      scores ? "Quality, example by example" : "Quality: seeds that succeed";
  const int code = report.ExitCode();
  const auto count = [&](Class type) {
    return std::count_if(report.rows.begin(), report.rows.end(),
                         [&](const QualityRow& r) { return r.type == type; });
  };
  const auto say = [&](int64_t rows, const char* what) {
    return absl::StrCat(rows, " of ", report.rows.size(), " rows ", what);
  };
  page.verdict =
      code == 0
          ? absl::StrCat("Nothing is worse (", report.rows.size(), " rows).")
      : code == 1 ? say(count(Class::kWorse), "worse.")
      : code == 2 ? say(count(Class::kMissing), "could not be compared.")
                  : say(count(Class::kUnclear) + count(Class::kNew),
                        "could not be decided.");
  page.tone = code == 0 ? Tone::kGood : code == 3 ? Tone::kDoubt : Tone::kBad;
  double limit = scores ? 0.02 : 0.5;
  for (const QualityRow& row : report.rows) {
    if (Compared(row)) {
      limit = std::max(limit, 1.2 * std::abs(row.cost));
    }
  }
  limit = std::min(1.0, std::ceil(limit * 50) / 50);
  for (const QualityRow& row : report.rows) {
    PageRow entry;
    entry.name = absl::StrCat(row.suite, " / ", row.name);
    entry.label = row.label;
    entry.tone = ToneOf(row.type);
    if (!Compared(row)) {
      entry.headline = row.reason;
      page.rows.push_back(std::move(entry));
      continue;
    }
    entry.headline = row.change;
    entry.facts = {{"base", row.base},
                   {"head", row.head},
                   {"would have been seen", row.detectable},
                   {"n", absl::StrCat(row.n)},
                   {"p", absl::StrFormat("%.4f", row.p)}};
    if (!row.pairs.empty()) entry.facts.push_back({"right whole", row.pairs});
    IntervalBar bar;
    bar.estimate = row.cost;
    bar.low = row.cost_low;
    bar.high = row.cost_high;
    bar.floor = row.floor;
    bar.limit = limit;
    entry.figure = IntervalSvg(bar, absl::StrCat("head - base ", row.change));
    (row.type == Class::kSame ? page.folded : page.rows)
        .push_back(std::move(entry));
  }
  page.folded_title = absl::StrCat(page.folded.size(), " the same");
  page.legend = absl::StrFormat(
      "Right is worse, as a share%s. Line: 95 %% interval, dot: estimate, "
      "band: "
      "differences that do not matter (floor). All axes end at %.0f %%.",
      scores ? " (of the accuracy scale, or of the base's bits per byte)" : "",
      100 * limit);
  page.next.push_back({Advice(report), ""});
  page.about = {{"base", sources.first},
                {"head", sources.second},
                {"test", scores ? "paired bootstrap over examples, p adjusted "
                                  "for the number of rows"
                                : "Fisher's exact test over seeds, p adjusted "
                                  "for the number of cells"}};
  return page;
}

}  // namespace lt2::tools
