#include "evals/comparison/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "evals/stats/table.h"

namespace lt2::evals {
namespace {

bool Unchanged(const Comparison& c) {
  return c.verdict == Verdict::kIdentical || c.verdict == Verdict::kSame;
}

std::string Value(const Comparison& c, double value) {
  return c.metric == "accuracy" ? absl::StrFormat("%.2f %%", 100 * value)
                                : absl::StrFormat("%.4f bpb", value);
}

std::string Signed(const Comparison& c, double value) {
  return c.metric == "accuracy" ? absl::StrFormat("%+.2f", 100 * value)
                                : absl::StrFormat("%+.4f", value);
}

std::string Unsigned(const Comparison& c, double value) {
  return c.metric == "accuracy" ? absl::StrFormat("%.2f", 100 * value)
                                : absl::StrFormat("%.4f", value);
}

std::string Names(const Comparison& c) {
  return c.base_label == c.head_label
             ? c.base_label
             : absl::StrCat(c.base_label, " : ", c.head_label);
}

Table Changes(const std::vector<Comparison>& comparisons, bool all) {
  const Align right = Align::kRight;
  Table table({{"task"},
               {"model"},
               {"verdict"},
               {"base", right},
               {"head", right},
               {"change", right},
               {"95 % interval", right},
               {"p", right},
               {"floor", right},
               {"detectable", right},
               {"whole -/+", right},
               {"n", right}});
  for (const Comparison& c : comparisons) {
    if (c.verdict == Verdict::kMissing || (Unchanged(c) && !all)) continue;
    table.AddRow({c.task, Names(c), VerdictName(c.verdict), Value(c, c.base),
                  Value(c, c.head), Signed(c, c.difference.estimate),
                  absl::StrFormat("[%s, %s]", Signed(c, c.difference.low),
                                  Signed(c, c.difference.high)),
                  absl::StrFormat("%.4f", c.p_value), Unsigned(c, c.floor),
                  Unsigned(c, c.detectable),
                  c.metric == "accuracy"
                      ? absl::StrFormat("%d/%d (p %.3f)", c.only_base,
                                        c.only_head, c.mcnemar_p)
                      : "-",
                  absl::StrCat(c.n)});
  }
  return table;
}

std::string Advice(int exit_code, int64_t missing) {
  std::string advice;
  if (exit_code == 1) {
    advice = "Something is worse: find the commit that did it, or say why.\n";
  } else if (exit_code == 2) {
    advice =
        "Nothing could be compared: evaluate both sides with the same tasks, "
        "sample and version.\n";
  } else if (exit_code == 3) {
    advice =
        "Unclear rows need more examples (a larger --sample, or none) to show "
        "a difference as small as their floor.\n";
  } else {
    advice = "Nothing is worse.\n";
  }
  if (missing > 0) {
    advice += "Missing rows were not judged.\n";
  }
  return advice;
}

nlohmann::json Number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

}  // namespace

std::string ComparisonText(const ResultsFile& base, const ResultsFile& head,
                           const std::vector<Comparison>& comparisons,
                           bool all) {
  std::string text = absl::StrFormat("base %s (%s; %s)\nhead %s (%s; %s)\n\n",
                                     base.source, base.machine, base.build,
                                     head.source, head.machine, head.build);
  const Table table = Changes(comparisons, all);
  if (table.rows() > 0) absl::StrAppend(&text, table.ToText(), "\n");
  int64_t identical = 0, same = 0, missing = 0;
  for (const Comparison& c : comparisons) {
    identical += c.verdict == Verdict::kIdentical;
    same += c.verdict == Verdict::kSame;
    if (c.verdict != Verdict::kMissing) continue;
    ++missing;
    absl::StrAppend(&text, "MISSING ", c.task, " ", Names(c), ": ", c.reason,
                    "\n");
  }
  absl::StrAppendFormat(&text,
                        "%d rows: %d identical, %d the same, %d missing. ",
                        comparisons.size(), identical, same, missing);
  absl::StrAppend(&text, Advice(ExitCode(comparisons), missing));
  return text;
}

nlohmann::json ComparisonJson(const ResultsFile& base, const ResultsFile& head,
                              const std::vector<Comparison>& comparisons) {
  nlohmann::json json = {{"schema_version", kComparisonSchemaVersion},
                         {"base", base.source},
                         {"head", head.source},
                         {"exit_code", ExitCode(comparisons)},
                         {"rows", nlohmann::json::array()}};
  for (const Comparison& c : comparisons) {
    const bool measured = c.verdict != Verdict::kMissing;
    const auto number = [&](double value) {
      return measured ? Number(value) : nlohmann::json();
    };
    json["rows"].push_back({{"task", c.task},
                            {"base_model", c.base_label},
                            {"head_model", c.head_label},
                            {"metric", c.metric},
                            {"higher_is_better", c.higher_is_better},
                            {"verdict", VerdictName(c.verdict)},
                            {"reason", c.reason},
                            {"n", c.n},
                            {"base_value", number(c.base)},
                            {"head_value", number(c.head)},
                            {"difference", number(c.difference.estimate)},
                            {"low", number(c.difference.low)},
                            {"high", number(c.difference.high)},
                            {"p_value", number(c.p_value)},
                            {"floor", number(c.floor)},
                            {"detectable", number(c.detectable)},
                            {"only_base", c.only_base},
                            {"only_head", c.only_head},
                            {"mcnemar_p", number(c.mcnemar_p)}});
  }
  return json;
}

}  // namespace lt2::evals
