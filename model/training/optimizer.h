// AdamW over a model's parameters, with its moments and its place in the
// schedule. All of a step runs on the device.

#ifndef LT2_MODEL_TRAINING_OPTIMIZER_H_
#define LT2_MODEL_TRAINING_OPTIMIZER_H_

#include <memory>
#include <vector>

#include "kernels/optimizer/adamw.h"
#include "model/autograd/tape.h"

namespace lt2::model {

struct OptimizerConfig {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  bool decay_everything = false;  // the paper's; else matrices only
  double clip = 1.0;              // global gradient norm; 0 = no clip
};

class Optimizer {
 public:
  // Moves the gradients of `parameters` into one buffer and zeroes the moments.
  static absl::StatusOr<std::unique_ptr<Optimizer>> Create(
      Context& ctx, const std::vector<Parameter*>& parameters,
      const OptimizerConfig& config);

  // Host side, before a step: the rate and the step's number (1, 2, ...).
  absl::Status SetStep(double lr, int64_t number);
  // Device side, capturable: clears the gradients; updates the parameters.
  absl::Status ZeroGradients();
  absl::Status Step();
  // The gradient norm before clipping, f32 [1], of the last step.
  const Tensor& norm() const { return norm_; }

  const std::vector<kernels::AdamWParameter>& parameters() const {
    return parameters_;
  }

 private:
  explicit Optimizer(Context& ctx) : ctx_(ctx) {}
  Context& ctx_;
  OptimizerConfig config_;
  kernels::AdamWOptions options_;
  std::vector<kernels::AdamWParameter> parameters_;
  std::vector<Tensor> gradients_;
  Tensor gradient_buffer_, schedule_, norm_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_TRAINING_OPTIMIZER_H_
