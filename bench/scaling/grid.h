// What the scaling benchmark measures: cells of phase x mixer x length x loops
// x batch.

#ifndef LT2_BENCH_SCALING_GRID_H_
#define LT2_BENCH_SCALING_GRID_H_

#include <string>
#include <vector>

#include "kernels/core/tensor.h"
#include "model/config/config.h"

namespace lt2::bench {

enum class Phase {
  // The mixer's operator alone, at the shapes that the mixer gives it. It knows
  // no loops, and mixers joined by '+' have none.
  kForward,
  kForwardBackward,
  // The whole model.
  kPrefill,  // a prompt of `length` into an empty state, all logits
  kDecode,   // one token for each sequence after `length` of them
  kTrain,    // an optimiser's step: forward, backward, clip, AdamW
};
inline constexpr Phase kPhases[] = {Phase::kForward, Phase::kForwardBackward,
                                    Phase::kPrefill, Phase::kDecode,
                                    Phase::kTrain};
std::string NameOf(Phase phase);
inline bool OfOperator(Phase phase) {
  return phase == Phase::kForward || phase == Phase::kForwardBackward;
}

struct Cell {
  std::string mixer;
  int64_t length = 0, loops = 0, batch = 1;
  Phase phase = Phase::kTrain;

  std::string Key() const;  // "gdn/1024/4/train/1"
};

// Cells that are measured before those of later tiers: lists that name nothing
// mean all.
struct Tier {
  std::vector<Phase> phases;
  std::vector<int64_t> lengths, loops, batches;
  bool Has(const Cell& cell) const;
};

struct Preset {
  std::string name;
  Device device = Device::kCPU;
  // Names of the registry (MixerNames), or "a+b": layers of both in turn.
  std::vector<std::string> mixers;
  std::vector<int64_t> lengths, loops, batches;  // rising
  // The model that all mixers share, without layer_pattern.
  nlohmann::json model;
  std::vector<Tier> tiers;  // what no tier has comes last

  double row_seconds = 0;    // for the samples of a row
  int max_samples = 0;       // of a row
  double call_seconds = 0;   // rows whose single call would take longer: none
  double total_seconds = 0;  // of the program; what is left, a next run does
  // Medians of that many processes make a row whole; each run adds one to the
  // rows that have fewer.
  int processes = 1;
  // On the CPU: time is the processor's, not the wall clock's.
  bool cpu_clock = false;
  // Of the ceilings: matrices n x n, and what a copy reads.
  int64_t ceiling_n = 8192, ceiling_bytes = int64_t{1} << 30;

  // Of a phase: an operator knows no loops.
  std::vector<int64_t> LoopsOf(Phase phase) const {
    return OfOperator(phase) ? std::vector<int64_t>{1} : loops;
  }
};

// "cpu", "paper" (a GPU), "peers" (a GPU: what //bench:peers compares) or
// "tiny" (for tests).
absl::StatusOr<Preset> MakePreset(absl::string_view name);

// The configuration of a mixer of the preset; InvalidArgument names those that
// exist.
absl::StatusOr<model::ModelConfig> ConfigOf(const Preset& preset,
                                            const std::string& mixer);

// All cells: by tier, then operators before models, mixer, batch, loops and
// length; shorter before longer, so that the time of a row can be foretold,
// prefill before decode.
std::vector<Cell> CellsOf(const Preset& preset);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_GRID_H_
