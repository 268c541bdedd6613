#include "tools/tracking/quality.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "evals/comparison/compare.h"
#include "evals/curricula/comparison.h"
#include "evals/curricula/results.h"

namespace lt2::tools {
namespace {

using evals::Comparison;
using evals::SuccessComparison;
using evals::SuccessVerdict;
using nlohmann::json;
using Class = QualityRow::Class;

Class ClassOf(const Comparison& c) {
  switch (c.verdict) {
    case evals::Verdict::kWorse:
      return Class::kWorse;
    case evals::Verdict::kUnclear:
      return Class::kUnclear;
    case evals::Verdict::kBetter:
      return Class::kBetter;
    case evals::Verdict::kMissing:
      return absl::StartsWith(c.reason, "new") ? Class::kNew : Class::kMissing;
    case evals::Verdict::kSame:
    case evals::Verdict::kIdentical:
      break;
  }
  return Class::kSame;
}

Class ClassOf(const SuccessComparison& c) {
  switch (c.verdict) {
    case SuccessVerdict::kWorse:
      return Class::kWorse;
    case SuccessVerdict::kUnclear:
      return Class::kUnclear;
    case SuccessVerdict::kBetter:
      return Class::kBetter;
    case SuccessVerdict::kMissing:
      return c.is_new ? Class::kNew : Class::kMissing;
    case SuccessVerdict::kSame:
    case SuccessVerdict::kIdentical:
      break;
  }
  return Class::kSame;
}

QualityRow RowOf(const Comparison& c) {
  QualityRow row;
  row.type = ClassOf(c);
  row.suite = c.task;
  row.name = c.base_label == c.head_label
                 ? c.base_label
                 : absl::StrCat(c.base_label, " : ", c.head_label);
  row.label = row.type == Class::kNew ? "NEW" : VerdictName(c.verdict);
  row.reason = c.reason;
  row.n = c.n;
  row.p = c.p_value;
  row.estimate = c.difference.estimate;
  row.low = c.difference.low;
  row.high = c.difference.high;
  const bool accuracy = c.metric == "accuracy";
  const double scale = accuracy ? 100 : 1;
  const auto value = [&](double x) {
    return accuracy ? absl::StrFormat("%.2f %%", 100 * x)
                    : absl::StrFormat("%.4f bpb", x);
  };
  row.base = value(c.base);
  row.head = value(c.head);
  row.change = absl::StrFormat(
      accuracy ? "%+.2f [%+.2f, %+.2f] points" : "%+.4f [%+.4f, %+.4f] bpb",
      scale * row.estimate, scale * row.low, scale * row.high);
  row.detectable = absl::StrFormat(accuracy ? "%.2f points" : "%.4f bpb",
                                   scale * c.detectable);
  if (accuracy) {
    row.pairs = absl::StrFormat("only base %d, only head %d (McNemar p %.4f)",
                                c.only_base, c.only_head, c.mcnemar_p);
  }
  const double unit = accuracy || c.base == 0 ? 1 : 1 / c.base;
  const double sign = c.higher_is_better ? -unit : unit;
  row.cost = sign * row.estimate;
  row.cost_low = std::min(sign * row.low, sign * row.high);
  row.cost_high = std::max(sign * row.low, sign * row.high);
  row.floor = unit * c.floor;
  return row;
}

QualityRow RowOf(const SuccessComparison& c, const evals::Results& results,
                 double floor) {
  QualityRow row;
  row.type = ClassOf(c);
  row.suite = results.preset;
  row.name = absl::StrCat(c.label, " ", results.column_name, "=", c.column);
  row.label = row.type == Class::kNew ? "NEW" : SuccessVerdictName(c.verdict);
  row.reason = c.reason;
  row.n = c.head_seeds;
  row.p = std::min(c.p_worse, c.p_better);
  row.estimate = c.difference.estimate;
  row.low = c.difference.low;
  row.high = c.difference.high;
  row.base = absl::StrCat(c.base, "/", c.base_seeds);
  row.head = absl::StrCat(c.head, "/", c.head_seeds);
  row.change =
      absl::StrFormat("%+.0f [%+.0f, %+.0f] points of success",
                      100 * row.estimate, 100 * row.low, 100 * row.high);
  row.detectable = c.detectable < 0 ? "nothing with so few seeds"
                                    : absl::StrCat("at most ", c.detectable,
                                                   "/", c.head_seeds);
  row.cost = -row.estimate;
  row.cost_low = -row.high;
  row.cost_high = -row.low;
  row.floor = floor;
  return row;
}

}  // namespace

QualityKind KindOf(const json& file) {
  if (!file.is_object()) return QualityKind::kNone;
  if (file.contains("preset") && file.contains("runs")) {
    return QualityKind::kSuccesses;
  }
  return file.contains("schema_version") && file.contains("rows") &&
                 !file.contains("exit_code")
             ? QualityKind::kScores
             : QualityKind::kNone;
}

int QualityReport::ExitCode() const {
  int worse = 0, missing = 0, unclear = 0, compared = 0;
  for (const QualityRow& row : rows) {
    worse += row.type == Class::kWorse;
    missing += row.type == Class::kMissing;
    unclear += row.type == Class::kUnclear || row.type == Class::kNew;
    compared += row.type != Class::kMissing && row.type != Class::kNew;
  }
  if (worse > 0) return 1;
  if (missing > 0 || compared == 0) return 2;
  return unclear > 0 ? 3 : 0;
}

absl::StatusOr<QualityReport> CompareQuality(
    const json& base, const json& head,
    const std::pair<std::string, std::string>& sources,
    const QualityOptions& options) {
  QualityReport report;
  report.kind = KindOf(base);
  if (report.kind != KindOf(head) || report.kind == QualityKind::kNone) {
    return InvalidArgument(sources.first, " and ", sources.second,
                           ": expected two results.json of the leaderboard, or "
                           "two of a curriculum");
  }
  if (report.kind == QualityKind::kScores) {
    LT2_ASSIGN_OR_RETURN(const auto before,
                         evals::ParseResults(base, sources.first));
    LT2_ASSIGN_OR_RETURN(const auto after,
                         evals::ParseResults(head, sources.second));
    evals::CompareOptions compare;
    compare.accuracy_floor = options.accuracy_floor;
    compare.bits_floor = options.bits_floor;
    LT2_ASSIGN_OR_RETURN(const auto all,
                         evals::Compare(before, after, compare));
    for (const Comparison& c : all) report.rows.push_back(RowOf(c));
  } else {
    LT2_ASSIGN_OR_RETURN(const auto before,
                         evals::ParseResultsJson(base, sources.first));
    LT2_ASSIGN_OR_RETURN(const auto after,
                         evals::ParseResultsJson(head, sources.second));
    evals::SuccessOptions compare;
    compare.floor = options.success_floor;
    LT2_ASSIGN_OR_RETURN(const auto all,
                         evals::CompareSuccesses(before, after, compare));
    for (const SuccessComparison& c : all) {
      report.rows.push_back(RowOf(c, after, options.success_floor));
    }
  }
  std::stable_sort(
      report.rows.begin(), report.rows.end(),
      [](const QualityRow& a, const QualityRow& b) { return a.type < b.type; });
  return report;
}

}  // namespace lt2::tools
