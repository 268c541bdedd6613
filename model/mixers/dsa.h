// DeepSeek sparse attention (paper.md 2.12): a cheap indexer scores all earlier
// tokens, attention reads the top_k of them.
//
// Mode "deepseek", the definition, on attention with grouped queries:
//
//   q, k, v = wq x, wk x, wv x;  q, k rotated by rope        (as "full")
//   u = x, cut off from the gradient
//   qI = Wq u (HI heads), kI = rms_norm(Wk u) (one head), both rotated whole
//   I[t,s] = sum_j (Ww u)[t,j] relu(qI[t,j].kI[s]) (HI dI)^-1/2
//   o = softmax attention over the top_k tokens s <= t by I[t,s]
//   y = wo (o * sigmoid(wg x))             the gate if use_attn_gate
//   loss += kl_weight mean_t KL(p_t || softmax I_t) over the set
//
// p_t is the attention's own distribution, averaged over its heads, a constant
// here. So the indexer learns from the KL loss alone and all else from the
// model's loss alone. In the first warmup_steps training steps attention is
// dense and the KL is over all tokens; then the set is the top_k. (Up to top_k
// tokens that is all of them, and dense attention computes the same faster.)
//
// DeepSeek-V3.2 differs where this mixer's place asks for it: its queries come
// from a latent, its kI has a LayerNorm (here RMSNorm), its rope turns a part
// of the index head (here all of it), and a Hadamard rotation and fp8 serve its
// speed.
//
// Mode "lt2_released", what the released code of LT2 does:
//
//   q = q_proj x (heads of latent_dim);  c = kv_proj x, one for all heads
//   k = c;  v = c's first latent_value_dim channels;  no rope, no norms
//   I[t,s] = mean_j (qI[t,j].kI[s]), no relu: a random bilinear form, as the
//   indexer's weights are never trained
//   y = o_proj (o * sigmoid(wg x))
//
// State: keys, values and index keys of all tokens. (The released k and v could
// share memory; operators here take them as tensors of their own.) A decoding
// step reads all index keys and top_k entries.

#ifndef LT2_MODEL_MIXERS_DSA_H_
#define LT2_MODEL_MIXERS_DSA_H_

#include "model/autograd/sparse_ops.h"
#include "model/mixers/mixer.h"

namespace lt2::model {

class Dsa : public Mixer {
 public:
  explicit Dsa(const ModelConfig& config);

  Var Forward(Tape& tape, const Var& x, const MixerCall& call) override;
  // 1 while warming up.
  int64_t Phase(uint64_t step) const override;
  std::vector<Parameter*> parameters() override;
  absl::Status InitState(Context& ctx, int64_t batch, int64_t capacity,
                         int64_t window, DType activation,
                         MixerState* state) const override;
  int64_t ParameterCount() const override;
  int64_t Flops(int64_t seq, int64_t window) const override;
  int64_t StateBytes(int64_t tokens, int64_t window,
                     DType activation) const override;
  int64_t DecodeBytes(int64_t tokens, int64_t window,
                      DType activation) const override;

 private:
  bool released() const { return shape_.mode == DsaConfig::kReleased; }
  struct Heads {
    Var q, k, v;
  };
  Heads Project(Tape& tape, const Var& x, const Position& position);
  Indexer IndexerOf(Tape& tape, const Var& x, const Position& position) const;
  // True if every query selects all tokens that it sees, and the operator for
  // that can evaluate these heads.
  bool SelectsAll(const Heads& heads, float scale) const;
  // Attention over the selected tokens; updates the state if there is one.
  Var Attend(Tape& tape, const Var& x, const Heads& heads,
             const MixerCall& call) const;
  int64_t MatrixWeights() const;

  const int64_t dim_, heads_;
  const DsaConfig shape_;
  const int64_t kv_heads_, key_dim_, value_dim_;  // of one head
  const bool use_gate_, use_rope_;
  const float theta_;
  const kernels::RopeLayout layout_;
  // Released: k_proj_ is the latent's, and v_proj_ is not there.
  DeclaredParameter q_proj_, k_proj_, v_proj_, o_proj_, wg_;
  DeclaredParameter index_q_, index_k_, index_norm_, index_weights_;
  Parameter latent_value_;  // rows of k_proj_
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_DSA_H_
