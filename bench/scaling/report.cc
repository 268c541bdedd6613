#include "bench/scaling/report.h"

#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace lt2::bench {
namespace {

using Cells = std::vector<std::string>;

std::string Line(const Cells& cells) {
  return absl::StrCat("| ", absl::StrJoin(cells, " | "), " |\n");
}

std::string Table(const Cells& header, const std::vector<Cells>& rows) {
  Cells rule(header.size(), "---:");
  rule[0] = ":---";
  std::string text = absl::StrCat(Line(header), Line(rule));
  for (const Cells& row : rows) absl::StrAppend(&text, Line(row));
  return text + "\n";
}

std::string Scaled(double value, const std::vector<std::string>& units) {
  size_t unit = 0;
  while (unit + 1 < units.size() && value >= 1000) {
    value /= 1000;
    ++unit;
  }
  const int decimals = value < 10 ? 2 : value < 100 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, units[unit]);
}

const Row* Find(const Results& results, const Cell& cell) {
  const auto found = results.rows.find(cell.Key());
  return found == results.rows.end() ? nullptr : &found->second;
}

// A cell of a table: what `show` says of a row that ran, else why there is
// nothing.
std::string Show(const Results& results, const Cell& cell,
                 const std::function<std::string(const Row&)>& show) {
  const Row* row = Find(results, cell);
  if (row == nullptr) return "pending";
  switch (row->status) {
    case Row::kOk:
      return show(*row);
    case Row::kOutOfMemory:
      return "OOM";
    case Row::kOverTime:
      return "over time";
    case Row::kError:
      break;
  }
  return "error";
}

std::string Time(const Row& row) {
  const auto median = MedianOf(row.samples);
  if (!median.ok()) return "-";
  const double half = (median->high - median->low) / 2;
  std::string text = ShortSeconds(median->median);
  // Too few samples have no interval worth showing.
  if (median->coverage >= 0.95) {
    absl::StrAppendFormat(&text, " ± %.0f %%", 100 * half / median->median);
  }
  return text;
}

// One table over lengths of each phase and T.
std::string TimeTables(const Results& results) {
  const Preset& preset = results.preset;
  std::string text;
  for (Phase phase : kPhases) {
    for (int64_t batch : preset.batches) {
      for (int64_t loops : preset.loops) {
        absl::StrAppend(&text, "### ", NameOf(phase), ", T = ", loops,
                        ", batch ", batch, "\n\n");
        Cells header = {"mixer"};
        for (int64_t length : preset.lengths) {
          header.push_back(absl::StrCat(length));
        }
        header.push_back("tokens/s at the largest");
        header.push_back("GFLOP/s there");
        std::vector<Cells> rows;
        for (const std::string& mixer : preset.mixers) {
          Cells row = {mixer};
          const Row* largest = nullptr;
          for (int64_t length : preset.lengths) {
            const Cell cell{mixer, length, loops, batch, phase};
            row.push_back(Show(results, cell, Time));
            const Row* found = Find(results, cell);
            if (found != nullptr && found->status == Row::kOk) largest = found;
          }
          if (largest == nullptr) {
            row.insert(row.end(), {"-", "-"});
          } else {
            const double seconds = MedianSeconds(*largest);
            row.push_back(
                absl::StrFormat("%.0f", TokensOf(*largest) / seconds));
            row.push_back(absl::StrFormat(
                "%.2f", static_cast<double>(largest->flops) / seconds / 1e9));
          }
          rows.push_back(row);
        }
        absl::StrAppend(&text, Table(header, rows));
      }
    }
  }
  return text;
}

std::string ExponentTables(const Results& results) {
  std::string text;
  for (const char* variable : {"length", "loops"}) {
    const bool length = std::string(variable) == "length";
    std::vector<Cells> rows;
    for (const Exponent& e : Exponents(results)) {
      if (e.variable != variable) continue;
      rows.push_back(
          {NameOf(e.phase), e.mixer, absl::StrCat(e.fixed),
           absl::StrCat(e.batch), absl::StrFormat("%.2f", e.law.exponent),
           std::isfinite(e.law.low)
               ? absl::StrFormat("%.2f to %.2f", e.law.low, e.law.high)
               : "-",
           absl::StrFormat("%.2f", e.flops.exponent),
           absl::StrCat(e.law.points)});
    }
    absl::StrAppend(
        &text, "## Exponent of time in ", variable, "\n\n",
        Table({"phase", "mixer", length ? "T" : "length", "batch", "exponent",
               "95 % interval", "of the FLOPs", "points"},
              rows));
  }
  return text;
}

std::string CrossoverTable(const Results& results) {
  std::vector<Cells> rows;
  for (const CrossoverRow& c : Crossovers(results)) {
    const Crossover& crossover = c.crossover;
    rows.push_back(
        {NameOf(c.phase), c.mixer, absl::StrCat(c.loops), absl::StrCat(c.batch),
         crossover.outcome == Crossover::kReached
             ? absl::StrFormat("%.0f", crossover.x)
         : crossover.outcome == Crossover::kNever  ? "not reached"
         : crossover.outcome == Crossover::kAlways ? "below the shortest"
                                                   : "-",
         crossover.outcome == Crossover::kUnknown
             ? "-"
             : absl::StrFormat("%.2f", crossover.ratio)});
  }
  return Table({"phase", "mixer", "T", "batch", "from length",
                "time / full at the longest"},
               rows);
}

