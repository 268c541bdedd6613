// Mamba2 (paper.md 2.7; the layer of flash-linear-attention, one group).
//
//   z, x, B, C, dt = rows of in_proj applied to the input
//   x, B, C = silu(conv(x, B, C) + bias)
//   dt = softplus(dt + dt_bias);  a = -exp(A_log) dt          for each head
//   S <- e^a S + B (dt x)';  o = S' C + D x
//   y = out_proj rms_norm(o * silu(z))                        over all heads
//
// That is linear attention with q = C, k = B shared by the heads, v = dt x, a
// decay for each head and no scale.
//
// in_proj and conv1d are one parameter each, as in a checkpoint, but used by
// ranges of their rows, so that nothing is split or copied.
//
// State: S [heads, state_size, head_dim] f32, and the last conv_size - 1 inputs
// of the convolution; its size does not grow with the sequence.

#ifndef LT2_MODEL_MIXERS_MAMBA2_H_
#define LT2_MODEL_MIXERS_MAMBA2_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

class Mamba2 : public Mixer {
 public:
  explicit Mamba2(const ModelConfig& config);

  Var Forward(Tape& tape, const Var& x, const MixerCall& call) override;
  std::vector<Parameter*> parameters() override;
  absl::Status InitState(Context& ctx, int64_t batch, int64_t capacity,
                         int64_t window, DType activation,
                         MixerState* state) const override;
  int64_t ParameterCount() const override;
  int64_t Flops(int64_t seq, int64_t window) const override;
  int64_t StateBytes(int64_t tokens, int64_t window,
                     DType activation) const override;

 private:
  // Rows of in_proj, and of the convolution, that make one of x, B, C.
  struct Branch {
    Parameter proj, conv, bias;
  };
  // Ranges of the parameters' rows; made anew at each call, as the parameters
  // may have moved since the last one (the optimiser replaces gradients).
  void TakeRows();
  int64_t MatrixWeights() const;

  const int64_t dim_;
  const Mamba2Config shape_;
  DeclaredParameter in_proj_, conv_, conv_bias_, dt_bias_, a_log_, d_, norm_,
      out_proj_;
  Parameter z_proj_, dt_proj_;
  Branch x_, b_, c_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_MAMBA2_H_
