// A short training run that is watched closely, for the probe "stability".

#ifndef LT2_EVALS_PROBES_SHORT_TRAINING_H_
#define LT2_EVALS_PROBES_SHORT_TRAINING_H_

#include <string>
#include <vector>

#include "evals/probes/attention_mass.h"
#include "evals/probes/models.h"

namespace lt2::evals {

struct ShortTraining {
  model::ModelConfig model;
  int64_t steps = 160, batch = 8, seq = 64;
  double lr = 3e-3;
  int64_t warmup = 20;  // then constant
  int64_t looks = 8;    // how often the inside is looked at
  uint64_t seed = 1;
};

// The model's inside before step `step` (0-based; the last: after training).
struct Look {
  int64_t step = 0;
  std::vector<double> rms;  // of h(0), ..., h(T)
  AttentionMass
      first_token;  // of softmax layers; queries = 0 if there are none
};

struct TrainingTrace {
  std::vector<double> loss, norm;  // of each step; norm before clipping
  std::vector<Look> looks;
  std::string ended_by;  // why it stopped early: NaN or infinity; else empty
};

absl::StatusOr<TrainingTrace> Train(const ShortTraining& training,
                                    const tasks::Task& task, Device device);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_SHORT_TRAINING_H_
