#include "evals/ranking/report.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "evals/ranking/groups.h"
#include "evals/stats/table.h"

namespace lt2::evals {
namespace {

bool HigherIsBetter(Metric metric) { return metric == Metric::kAccuracy; }

std::string Value(const Row& row) {
  if (row.metric == Metric::kAccuracy) {
    return absl::StrFormat("%.1f %%", 100 * row.value);
  }
  return absl::StrFormat("%.3f bpb", row.value);
}

std::string IntervalText(const Row& row) {
  if (row.metric == Metric::kAccuracy) {
    return absl::StrFormat("[%.1f, %.1f]", 100 * row.low, 100 * row.high);
  }
  return absl::StrFormat("[%.3f, %.3f]", row.low, row.high);
}

// The model's name, with the loops if they are not those it was trained with.
std::string Label(const Row& row) {
  if (row.loops == row.trained_loops) return row.model;
  return absl::StrCat(row.model, "@", row.loops);
}

// Rows of one column, best first; ties by name.
std::vector<const Row*> Ranked(const std::vector<Row>& rows,
                               const std::string& column) {
  std::vector<const Row*> ranked;
  for (const Row& row : rows) {
    if (row.column == column) ranked.push_back(&row);
  }
  std::sort(ranked.begin(), ranked.end(), [](const Row* a, const Row* b) {
    if (a->value != b->value) {
      return HigherIsBetter(a->metric) ? a->value > b->value
                                       : a->value < b->value;
    }
    return Label(*a) < Label(*b);
  });
  return ranked;
}

Table Ranking(const std::vector<const Row*>& ranked) {
  const Align right = Align::kRight;
  Table table(
      {{"#", right},
       {"group"},
       {"model"},
       {"mixers"},
       {"loops", right},
       {"beta"},
       {ranked[0]->metric == Metric::kAccuracy ? "accuracy" : "bits per byte",
        right},
       {"95 % interval", right},
       {"whole", right},
       {"parameters", right},
       {"FLOP/token", right},
       {"state", right},
       {"n", right}});
  const std::vector<std::string> groups = Groups(ranked);
  for (size_t i = 0; i < ranked.size(); ++i) {
    const Row* row = ranked[i];
    const bool accuracy = row->metric == Metric::kAccuracy;
    table.AddRow(
        {absl::StrCat(i + 1), groups[i], Label(*row), row->layer_pattern,
         absl::StrCat(row->loops), row->write_strength, Value(*row),
         IntervalText(*row),
         accuracy ? absl::StrFormat("%.0f %%", 100 * row->sequence_accuracy)
                  : "-",
         Short(static_cast<double>(row->parameters)),
         Short(row->flops_per_token),
         Short(static_cast<double>(row->state_bytes)) + "B",
         absl::StrCat(row->items.size(), row->partial ? " PARTIAL" : "")});
  }
  return table;
}

// Models by columns, in order of first appearance.
Table Overview(const std::vector<Row>& rows) {
  std::vector<std::string> columns, models;
  for (const Row& row : rows) {
    if (std::find(columns.begin(), columns.end(), row.column) ==
        columns.end()) {
      columns.push_back(row.column);
    }
    const std::string label = Label(row);
    if (std::find(models.begin(), models.end(), label) == models.end()) {
      models.push_back(label);
    }
  }
  std::sort(models.begin(), models.end());
  std::vector<Column> header = {{"model"}};
  for (const std::string& c : columns) header.push_back({c, Align::kRight});
  Table table(header);
  for (const std::string& model : models) {
    std::vector<std::string> cells = {model};
    for (const std::string& c : columns) {
      std::string cell = "";
      for (const Row& row : rows) {
        if (row.column == c && Label(row) == model) cell = Value(row);
      }
      cells.push_back(cell);
    }
    table.AddRow(cells);
  }
  return table;
}

// A column's values by loop count, for models that were evaluated at several.
Table ByLoops(const std::vector<const Row*>& ranked) {
  std::map<int64_t, int> loops;
  std::map<std::string, std::vector<const Row*>> models;
  for (const Row* row : ranked) {
    models[row->model].push_back(row);
    ++loops[row->loops];
  }
  std::vector<Column> header = {{"model"}, {"trained", Align::kRight}};
  for (const auto& [count, rows] : loops) {
    header.push_back({absl::StrCat("T = ", count), Align::kRight});
  }
  Table table(header);
  for (const auto& [model, rows] : models) {
    if (rows.size() < 2) continue;
    std::vector<std::string> cells = {model,
                                      absl::StrCat(rows[0]->trained_loops)};
    for (const auto& [count, unused] : loops) {
      std::string cell;
      for (const Row* row : rows) {
        if (row->loops == count) cell = Value(*row);
      }
      cells.push_back(cell);
    }
    table.AddRow(cells);
  }
  return table;
}

std::string Chance(const Row& row) {
  if (row.metric == Metric::kAccuracy) {
    return absl::StrFormat("guessing %.1f %%", 100 * row.chance);
  }
  return "guessing 8 bits per byte";
}

template <typename Render>
std::string Report(const std::vector<Row>& rows, const RunInfo& info,
                   const char* heading, const Render& render) {
  std::string text;
  std::vector<std::pair<std::string, std::string>> columns;  // name, title
  std::set<std::string> known;
  for (const TaskColumn& column : Columns()) {
    columns.push_back({column.name, column.title});
    known.insert(column.name);
  }
  for (const Row& row : rows) {
    if (known.insert(row.column).second) {
      columns.push_back({row.column, row.title});
    }
  }
  for (const auto& [name, title] : columns) {
    const std::vector<const Row*> ranked = Ranked(rows, name);
    if (ranked.empty()) continue;
    absl::StrAppend(&text, heading, name, ": ", title, " (", Chance(*ranked[0]),
                    ")\n\n", render(Ranking(ranked)), "\n");
    const Table by_loops = ByLoops(ranked);
    if (by_loops.rows() > 0) {
      absl::StrAppend(&text, "by loop count:\n\n", render(by_loops), "\n");
    }
  }
  absl::StrAppend(&text, heading, "Overview\n\n", render(Overview(rows)), "\n");
  absl::StrAppend(
      &text,
      absl::StrFormat("%d evaluations in %.1f s on %s; build %s\n"
                      "beta: write strength of the delta rule. Intervals: "
                      "bootstrap over examples. whole: sequences without an "
                      "error.\ngroup: entries of one letter cannot be told "
                      "from its first (paired bootstrap).\n",
                      rows.size(), info.seconds, info.machine, info.build));
  for (const Row& row : rows) {
    if (!row.partial) continue;
    absl::StrAppend(&text, "PARTIAL: a sample of the column's examples.\n");
    break;
  }
  return text;
}

// JSON has no NaN or infinity.
nlohmann::json Number(double x) {
  return std::isfinite(x) ? nlohmann::json(x) : nlohmann::json();
}

}  // namespace

std::string Short(double number) {
  for (const auto& [unit, suffix] :
       {std::pair{1e9, "G"}, {1e6, "M"}, {1e3, "k"}}) {
    if (number >= unit) {
      const double scaled = number / unit;
      return absl::StrFormat(scaled < 10 ? "%.2f%s" : "%.1f%s", scaled, suffix);
    }
  }
  return absl::StrFormat("%.0f", number);
}

std::string TextReport(const std::vector<Row>& rows, const RunInfo& info) {
  return Report(rows, info, "", [](const Table& t) { return t.ToText(); });
}

std::string MarkdownReport(const std::vector<Row>& rows, const RunInfo& info) {
  return absl::StrCat(
      "# Leaderboard\n\n",
      Report(rows, info, "## ", [](const Table& t) { return t.ToMarkdown(); }),
      "\nMade by: `", info.command, "`\n");
}

nlohmann::json JsonReport(const std::vector<Row>& rows, const RunInfo& info) {
  nlohmann::json report = {{"schema_version", kResultsSchemaVersion},
                           {"build", info.build},
                           {"machine", info.machine},
                           {"command", info.command},
                           {"seconds", info.seconds},
                           {"rows", nlohmann::json::array()}};
  for (const Row& row : rows) {
    nlohmann::json items = nlohmann::json::array();
    for (const ItemScore& item : row.items) {
      items.push_back(
          {item.index, item.scored, item.correct, Number(item.nll)});
    }
    report["rows"].push_back(
        {{"model", row.model},
         {"task", row.column},
         {"task_version", row.task_version},
         {"data_digest", row.data_digest},
         {"model_digest", row.model_digest},
         {"seed", row.seed},
         {"layer_pattern", row.layer_pattern},
         {"write_strength", row.write_strength},
         {"loops", row.loops},
         {"trained_loops", row.trained_loops},
         {"parameters", row.parameters},
         {"flops_per_token", Number(row.flops_per_token)},
         {"state_bytes", row.state_bytes},
         {"metric",
          row.metric == Metric::kAccuracy ? "accuracy" : "bits_per_byte"},
         {"higher_is_better", HigherIsBetter(row.metric)},
         {"value", Number(row.value)},
         {"low", Number(row.low)},
         {"high", Number(row.high)},
         {"chance", Number(row.chance)},
         {"sequence_accuracy", Number(row.sequence_accuracy)},
         {"partial", row.partial},
         {"seconds", row.seconds},
         {"item_fields", {"index", "scored", "correct", "nll"}},
         {"items", items}});
  }
  return report;
}

}  // namespace lt2::evals
