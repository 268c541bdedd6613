#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/scaling/report.h"
#include "bench/scaling/report_internal.h"

namespace lt2::bench {
namespace internal {

const Row* Find(const Results& results, const Cell& cell) {
  const auto found = results.rows.find(cell.Key());
  return found == results.rows.end() ? nullptr : &found->second;
}

std::string TitleOf(Phase phase, int64_t loops, int64_t batch) {
  return absl::StrCat(OfOperator(phase) ? "operator, " : "", NameOf(phase),
                      OfOperator(phase) ? "" : absl::StrCat(", T = ", loops),
                      ", batch ", batch);
}

std::vector<std::string> MixersOf(const Preset& preset, Phase phase) {
  std::vector<std::string> mixers;
  for (const std::string& mixer : preset.mixers) {
    if (!OfOperator(phase) || mixer.find('+') == std::string::npos) {
      mixers.push_back(mixer);
    }
  }
  return mixers;
}

bool Any(const Results& results, Phase phase, int64_t loops, int64_t batch) {
  for (const auto& [key, row] : results.rows) {
    if (row.cell.phase == phase && row.cell.loops == loops &&
        row.cell.batch == batch) {
      return true;
    }
  }
  return false;
}

}  // namespace internal

namespace {

using internal::Any;
using internal::Find;
using internal::MixersOf;
using internal::TitleOf;

Panel LogPanel(const std::string& title, const std::string& x,
               const std::string& y) {
  Panel panel;
  panel.title = title;
  panel.x_label = x;
  panel.y_label = y;
  panel.log_x = panel.log_y = true;
  return panel;
}

// The T of a figure: the first, and the last that has rows.
std::vector<int64_t> ShownLoops(const Results& results, Phase phase) {
  std::vector<int64_t> shown;
  for (int64_t loops : results.preset.LoopsOf(phase)) {
    if (!Any(results, phase, loops, results.preset.batches[0])) continue;
    if (shown.size() == 2) shown.pop_back();
    shown.push_back(loops);
  }
  return shown;
}

// Panels of one quantity against length.
Figure AgainstLength(const Results& results, const std::string& y,
                     const std::vector<Phase>& phases,
                     const std::function<double(const Row&)>& value) {
  const Preset& preset = results.preset;
  Figure figure;
  for (Phase phase : phases) {
    for (int64_t loops : ShownLoops(results, phase)) {
      Panel panel =
          LogPanel(TitleOf(phase, loops, preset.batches[0]), "length", y);
      for (const std::string& mixer : MixersOf(preset, phase)) {
        Series series;
        series.name = mixer;
        for (int64_t length : preset.lengths) {
          const Row* row =
              Find(results, {mixer, length, loops, preset.batches[0], phase});
          if (row == nullptr || row->status != Row::kOk) continue;
          series.points.push_back({static_cast<double>(length), value(*row)});
        }
        if (!series.points.empty()) panel.series.push_back(series);
      }
      if (!panel.series.empty()) figure.panels.push_back(panel);
    }
  }
  return figure;
}

// Time against T, at the largest length where most mixers ran with several T.
Figure AgainstLoops(const Results& results) {
  const Preset& preset = results.preset;
  Figure figure;
  figure.columns = 3;
  for (Phase phase : {Phase::kTrain, Phase::kPrefill, Phase::kDecode}) {
    Panel best;
    for (int64_t length : preset.lengths) {
      Panel panel = LogPanel(absl::StrCat(NameOf(phase), ", length ", length),
                             "loops T", "seconds");
      for (const std::string& mixer : preset.mixers) {
        const Points points =
            ByLoops(results, mixer, phase, length, preset.batches[0]);
        if (points.size() > 1) panel.series.push_back({mixer, points});
      }
      if (panel.series.size() >= best.series.size()) best = panel;
    }
    if (!best.series.empty()) figure.panels.push_back(best);
  }
  return figure;
}

// The crossover map: for each phase, over T, the length from which a mixer is
// faster than full. Shortest or longest length of the grid: always, or never.
Figure CrossoverMap(const Results& results) {
  const Preset& preset = results.preset;
  Figure figure;
  for (Phase phase : {Phase::kTrain, Phase::kPrefill, Phase::kDecode}) {
    Panel panel = LogPanel(
        absl::StrCat(NameOf(phase), ": faster than full above the line"),
        "loops T", "length");
    for (const std::string& mixer : preset.mixers) {
      if (mixer == "full") continue;
      Series series;
      series.name = mixer;
      for (int64_t loops : preset.loops) {
        const Points base =
            ByLength(results, "full", phase, loops, preset.batches[0]);
        const Crossover c = FindCrossover(
            base, ByLength(results, mixer, phase, loops, preset.batches[0]));
        if (c.outcome == Crossover::kUnknown) continue;
        const double x = c.outcome == Crossover::kReached ? c.x
                         : c.outcome == Crossover::kAlways
                             ? base.front().first
                             : 2 * base.back().first;
        series.points.push_back({static_cast<double>(loops), x});
      }
      if (!series.points.empty()) panel.series.push_back(series);
    }
    if (!panel.series.empty()) figure.panels.push_back(panel);
  }
  return figure;
}

}  // namespace

std::vector<std::pair<std::string, Figure>> Figures(const Results& results) {
  std::vector<std::pair<std::string, Figure>> figures = {
      {"time_by_length.svg",
       AgainstLength(results, "seconds",
                     {Phase::kPrefill, Phase::kDecode, Phase::kTrain},
                     MedianSeconds)},
      {"operators.svg",
       AgainstLength(results, "seconds",
                     {Phase::kForward, Phase::kForwardBackward},
                     MedianSeconds)},
      {"time_by_loops.svg", AgainstLoops(results)},
      {"crossovers.svg", CrossoverMap(results)},
      {"memory_by_length.svg",
       AgainstLength(results, "peak bytes", {Phase::kTrain, Phase::kPrefill},
                     [](const Row& row) {
                       return static_cast<double>(row.peak_bytes);
                     })}};
  std::vector<std::pair<std::string, Figure>> drawn;
  for (auto& figure : figures) {
    if (!figure.second.panels.empty()) drawn.push_back(std::move(figure));
  }
  return drawn;
}

}  // namespace lt2::bench
