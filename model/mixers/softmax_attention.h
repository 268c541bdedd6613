// Softmax attention, full or sliding window, with grouped queries (paper.md
// 1.3) and an optional output gate (1.4).
//
//   q, k, v = wq x, wk x, wv x;  q, k rotated by RoPE
//   o = softmax(q k' / sqrt(head_dim) + causal or window mask) v
//   y = wo (o * sigmoid(wg x))         the gate if use_attn_gate
//
// State: the keys and values of the last `capacity` tokens (window: of the last
// w), a ring buffer of rotated keys.

#ifndef LT2_MODEL_MIXERS_SOFTMAX_ATTENTION_H_
#define LT2_MODEL_MIXERS_SOFTMAX_ATTENTION_H_

#include "model/mixers/mixer.h"

namespace lt2::model {

class SoftmaxAttention : public Mixer {
 public:
  explicit SoftmaxAttention(const ModelConfig& config);

  Var Forward(Tape& tape, const Var& x, const MixerCall& call) override;
  std::vector<Parameter*> parameters() override;
  absl::Status InitState(Context& ctx, int64_t batch, int64_t capacity,
                         int64_t window, DType activation,
                         MixerState* state) const override;
  int64_t ParameterCount() const override;
  int64_t Flops(int64_t seq, int64_t window) const override;
  int64_t StateBytes(int64_t tokens, int64_t window,
                     DType activation) const override;
  bool SharesCache() const override { return true; }

 private:
  int64_t dim_, heads_, kv_heads_, head_dim_;
  bool use_gate_, use_rope_;
  float theta_;
  kernels::RopeLayout layout_;
  DeclaredParameter wq_, wk_, wv_, wo_, wg_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_SOFTMAX_ATTENTION_H_
