// Mixers with a decaying matrix state and no delta rule: linear attention (LA),
// RetNet, GLA and HGRN2 (paper.md 2.5, 2.6, 2.8, 2.9; layers of
// flash-linear-attention). Mamba2 is in mamba2.h.
//
//   S <- Diag(e^g) S + k v';  o = S' q d_k^-1/2;  y = Wo norm(o)
//
//            q, k                        g                          norm
//   LA       phi_q(Wq x), phi_k(Wk x)    0                          rms, head
//   RetNet   rope(Wq x), rope(Wk x)      ln(1 - 2^(-5-h))           gated
//   GLA      Wq x, Wk x                  logsigmoid(W2 W1 x+b)/16   gated
//   HGRN2    silu(Wq x), 1 - e^g         logsigmoid(Wf x)           rms, all
//
// v = Wv x. phi(u) = (W1 u + b1) * (W2 u + b2), learned, one pair for queries
// and one for keys, shared by the heads; or u itself (feature_map "identity").
// RetNet's rope is the half-split one with theta 10000, whatever the model's.
// Gated: rms_norm(o) * silu(Wg x) over each head. LA has no normaliser.
//
// State: S [heads, d_k, d_v] f32; its size does not grow with the sequence.

#ifndef LT2_MODEL_MIXERS_LINEAR_MIXER_H_
#define LT2_MODEL_MIXERS_LINEAR_MIXER_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

class LinearMixer : public Mixer {
 public:
  enum Kind { kLinearAttention, kRetNet, kGla, kHgrn2 };
  LinearMixer(const ModelConfig& config, Kind kind);

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
  // A learned feature map of heads: the product of two linear maps.
  struct FeatureMap {
    DeclaredParameter weight1, bias1, weight2, bias2;
    void Declare(const std::string& name, int64_t dim);
    Var Apply(Tape& tape, const Var& x) const;
  };

  bool maps_features() const {
    return kind_ == kLinearAttention &&
           shape_.feature_map == LinearMixerConfig::kElementwiseProduct;
  }
  bool gated() const { return kind_ == kRetNet || kind_ == kGla; }
  // RetNet's log decays of the heads, on the device.
  Var ConstantDecay(Tape& tape);

  const Kind kind_;
  const int64_t dim_;
  const LinearMixerConfig shape_;
  DeclaredParameter q_proj_, k_proj_, v_proj_, o_proj_, norm_;
  FeatureMap q_map_, k_map_;                     // LA
  DeclaredParameter g_proj_;                     // RetNet, GLA: the output gate
  DeclaredParameter gk_down_, gk_up_, gk_bias_;  // GLA: the decay
  Tensor constant_decay_;                        // made at the first call
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_LINEAR_MIXER_H_
