#include "bench/scaling/results.h"

#include <cmath>
#include <functional>
#include <utility>

namespace lt2::bench {
namespace {

const Row* Find(const Results& results, const Cell& cell) {
  const auto found = results.rows.find(cell.Key());
  if (found == results.rows.end() || found->second.status != Row::kOk) {
    return nullptr;
  }
  return &found->second;
}

Points Gather(const Results& results, const std::vector<int64_t>& values,
              bool flops, const std::function<Cell(int64_t)>& cell) {
  Points points;
  for (int64_t value : values) {
    const Row* row = Find(results, cell(value));
    if (row == nullptr) continue;
    points.push_back(
        {static_cast<double>(value),
         flops ? static_cast<double>(row->flops) : MedianSeconds(*row)});
  }
  return points;
}

}  // namespace

double Results::seconds() const {
  double sum = 0;
  for (const RunInfo& run : runs) sum += run.seconds;
  return sum;
}

absl::StatusOr<MedianInterval> IntervalOf(const Row& row) {
  return MedianOf(row.process_medians.size() > 1 ? row.process_medians
                                                 : row.samples);
}

double MedianSeconds(const Row& row) {
  const auto median = IntervalOf(row);
  return median.ok() ? median->median : std::nan("");
}

Shares SharesOf(const Results& results, const Row& row) {
  Shares shares = {std::nan(""), std::nan("")};
  if (row.run >= static_cast<int>(results.runs.size())) return shares;
  const Ceilings& ceilings = results.runs[row.run].ceilings;
  const double seconds = MedianSeconds(row);
  if (row.flops > 0 && ceilings.flops_per_s > 0) {
    shares.flops =
        static_cast<double>(row.flops) / seconds / ceilings.flops_per_s;
  }
  if (row.moved_bytes > 0 && ceilings.bytes_per_s > 0) {
    shares.bytes =
        static_cast<double>(row.moved_bytes) / seconds / ceilings.bytes_per_s;
  }
  return shares;
}

double TokensOf(const Row& row) {
  return static_cast<double>(row.cell.batch * (row.cell.phase == Phase::kDecode
                                                   ? 1
                                                   : row.cell.length));
}

Points ByLength(const Results& results, const std::string& mixer, Phase phase,
                int64_t loops, int64_t batch) {
  return Gather(results, results.preset.lengths, false, [&](int64_t length) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

Points FlopsByLength(const Results& results, const std::string& mixer,
                     Phase phase, int64_t loops, int64_t batch) {
  return Gather(results, results.preset.lengths, true, [&](int64_t length) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

Points ByLoops(const Results& results, const std::string& mixer, Phase phase,
               int64_t length, int64_t batch) {
  return Gather(results, results.preset.loops, false, [&](int64_t loops) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

std::vector<Exponent> Exponents(const Results& results) {
  const Preset& preset = results.preset;
  std::vector<Exponent> exponents;
  for (Phase phase : kPhases) {
    for (const std::string& mixer : preset.mixers) {
      for (int64_t batch : preset.batches) {
        for (int64_t loops : preset.LoopsOf(phase)) {
          const auto law = FitPowerLaw(Largest(
              ByLength(results, mixer, phase, loops, batch), kFitPoints));
          const auto flops = FitPowerLaw(Largest(
              FlopsByLength(results, mixer, phase, loops, batch), kFitPoints));
          if (!law.ok() || !flops.ok()) continue;
          exponents.push_back(
              {"length", mixer, phase, loops, batch, *law, *flops});
        }
        if (OfOperator(phase)) continue;
        // The length with the most T, the largest of those.
        Points most;
        int64_t length = 0;
        for (int64_t l : preset.lengths) {
          const Points points = ByLoops(results, mixer, phase, l, batch);
          if (points.size() < most.size()) continue;
          most = points;
          length = l;
        }
        const auto law = FitPowerLaw(most);
        Points flops_points;
        for (const auto& [loops, seconds] : most) {
          const Row* row =
              Find(results,
                   {mixer, length, static_cast<int64_t>(loops), batch, phase});
          flops_points.push_back({loops, static_cast<double>(row->flops)});
        }
        const auto flops = FitPowerLaw(flops_points);
        if (!law.ok() || !flops.ok()) continue;
        exponents.push_back(
            {"loops", mixer, phase, length, batch, *law, *flops});
      }
    }
  }
  return exponents;
}

std::vector<CrossoverRow> Crossovers(const Results& results) {
  const Preset& preset = results.preset;
  std::vector<CrossoverRow> rows;
  for (Phase phase : kPhases) {
    for (int64_t batch : preset.batches) {
      for (int64_t loops : preset.LoopsOf(phase)) {
        for (size_t i = 0; i < preset.mixers.size(); ++i) {
          for (size_t j = i + 1; j < preset.mixers.size(); ++j) {
            const std::string *slow = &preset.mixers[i],
                              *quick = &preset.mixers[j];
            auto cross = [&] {
              return FindCrossover(
                  ByLength(results, *slow, phase, loops, batch),
                  ByLength(results, *quick, phase, loops, batch));
            };
            Crossover crossover = cross();
            if (crossover.outcome == Crossover::kUnknown) continue;
            if (crossover.outcome == Crossover::kNever) {
              std::swap(slow, quick);
              crossover = cross();
            }
            rows.push_back({*quick, *slow, phase, loops, batch, crossover});
          }
        }
      }
    }
  }
  return rows;
}

std::vector<FrontierRow> Frontiers(const Results& results) {
  const Preset& preset = results.preset;
  std::vector<FrontierRow> rows;
  for (Phase phase : {Phase::kTrain, Phase::kPrefill, Phase::kDecode}) {
    for (const std::string& mixer : preset.mixers) {
      for (int64_t loops : preset.loops) {
        for (int64_t batch : preset.batches) {
          FrontierRow frontier{mixer, loops, batch, phase};
          bool any = false;
          for (int64_t length : preset.lengths) {
            const auto found = results.rows.find(
                Cell{mixer, length, loops, batch, phase}.Key());
            if (found == results.rows.end()) {
              frontier.untried = frontier.out_of_memory == 0;
              continue;
            }
            any = true;
            const Row& row = found->second;
            if (row.status == Row::kOk) frontier.longest = length;
            if (row.status == Row::kOutOfMemory &&
                frontier.out_of_memory == 0) {
              frontier.out_of_memory = length;
            }
          }
          if (any) rows.push_back(frontier);
        }
      }
    }
  }
  return rows;
}

}  // namespace lt2::bench
