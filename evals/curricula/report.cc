#include "evals/curricula/report.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "evals/stats/stats.h"

namespace lt2::evals {
namespace {

std::string Text(double value, Measure measure) {
  if (measure == Measure::kAccuracy) {
    return absl::StrFormat("%.1f%%", 100 * value);
  }
  return value == static_cast<double>(static_cast<int64_t>(value))
             ? absl::StrFormat("%.0f", value)
             : absl::StrFormat("%.1f", value);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::string Cell(const Runs& runs, Measure measure) {
  const CellValue value = ValueOfCell(runs, measure);
  std::vector<std::string> notes;
  if (value.partial > 0)
    notes.push_back(absl::StrCat(value.partial, " partial"));
  if (value.failed > 0) notes.push_back(absl::StrCat(value.failed, " failed"));
  std::string text = "-";
  if (value.seeds > 0) {
    text = Text(value.median, measure);
    if (value.low != value.high) {
      absl::StrAppend(&text, " [", Text(value.low, measure), "..",
                      Text(value.high, measure), "]");
    }
    absl::StrAppend(&text, " n=", value.seeds);
  }
  if (!notes.empty()) {
    absl::StrAppend(&text, " (", absl::StrJoin(notes, ", "), ")");
  }
  return text;
}

// Rows of the table in the order of their first run.
std::vector<const RunOutcome*> FirstOfRows(const Results& results) {
  std::vector<const RunOutcome*> rows;
  for (const RunOutcome& run : results.runs) {
    const bool known = std::any_of(
        rows.begin(), rows.end(),
        [&](const RunOutcome* r) { return r->label() == run.label(); });
    if (!known) rows.push_back(&run);
  }
  return rows;
}

Runs CellRuns(const Results& results, const std::string& label,
              int64_t column) {
  Runs runs;
  for (const RunOutcome& run : results.runs) {
    if (run.label() == label && run.column == column) runs.push_back(&run);
  }
  return runs;
}

std::string Heading(const std::string& text, bool markdown) {
  return markdown ? absl::StrCat("## ", text, "\n\n")
                  : absl::StrCat(text, "\n\n");
}

}  // namespace

double ValueOf(const RunOutcome& run, Measure measure) {
  if (measure == Measure::kStage) return static_cast<double>(run.highest_stage);
  if (run.tests.empty()) return run.accuracy;
  double sum = 0;
  for (const TestOutcome& test : run.tests) sum += test.accuracy;
  return sum / static_cast<double>(run.tests.size());
}

SuccessCount CountSuccesses(const Runs& runs, Measure measure, double success) {
  SuccessCount count;
  for (const RunOutcome* run : runs) {
    const bool begun = run->status != RunStatus::kPending;
    const bool reached = begun && ValueOf(*run, measure) >= success;
    count.reached += reached;
    count.decided += reached || run->status == RunStatus::kDone;
  }
  return count;
}

CellValue ValueOfCell(const Runs& runs, Measure measure) {
  CellValue cell;
  std::vector<double> values;
  for (const RunOutcome* run : runs) {
    cell.failed += run->status == RunStatus::kFailed;
    if (run->status != RunStatus::kDone && run->status != RunStatus::kPartial) {
      continue;
    }
    cell.partial += run->status == RunStatus::kPartial;
    values.push_back(ValueOf(*run, measure));
  }
  cell.seeds = static_cast<int>(values.size());
  if (values.empty()) return cell;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  cell.low = *low;
  cell.high = *high;
  cell.median = Median(values);
  return cell;
}

Table MainTable(const Results& results) {
  const auto rows = FirstOfRows(results);
  const bool axis = std::any_of(rows.begin(), rows.end(), [](const auto* row) {
    return !row->axis.empty();
  });
  std::vector<Column> columns = {{"model"}};
  if (axis) columns.push_back({"size"});
  columns.push_back({"write strength"});
  for (const int64_t column : results.columns) {
    columns.push_back({absl::StrCat(results.column_name, "=", column)});
  }
  Table table(columns);
  for (const RunOutcome* row : rows) {
    std::vector<std::string> cells = {row->row};
    if (axis) cells.push_back(row->axis);
    cells.push_back(row->write_strength);
    for (const int64_t column : results.columns) {
      cells.push_back(
          Cell(CellRuns(results, row->label(), column), results.measure));
    }
    table.AddRow(cells);
  }
  return table;
}

Table SuccessTable(const Results& results, double success) {
  const Align right = Align::kRight;
  Table table({{"model"},
               {results.column_name, right},
               {"(0,1)", right},
               {"(0,2)", right},
               {"p", right},
               {"q", right}});
  if (success <= 0) return table;
  std::vector<std::vector<std::string>> rows;
  std::vector<double> p_values;
  for (const RunOutcome* row : FirstOfRows(results)) {
    if (row->write_strength != "(0,2)") continue;
    RunOutcome twin = *row;
    twin.write_strength = "(0,1)";
    for (const int64_t column : results.columns) {
      const SuccessCount base = CountSuccesses(
          CellRuns(results, twin.label(), column), results.measure, success);
      const SuccessCount head = CountSuccesses(
          CellRuns(results, row->label(), column), results.measure, success);
      const auto fisher =
          FisherExact(base.reached, base.decided - base.reached, head.reached,
                      head.decided - head.reached);
      if (base.decided == 0 || head.decided == 0 || !fisher.ok()) continue;
      const std::string name =
          row->axis.empty() ? row->row : absl::StrCat(row->row, " ", row->axis);
      rows.push_back({name, absl::StrCat(column),
                      absl::StrCat(base.reached, "/", base.decided),
                      absl::StrCat(head.reached, "/", head.decided)});
      p_values.push_back(fisher->two_sided);
    }
  }
  const auto q_values = AdjustForFalseDiscoveries(p_values);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].push_back(absl::StrFormat("%.4f", p_values[i]));
    rows[i].push_back(q_values.ok() ? absl::StrFormat("%.4f", (*q_values)[i])
                                    : "-");
    table.AddRow(rows[i]);
  }
  return table;
}

