// DeltaNet and Gated DeltaNet (GDN): linear attention with the delta rule
// (paper.md 2.2, 2.3; layers of flash-linear-attention).
//
//   q = l2(silu(conv(Wq x)));  k = l2(silu(conv(Wk x)));  v = silu(conv(Wv x))
//   beta = sigmoid(Wb x)                    times 2 if allow_neg_eigval
//   S <- e^g S;  S <- S + k (beta (v - S'k))';  o = S' q d_k^-1/2
//   GDN:       g = -exp(A_log) softplus(Wa x + dt_bias)
//              y = Wo( rms_norm(o) * silu(Wg x) )
//   DeltaNet:  g = 0,  y = Wo rms_norm(o)
//
// With beta in (0,1) the transition I - beta k k' has eigenvalues in [0,1]; in
// (0,2) they reach -1, which reflections, and so parity and permutations, need.
//
// State: S [heads, d_k, d_v] f32, and the last conv_size - 1 inputs of the
// three convolutions; its size does not grow with the sequence.

#ifndef LT2_MODEL_MIXERS_DELTA_NET_H_
#define LT2_MODEL_MIXERS_DELTA_NET_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

class DeltaNet : public Mixer {
 public:
  enum Kind { kPlain, kGated };
  DeltaNet(const ModelConfig& config, Kind kind);

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
  const Kind kind_;
  const int64_t dim_;
  const DeltaRuleConfig shape_;
  DeclaredParameter q_proj_, k_proj_, v_proj_, b_proj_, o_proj_;
  DeclaredParameter q_conv_, k_conv_, v_conv_;
  DeclaredParameter o_norm_;
  DeclaredParameter a_proj_, a_log_, dt_bias_, g_proj_;  // gated only
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_DELTA_NET_H_
