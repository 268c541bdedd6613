// Scores of given tokens under a model.

#ifndef LT2_MODEL_LOOPED_SCORING_H_
#define LT2_MODEL_LOOPED_SCORING_H_

#include <vector>

#include "model/looped/looped_model.h"

namespace lt2::model {

// One entry for each position of a [batch, seq] block.
struct Scores {
  std::vector<float> nll;       // -ln p(target), 0 where there is no target
  std::vector<int32_t> argmax;  // the most likely token
};

// Scores `targets` (kernels::kIgnoreTarget: none) at each position of `inputs`,
// both row-major [batch, seq]. The block has one fixed shape in a run and a
// row's scores do not depend on the other rows, so neither the batch nor the
// order of requests changes a bit of a score (pad the last block).
//
// With a state (options.state) the sequences continue from it.
absl::StatusOr<Scores> Score(LoopedModel& model, int64_t batch, int64_t seq,
                             absl::Span<const int32_t> inputs,
                             absl::Span<const int32_t> targets,
                             const ForwardOptions& options);

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_SCORING_H_