Table RunTable(const Results& results) {
  const Align right = Align::kRight;
  Table table({{"run"},
               {"status"},
               {"stage", right},
               {"n", right},
               {"steps", right},
               {"seconds", right},
               {"accuracy", right},
               {"steps of each stage (accuracy where not solved)"}});
  for (const RunOutcome& run : results.runs) {
    if (run.status == RunStatus::kPending) continue;
    std::vector<std::string> stages;
    for (const StageOutcome& s : run.stages) {
      std::string text = s.number == 0 ? "w:" : absl::StrCat(s.number, ":");
      absl::StrAppend(&text, s.steps);
      if (!s.solved) absl::StrAppendFormat(&text, " (%.3f)", s.accuracy);
      stages.push_back(text);
    }
    for (const TestOutcome& t : run.tests) {
      stages.push_back(absl::StrFormat("test %.3f", t.accuracy));
    }
    std::string status = Name(run.status);
    if (!run.reason.empty()) absl::StrAppend(&status, ": ", run.reason);
    table.AddRow({run.name, status, absl::StrCat(run.highest_stage),
                  absl::StrCat(run.n_max), absl::StrCat(run.steps),
                  absl::StrFormat("%.0f", run.seconds),
                  absl::StrFormat("%.3f", run.accuracy),
                  absl::StrJoin(stages, " ")});
  }
  return table;
}

std::string Report(const Results& results, double success, bool markdown) {
  if (success <= 0) success = results.success;
  const auto render = [&](const Table& table) {
    return markdown ? table.ToMarkdown() : table.ToText();
  };
  int64_t counts[4] = {};
  for (const RunOutcome& run : results.runs) {
    ++counts[static_cast<int>(run.status)];
  }
  std::string text = markdown ? absl::StrCat("# ", results.preset, "\n\n") : "";
  absl::StrAppend(&text, results.title, "\n");
  absl::StrAppendFormat(
      &text, "%d runs: %d done, %d partial, %d failed, %d pending.\n\n",
      results.runs.size(), counts[static_cast<int>(RunStatus::kDone)],
      counts[static_cast<int>(RunStatus::kPartial)],
      counts[static_cast<int>(RunStatus::kFailed)],
      counts[static_cast<int>(RunStatus::kPending)]);
  absl::StrAppend(&text,
                  Heading(results.measure == Measure::kStage
                              ? "Highest stage solved, median over seeds "
                                "[smallest..largest]; that of a partial run "
                                "is a lower bound"
                              : "Accuracy, median over seeds "
                                "[smallest..largest]",
                          markdown),
                  render(MainTable(results)), "\n");
  const Table successes = SuccessTable(results, success);
  if (successes.rows() > 0) {
    absl::StrAppend(
        &text,
        Heading(absl::StrCat(results.measure == Measure::kStage
                                 ? absl::StrFormat(
                                       "Seeds that reached stage %g", success)
                                 : absl::StrFormat("Seeds that reached %g %%",
                                                   100 * success),
                             " by write strength, Fisher's exact test"),
                markdown),
        render(successes), "\n");
  }
  const Table runs = RunTable(results);
  if (runs.rows() > 0) {
    absl::StrAppend(&text, Heading("Runs", markdown), render(runs));
  }
  return text;
}

}  // namespace lt2::evals
