// Native sparse attention (paper.md 2.11; the layer of flash-linear-attention):
// three softmax attentions over the same keys and values, mixed by gates.
//
//   q, k, v = q_proj x, k_proj x, v_proj x;  q, k rotated (half-split rope)
//   cmp: over the means of complete blocks of b tokens
//   slc: over the n blocks with the most probability in cmp, with block 0, the
//        query's own and the one before it among them
//   swa: over the last w tokens
//   o = s1 cmp + s2 slc + s3 swa,  s = sigmoid(g_proj x), three for each head
//   y = o_proj (o * sigmoid(wg x))         the gate if use_attn_gate
//
// The choice of blocks has no gradient; cmp trains what it depends on.
//
// State: keys and values of all tokens, the means of their complete blocks, and
// the last w tokens once more in a ring buffer, which the window attention
// reads. A decoding step reads tokens/b + n b + w entries.

#ifndef LT2_MODEL_MIXERS_NSA_H_
#define LT2_MODEL_MIXERS_NSA_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

class Nsa : public Mixer {
 public:
  explicit Nsa(const ModelConfig& config);

  Var Forward(Tape& tape, const Var& x, const MixerCall& call) override;
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
  // The attentions in the order of their gates.
  struct Branches {
    Var compressed, selected, window;
  };
  Branches Attend(Tape& tape, const Var& q, const Var& k, const Var& v,
                  const MixerCall& call) const;
  // Bytes of one token's key and value.
  int64_t EntryBytes(DType activation) const;

  const int64_t dim_, heads_, head_dim_;
  const NsaConfig shape_;
  const bool use_gate_, use_rope_;
  const float theta_;
  DeclaredParameter q_proj_, k_proj_, v_proj_, g_proj_, o_proj_, wg_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_NSA_H_
