// Mixers with the delta rule: DeltaNet, Gated DeltaNet (GDN), Kimi Delta
// Attention (KDA) and Gated DeltaProduct (paper.md 2.2, 2.3, 2.4, 2.15; layers
// of flash-linear-attention).
//
//   q = l2(silu(conv(Wq x)));  k = l2(silu(conv(Wk x)));  v = silu(conv(Wv x))
//   beta = sigmoid(Wb x)                    times 2 if allow_neg_eigval
//   S <- Diag(e^g) S;  S <- S + k (beta (v - S'k))';  o = S' q d_k^-1/2
//   y = Wo( rms_norm(o) * gate )
//
//              g                                            gate
//   DeltaNet   0                                            1
//   GDN        -exp(A_log) softplus(Wa x + dt_bias)         silu(Wg x)
//              one number for each head
//   KDA        the same with Wf2 Wf1 x for Wa x,            sigmoid(Wg2 Wg1 x
//              one number for each channel of the key        + b)
//   Product    as GDN, or 0 (use_forget_gate)               as GDN, or 1
//
// DeltaProduct takes n = num_householder steps of the rule for each token: Wk,
// Wv, Wb are n times as tall, the decay belongs to the first step and the query
// to the last. A token's transition is then a product of n reflections.
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
  enum Kind { kPlain, kGated, kKda, kProduct };
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
  enum Decay { kNoDecay, kPerHead, kPerChannel };
  enum Gate { kNoGate, kSilu, kLowRankSigmoid };

  // Log decay of the tokens of x; undefined if there is none.
  Var DecayOf(Tape& tape, const Var& x) const;
  // rms_norm(o) * gate.
  Var NormAndGate(Tape& tape, const Var& o, const Var& x) const;
  // Weights of all matrices that multiply a token.
  int64_t MatrixWeights() const;

  const int64_t dim_;
  const DeltaRuleConfig shape_;
  const int64_t steps_;  // of the delta rule, for each token
  const Decay decay_;
  const Gate gate_;
  DeclaredParameter q_proj_, k_proj_, v_proj_, b_proj_, o_proj_;
  DeclaredParameter q_conv_, k_conv_, v_conv_;
  DeclaredParameter o_norm_;
  DeclaredParameter a_log_, dt_bias_;
  DeclaredParameter a_proj_, g_proj_;         // not low-rank
  DeclaredParameter f_down_, f_up_;           // per channel
  DeclaredParameter g_down_, g_up_, g_bias_;  // low-rank
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_DELTA_NET_H_
