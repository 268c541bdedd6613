// One optimiser step on one batch: forward, backward, clip, AdamW.
//
// On a GPU the first step of a shape runs operator by operator; from the second
// on the whole step is one CUDA graph launch (except with random patterns,
// whose masks or mixers change). Where a mixer's phase changes (Mixer::Phase)
// the step is captured anew. The bits are the same either way.

#ifndef LT2_MODEL_TRAINING_TRAIN_STEP_H_
#define LT2_MODEL_TRAINING_TRAIN_STEP_H_

#include <memory>
#include <string>

#include "model/looped/looped_model.h"
#include "model/training/optimizer.h"

namespace lt2::model {

struct StepMetrics {
  float loss = 0;
  float gradient_norm = 0;  // before clipping
  // Sum of the losses that mixers attach (the indexers' KL divergences), not
  // part of `loss` and not weighted.
  float attached_loss = 0;
};

class TrainStep {
 public:
  // `loops` 0: the configuration's.
  TrainStep(LoopedModel& model, Optimizer& optimizer, Recompute recompute,
            int64_t loops = 0)
      : model_(model),
        optimizer_(optimizer),
        recompute_(recompute),
        loops_(loops) {}

  // Trains on inputs and targets [batch, seq] with rate `lr`; `number` is 1 for
  // the first step of the run. A loss or norm that is NaN or infinite is an
  // Aborted error that names the step and the first bad tensor.
  absl::StatusOr<StepMetrics> Run(int64_t batch, int64_t seq,
                                  absl::Span<const int32_t> inputs,
                                  absl::Span<const int32_t> targets, double lr,
                                  int64_t number);

  // Kernel launches and copies of the captured step; 0 before capture.
  int64_t graph_nodes() const { return graph_ ? graph_->nodes() : 0; }

 private:
  absl::Status Work(uint64_t step);
  absl::Status Shape(int64_t batch, int64_t seq);
  // Name and place of the first bad value among gradients and parameters.
  std::string FirstBadTensor();

  LoopedModel& model_;
  Optimizer& optimizer_;
  const Recompute recompute_;
  const int64_t loops_;
  Tensor ids_, targets_, one_, loss_, attached_loss_;
  bool warm_ = false;
  int64_t phase_ = 0;  // of the captured step
  std::unique_ptr<CudaGraph> graph_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_TRAINING_TRAIN_STEP_H_
