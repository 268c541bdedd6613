// The looped transformer (paper.md 1.1, eq. 1 to 3).
//
//   h'     = h + Mixer_l( rms_norm(h) )                   block l
//   F_l(h) = h' + w2( silu(w1 n) * w3 n ),  n = rms_norm(h')
//
//   h(0)   = Embedding(x)
//   ht     = F_N( ... F_1(h(t-1)) )                       loop t = 1..T
//   h(t)   = ht + rho_t (.) h(t-1)                        loop gate, rho_t
//   [dim] logits = W_out rms_norm(h(T))
//
// The same blocks in every loop; rho starts at zero. loop_count is also an
// argument of inference: fewer loops stop early, more reuse the last rho.
//
// One Forward serves training, scoring, prefill and decode (see mixer.h).

#ifndef LT2_MODEL_LOOPED_LOOPED_MODEL_H_
#define LT2_MODEL_LOOPED_LOOPED_MODEL_H_

#include <memory>
#include <vector>

#include "model/autograd/ops.h"
#include "model/config/config.h"
#include "model/mixers/mixer.h"

namespace lt2::model {

class DecodeState;

// What the backward pass recomputes instead of remembering.
enum class Recompute { kNothing, kBlocks, kLoops };

struct ForwardOptions {
  int64_t loops = 0;  // 0: the configuration's loop_count
  uint64_t step = 0;  // selects the masks of random attention patterns
  Recompute recompute = Recompute::kNothing;
  DecodeState* state = nullptr;  // inference only
};

class LoopedModel {
 public:
  // Parameters are drawn from `seed`; gradients exist if `training`.
  static absl::StatusOr<std::unique_ptr<LoopedModel>> Create(
      Context& ctx, const ModelConfig& config, uint64_t seed, bool training);

  const ModelConfig& config() const { return config_; }
  Context& ctx() const { return ctx_; }
  // f32 on the CPU, bf16 on a GPU.
  DType activation() const;
  // In a fixed order; names as in checkpoints.
  const std::vector<Parameter*>& parameters() const { return parameters_; }

  // rms_norm(h(T)) [batch, seq, dim] for ids i32 [batch, seq].
  Var Hidden(Tape& tape, const Tensor& ids, const ForwardOptions& options);
  // Logits f32 [batch * seq, vocab].
  Var Logits(Tape& tape, const Tensor& ids, const ForwardOptions& options);

  // The mixers, one for each layer, for accounting and states.
  const Mixer& mixer(int64_t layer) const { return *blocks_[layer]->mixer; }
  // Window of each slot loop * n_layers + layer (0 = none).
  std::vector<int64_t> Windows(int64_t loops, uint64_t step) const;

  LoopedModel(const LoopedModel&) = delete;
  LoopedModel& operator=(const LoopedModel&) = delete;

 private:
  struct Block {
    DeclaredParameter mixer_norm, ffn_norm, w1, w2, w3;
    std::unique_ptr<Mixer> mixer;
  };

  LoopedModel(Context& ctx, const ModelConfig& config)
      : ctx_(ctx), config_(config) {}
  absl::Status Declare();
  Var RunBlock(Tape& tape, Block& block, const Var& h, const MixerCall& call);
  Var RunLoop(Tape& tape, const Var& h, const std::vector<MixerCall>& calls,
              int64_t loop, Recompute recompute);

  Context& ctx_;
  const ModelConfig config_;
  std::vector<std::string> layer_types_;
  AttentionPattern pattern_;
  DeclaredParameter embedding_, final_norm_, output_;
  std::vector<std::unique_ptr<DeclaredParameter>> loop_gates_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Parameter*> parameters_;
};

// What a model remembers of a batch of sequences that grow together: for each
// (loop, layer) pair a state of its own, starting from zero.
class DecodeState {
 public:
  // `capacity`: the most tokens that full attention can hold.
  static absl::StatusOr<std::unique_ptr<DecodeState>> Create(
      const LoopedModel& model, int64_t batch, int64_t capacity,
      int64_t loops = 0);

  int64_t batch() const { return batch_; }
  int64_t loops() const { return loops_; }
  int64_t position() const { return position_; }
  int64_t bytes() const;

  // Around a Forward over `tokens` tokens; LoopedModel calls them.
  absl::Status Begin(Context& ctx, int64_t tokens);
  absl::Status End(Context& ctx, int64_t tokens);
  MixerCall Call(int64_t slot);

 private:
  DecodeState() = default;
  int64_t batch_ = 0, loops_ = 0, capacity_ = 0, position_ = 0;
  bool bounded_ = false;  // some layer is full attention
  std::vector<int64_t> windows_;
  std::vector<MixerState> states_;
  Tensor lengths_, next_lengths_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_LOOPED_MODEL_H_
