// A training run: data, steps, evaluation, checkpoints, and what it tells.
//
//   out/log.jsonl    one JSON object a step, evaluation, solved stage and test,
//                    and the reason if the run ended before its last step
//   out/last/        the checkpoint to resume from
//   out/final/       weights in bf16 and the configuration, when it is done
//
// A run killed at any moment and resumed reaches the same bits as one that was
// never interrupted: the state is the parameters, the moments, the step and the
// index of the next example; everything else is a function of them.

#ifndef LT2_TOOLS_TRAINING_TRAINER_H_
#define LT2_TOOLS_TRAINING_TRAINER_H_

#include <atomic>
#include <string>

#include "tools/training/train_config.h"

namespace lt2::tools {

struct RunOptions {
  std::string out;
  Device device = Device::kCPU;
  int threads = 1;
  bool resume = false;
  // Set from a signal handler: finish the step, save, return.
  const std::atomic<bool>* stop = nullptr;
  // Peak of the device in FLOP/s for MFU; 0 = by name, if known.
  double peak_flops = 0;
  // Wall-clock seconds after which the run ends as if its steps were done; 0 =
  // none. What it reaches then depends on the machine.
  double time_limit = 0;
  bool quiet = false;  // no lines for people
};

struct RunResult {
  int64_t step = 0;       // steps done
  int64_t stage = 0;      // the stage at the end, from 0
  int64_t solved = 0;     // stages whose accuracy reached advance_at
  bool finished = false;  // false: stopped by the signal
  double loss = 0;        // of the last step
  double accuracy = 0;    // of the last evaluation
  double valid_loss = 0;
  double bits_per_byte = 0;  // of text by tokens
};

absl::StatusOr<RunResult> Train(const TrainConfig& config,
                                const RunOptions& options);

// Dense bf16 tensor-core peak of a GPU by its name, 0 if unknown.
double PeakFlops(absl::string_view device_name);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRAINING_TRAINER_H_
