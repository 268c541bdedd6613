#include "bench/scaling/report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/scaling/report_internal.h"

namespace lt2::bench {
namespace {

using internal::Any;
using internal::Find;
using internal::MixersOf;
using internal::TitleOf;

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
  const auto median = IntervalOf(row);
  if (!median.ok()) return "-";
  const double half = (median->high - median->low) / 2;
  std::string text = ShortSeconds(median->median);
  // Too few samples have no interval worth showing.
  if (median->coverage >= 0.95) {
    absl::StrAppendFormat(&text, " ± %.0f %%", 100 * half / median->median);
  }
  return text;
}

std::string Percent(double share) {
  return std::isfinite(share) ? absl::StrFormat("%.3g %%", 100 * share) : "-";
}

// The lengths with a row among these; `phase` and so on as above.
std::vector<int64_t> LengthsOf(const Results& results, Phase phase,
                               int64_t loops, int64_t batch) {
  std::vector<int64_t> lengths;
  for (int64_t length : results.preset.lengths) {
    for (const std::string& mixer : results.preset.mixers) {
      if (Find(results, {mixer, length, loops, batch, phase}) == nullptr) {
        continue;
      }
      lengths.push_back(length);
      break;
    }
  }
  return lengths;
}

// Calls `show` for each table that has something in it.
void ForTables(
    const Results& results,
    const std::function<void(Phase, int64_t loops, int64_t batch)>& show) {
  for (Phase phase : kPhases) {
    for (int64_t batch : results.preset.batches) {
      for (int64_t loops : results.preset.LoopsOf(phase)) {
        if (Any(results, phase, loops, batch)) show(phase, loops, batch);
      }
    }
  }
}

// One table over lengths of each phase, batch and T.
std::string TimeTables(const Results& results) {
  std::string text;
  ForTables(results, [&](Phase phase, int64_t loops, int64_t batch) {
    const std::vector<int64_t> lengths =
        LengthsOf(results, phase, loops, batch);
    absl::StrAppend(&text, "### ", TitleOf(phase, loops, batch), "\n\n");
    Cells header = {"mixer"};
    for (int64_t length : lengths) {
      header.push_back(absl::StrCat(length));
    }
    for (const char* column : {"tokens/s at the largest", "TFLOP/s there",
                               "of the GEMM", "GB/s", "of the copy"}) {
      header.push_back(column);
    }
    std::vector<Cells> rows;
    for (const std::string& mixer : MixersOf(results.preset, phase)) {
      Cells row = {mixer};
      const Row* largest = nullptr;
      for (int64_t length : lengths) {
        const Cell cell{mixer, length, loops, batch, phase};
        row.push_back(Show(results, cell, Time));
        const Row* found = Find(results, cell);
        if (found != nullptr && found->status == Row::kOk) largest = found;
      }
      if (largest == nullptr) {
        row.insert(row.end(), 5, "-");
      } else {
        const double seconds = MedianSeconds(*largest);
        const Shares shares = SharesOf(results, *largest);
        row.push_back(absl::StrFormat("%.0f", TokensOf(*largest) / seconds));
        row.push_back(absl::StrFormat(
            "%.3g", static_cast<double>(largest->flops) / seconds / 1e12));
        row.push_back(Percent(shares.flops));
        row.push_back(largest->moved_bytes == 0
                          ? "-"
                          : absl::StrFormat("%.3g", static_cast<double>(
                                                        largest->moved_bytes) /
                                                        seconds / 1e9));
        row.push_back(Percent(shares.bytes));
      }
      rows.push_back(row);
    }
    absl::StrAppend(&text, Table(header, rows));
  });
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

// Where the mixer of a row overtakes that of a column, one table for each
// phase, batch and T.
std::string CrossoverTables(const Results& results) {
  const Preset& preset = results.preset;
  std::map<std::string, std::string> entries;
  auto key = [](const std::string& mixer, const std::string& against,
                Phase phase, int64_t loops, int64_t batch) {
    return absl::StrJoin({mixer, against, NameOf(phase), absl::StrCat(loops),
                          absl::StrCat(batch)},
                         "/");
  };
  for (const CrossoverRow& c : Crossovers(results)) {
    const bool reached = c.crossover.outcome == Crossover::kReached;
    entries[key(c.mixer, c.against, c.phase, c.loops, c.batch)] =
        absl::StrFormat(
            "%s (x %.2f)",
            reached ? absl::StrFormat("%.0f", c.crossover.x) : "always",
            1 / c.crossover.ratio);
  }
  std::string text;
  ForTables(results, [&](Phase phase, int64_t loops, int64_t batch) {
    const std::vector<std::string> mixers = MixersOf(preset, phase);
    Cells header = {"overtakes"};
    header.insert(header.end(), mixers.begin(), mixers.end());
    std::vector<Cells> rows;
    bool any = false;
    for (const std::string& mixer : mixers) {
      Cells row = {mixer};
      for (const std::string& against : mixers) {
        const auto found =
            entries.find(key(mixer, against, phase, loops, batch));
        any |= found != entries.end();
        row.push_back(found == entries.end() ? "" : found->second);
      }
      rows.push_back(row);
    }
    if (!any) return;
    absl::StrAppend(&text, "### ", TitleOf(phase, loops, batch), "\n\n",
                    Table(header, rows));
  });
  return text;
}

// The fastest mixer at each length, by T.
std::string MapTables(const Results& results) {
  const Preset& preset = results.preset;
  std::string text;
  for (Phase phase : kPhases) {
    for (int64_t batch : preset.batches) {
      Cells header = {OfOperator(phase) ? "" : "T"};
      for (int64_t length : preset.lengths) {
        header.push_back(absl::StrCat(length));
      }
      std::vector<Cells> rows;
      for (int64_t loops : preset.LoopsOf(phase)) {
        if (!Any(results, phase, loops, batch)) continue;
        Cells cells = {OfOperator(phase) ? "operator" : absl::StrCat(loops)};
        for (int64_t length : preset.lengths) {
          const Row* best = nullptr;
          for (const std::string& mixer : preset.mixers) {
            const Row* row =
                Find(results, {mixer, length, loops, batch, phase});
            if (row == nullptr || row->status != Row::kOk) continue;
            if (best == nullptr || MedianSeconds(*row) < MedianSeconds(*best)) {
              best = row;
            }
          }
          cells.push_back(best == nullptr ? "-" : best->cell.mixer);
        }
        rows.push_back(cells);
      }
      if (rows.empty()) continue;
      absl::StrAppend(&text, "### ", NameOf(phase), ", batch ", batch, "\n\n",
                      Table(header, rows));
    }
  }
  return text;
}

std::string FrontierTable(const Results& results) {
  std::vector<Cells> rows;
  for (const FrontierRow& f : Frontiers(results)) {
    rows.push_back({NameOf(f.phase), f.mixer, absl::StrCat(f.loops),
                    absl::StrCat(f.batch),
                    f.longest > 0 ? absl::StrCat(f.longest) : "none",
                    f.out_of_memory > 0 ? absl::StrCat(f.out_of_memory)
                    : f.untried         ? "pending"
                                        : "-"});
  }
  return Table(
      {"phase", "mixer", "T", "batch", "longest that ran", "out of memory at"},
      rows);
}

// At the longest length that has rows.
std::string MemoryTable(const Results& results) {
  const Preset& preset = results.preset;
  int64_t length = preset.lengths[0];
  for (const auto& [key, row] : results.rows) {
    if (row.status == Row::kOk && !OfOperator(row.cell.phase)) {
      length = std::max(length, row.cell.length);
    }
  }
  std::vector<Cells> rows;
  for (const std::string& mixer : preset.mixers) {
    for (int64_t batch : preset.batches) {
      for (int64_t loops : preset.loops) {
        bool any = false;
        auto show = [&](Phase phase, bool peak) {
          const Cell cell{mixer, length, loops, batch, phase};
          any |= Find(results, cell) != nullptr;
          return Show(results, cell, [peak](const Row& row) {
            return ShortBytes(
                static_cast<double>(peak ? row.peak_bytes : row.state_bytes));
          });
        };
        const Cells row = {mixer,
                           absl::StrCat(loops),
                           absl::StrCat(batch),
                           show(Phase::kDecode, false),
                           show(Phase::kTrain, true),
                           show(Phase::kPrefill, true),
                           show(Phase::kDecode, true)};
        if (any) rows.push_back(row);
      }
    }
  }
  return absl::StrCat(
      "At length ", length, ".\n\n",
      Table({"mixer", "T", "batch", "states and caches", "peak of train",
             "peak of prefill", "peak of decode"},
            rows));
}

// What is missing, by phase.
std::string PendingText(const Results& results) {
  std::string parts;
  for (Phase phase : kPhases) {
    int pending = 0, cells = 0;
    std::map<int64_t, int> by_batch;
    for (const Cell& cell : CellsOf(results.preset)) {
      if (cell.phase != phase) continue;
      ++cells;
      const Row* row = Find(results, cell);
      if (row != nullptr && row->status != Row::kError) continue;
      ++pending;
      ++by_batch[cell.batch];
    }
    if (pending == 0) continue;
    absl::StrAppend(&parts, "- ", NameOf(phase), ": ", pending, " of ", cells,
                    " (");
    const char* separator = "";
    for (const auto& [batch, count] : by_batch) {
      absl::StrAppend(&parts, separator, "batch ", batch, ": ", count);
      separator = ", ";
    }
    absl::StrAppend(&parts, ")\n");
  }
  return parts.empty() ? "" : absl::StrCat("## Pending cells\n\n", parts, "\n");
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
                  results.threads, " threads, ", results.build,
                  preset.cpu_clock
                      ? "; times are the processor's, not the wall clock's"
                      : "",
                  "\n\n");
  std::vector<Cells> runs;
  for (const RunInfo& run : results.runs) {
    runs.push_back(
        {absl::StrCat("`", run.command, "`"),
         absl::StrFormat("%.0f", run.seconds),
         absl::StrFormat("%.1f, %.1f", run.load[0], run.load[1]),
         absl::StrFormat("%.3g TFLOP/s (%s)", run.ceilings.flops_per_s / 1e12,
                         run.ceilings.gemm),
         absl::StrFormat("%.4g GB/s (%s)", run.ceilings.bytes_per_s / 1e9,
                         run.ceilings.copy),
         run.ceilings.clock_mhz > 0
             ? absl::StrCat(run.ceilings.clock_mhz, " MHz")
             : "-"});
  }
  absl::StrAppend(&text, Table({"run", "seconds", "load average", "GEMM",
                                "copy", "clock then"},
                               runs));
  int clock_low = 0, clock_high = 0;
  size_t processes = 0;
  for (const auto& [key, row] : results.rows) {
    processes = std::max(processes, row.process_medians.size());
    for (int mhz : row.timing.clock_mhz) {
      if (mhz == 0) continue;
      clock_low = clock_low == 0 ? mhz : std::min(clock_low, mhz);
      clock_high = std::max(clock_high, mhz);
    }
  }
  if (clock_high > 0) {
    absl::StrAppend(&text, "Clock around the rows: ", clock_low, " to ",
                    clock_high, " MHz. ");
  }
  absl::StrAppendFormat(
      &text,
      "%d of %d cells: %d ran, %d over time, %d out of memory, %d errors; %.0f "
      "s in all; medians of up to %d processes. The model: `%s`.\n\n",
      results.rows.size(), cells, counts[Row::kOk], counts[Row::kOverTime],
      counts[Row::kOutOfMemory], counts[Row::kError], results.seconds(),
      processes, preset.model.dump());
  for (const auto& [key, row] : results.rows) {
    if (row.status == Row::kError) {
      absl::StrAppend(&text, "- ", key, ": ", row.message, "\n");
    }
  }
  if (counts[Row::kError] > 0) absl::StrAppend(&text, "\n");
  absl::StrAppend(
      &text, PendingText(results), ExponentTables(results),
      "## The fastest mixer\n\n", MapTables(results),
      "## Crossovers\n\nThe length from which the mixer of the row is faster "
      "than that of the column, and how many times at the longest length of "
      "both.\n\n",
      CrossoverTables(results), "## Frontier\n\n", FrontierTable(results),
      "## Memory\n\n", MemoryTable(results),
      "## Time of a call\n\nMedian ± half of its 95 % interval, where there "
      "are samples enough for one.\n\n",
      TimeTables(results));
  text.pop_back();
  return text;
}

}  // namespace lt2::bench