std::string MemoryTable(const Results& results) {
  const Preset& preset = results.preset;
  const int64_t length = preset.lengths.back();
  std::vector<Cells> rows;
  for (const std::string& mixer : preset.mixers) {
    for (int64_t batch : preset.batches) {
      for (int64_t loops : preset.loops) {
        auto peak = [&](Phase phase) {
          return Show(results, {mixer, length, loops, batch, phase},
                      [](const Row& row) {
                        return ShortBytes(static_cast<double>(row.peak_bytes));
                      });
        };
        const Row* prefill =
            Find(results, {mixer, length, loops, batch, Phase::kPrefill});
        rows.push_back(
            {mixer, absl::StrCat(loops), absl::StrCat(batch),
             prefill == nullptr
                 ? "pending"
                 : ShortBytes(static_cast<double>(prefill->state_bytes)),
             peak(Phase::kTrain), peak(Phase::kPrefill), peak(Phase::kDecode)});
      }
    }
  }
  return Table({"mixer", "T", "batch", "states and caches", "peak of train",
                "peak of prefill", "peak of decode"},
               rows);
}

Panel LogPanel(const std::string& title, const std::string& x,
               const std::string& y) {
  Panel panel;
  panel.title = title;
  panel.x_label = x;
  panel.y_label = y;
  panel.log_x = panel.log_y = true;
  return panel;
}

// Panels of one quantity against length, a row of them for each phase.
Figure AgainstLength(const Results& results, const std::string& y,
                     const std::vector<Phase>& phases,
                     const std::function<double(const Row&)>& value) {
  const Preset& preset = results.preset;
  Figure figure;
  figure.columns = static_cast<int>(preset.loops.size());
  for (Phase phase : phases) {
    for (int64_t loops : preset.loops) {
      Panel panel =
          LogPanel(absl::StrCat(NameOf(phase), ", T = ", loops), "length", y);
      for (const std::string& mixer : preset.mixers) {
        Series series;
        series.name = mixer;
        for (int64_t length : preset.lengths) {
          const Row* row =
              Find(results, {mixer, length, loops, preset.batches[0], phase});
          if (row == nullptr || row->status != Row::kOk) continue;
          series.points.push_back({static_cast<double>(length), value(*row)});
        }
        panel.series.push_back(series);
      }
      figure.panels.push_back(panel);
    }
  }
  return figure;
}

// Time against T, at the largest length where every mixer ran with every T.
Figure AgainstLoops(const Results& results) {
  const Preset& preset = results.preset;
  Figure figure;
  figure.columns = 3;
  for (Phase phase : kPhases) {
    Panel panel = LogPanel(NameOf(phase), "loops T", "seconds");
    for (size_t i = preset.lengths.size(); i-- > 0;) {
      panel.title = absl::StrCat(NameOf(phase), ", length ", preset.lengths[i]);
      panel.series.clear();
      for (const std::string& mixer : preset.mixers) {
        const Points points = ByLoops(results, mixer, phase, preset.lengths[i],
                                      preset.batches[0]);
        if (points.size() < preset.loops.size()) break;
        panel.series.push_back({mixer, points});
      }
      if (panel.series.size() == preset.mixers.size()) break;
    }
    figure.panels.push_back(panel);
  }
  return figure;
}

}  // namespace

std::string ShortSeconds(double seconds) {
  return Scaled(seconds * 1e9, {"ns", "µs", "ms", "s"});
}

std::string ShortBytes(double bytes) {
  return Scaled(bytes, {"B", "kB", "MB", "GB", "TB"});
}

std::string ToMarkdown(const Results& results) {
  const Preset& preset = results.preset;
  std::map<Row::Status, int> counts;
  for (const auto& [key, row] : results.rows) ++counts[row.status];
  const size_t cells = CellsOf(preset).size();
  std::string text = absl::StrCat("# Scaling, preset ", preset.name, "\n\n");
  absl::StrAppend(&text, results.device, " (", results.processor, "), ",
                  results.threads, " threads, ", results.build, "\n\n    ",
                  results.command, "\n\n");
  absl::StrAppendFormat(&text,
                        "Load average at the start %.1f, at the end %.1f.\n\n",
                        results.load[0], results.load[1]);
  absl::StrAppendFormat(
      &text,
      "%d of %d cells: %d ran, %d over time, %d out of memory, %d errors; "
      "%.0f s in all. The model: `%s`.\n\n",
      results.rows.size(), cells, counts[Row::kOk], counts[Row::kOverTime],
      counts[Row::kOutOfMemory], counts[Row::kError], results.seconds,
      preset.model.dump());
  for (const auto& [key, row] : results.rows) {
    if (row.status == Row::kError) {
      absl::StrAppend(&text, "- ", key, ": ", row.message, "\n");
    }
  }
  absl::StrAppend(
      &text, ExponentTables(results), "## Where a mixer overtakes full\n\n",
      CrossoverTable(results), "## Memory at length ", preset.lengths.back(),
      "\n\n", MemoryTable(results),
      "## Time of a call\n\nMedian ± half of its 95 % interval, where there "
      "are samples enough for one.\n\n",
      TimeTables(results));
  text.pop_back();
  return text;
}

std::vector<std::pair<std::string, Figure>> Figures(const Results& results) {
  return {{"time_by_length.svg",
           AgainstLength(results, "seconds",
                         {Phase::kTrain, Phase::kPrefill, Phase::kDecode},
                         MedianSeconds)},
          {"time_by_loops.svg", AgainstLoops(results)},
          {"memory_by_length.svg",
           AgainstLength(results, "peak bytes",
                         {Phase::kTrain, Phase::kPrefill}, [](const Row& row) {
                           return static_cast<double>(row.peak_bytes);
                         })}};
}

}  // namespace lt2::bench
