// What the scaling benchmark measures: cells of mixer x length x loops x phase
// x batch.

#ifndef LT2_BENCH_SCALING_GRID_H_
#define LT2_BENCH_SCALING_GRID_H_

#include <string>
#include <vector>

#include "kernels/core/tensor.h"
#include "model/config/config.h"

namespace lt2::bench {

enum class Phase {
  kTrain,    // forward and backward with the loss, without the optimiser
  kPrefill,  // a prompt of `length` into an empty state, all logits
  kDecode,   // one token for each sequence after `length` of them
};
inline constexpr Phase kPhases[] = {Phase::kTrain, Phase::kPrefill,
                                    Phase::kDecode};
std::string NameOf(Phase phase);

struct Cell {
  std::string mixer;
  int64_t length = 0, loops = 0, batch = 1;
  Phase phase = Phase::kTrain;

  std::string Key() const;  // "gdn/1024/4/train/1"
};

struct Preset {
  std::string name;
  Device device = Device::kCPU;
  // Names of the registry (MixerNames), or "a+b": layers of both in turn.
  std::vector<std::string> mixers;
  std::vector<int64_t> lengths, loops, batches;  // rising
  // The model that all mixers share, without layer_pattern.
  nlohmann::json model;

  double row_seconds = 0;    // for the samples of a row
  int max_samples = 0;       // of a row
  double call_seconds = 0;   // rows whose single call would take longer: none
  double total_seconds = 0;  // of the program; what is left, a next run does
};

// "cpu", "paper" (a GPU) or "tiny" (for tests).
absl::StatusOr<Preset> MakePreset(absl::string_view name);

// The configuration of a mixer of the preset; InvalidArgument names those that
// exist.
absl::StatusOr<model::ModelConfig> ConfigOf(const Preset& preset,
                                            const std::string& mixer);

// All cells: by mixer, batch, loops and length; shorter before longer, so that
// the time of a row can be foretold, prefill before decode.
std::vector<Cell> CellsOf(const Preset& preset);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_GRID_H_
