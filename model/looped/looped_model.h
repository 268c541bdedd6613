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
// A layer whose mixer differs between loops (layer_pattern "P->P->...") owns
// one mixer for each distinct type; loops with the same type share its weights.
// Softmax types with the same parameters, such as full and window, share one
// set. With a random pattern an inference is inference_ensemble_k passes, each
// with its own draw, and the logits are their mean.
//
// One Forward serves training, scoring, prefill and decode (see mixer.h).

#ifndef LT2_MODEL_LOOPED_LOOPED_MODEL_H_
#define LT2_MODEL_LOOPED_LOOPED_MODEL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/optional.h"
#include "model/autograd/ops.h"
#include "model/config/config.h"
#include "model/looped/layer_mixers.h"
#include "model/mixers/mixer.h"

namespace lt2::model {

class DecodeState;

// What the backward pass recomputes instead of remembering.
enum class Recompute { kNothing, kBlocks, kLoops };

struct ForwardOptions {
  int64_t loops = 0;  // 0: the configuration's loop_count
  // Selects the draw of random patterns; in training the number of the step.
  uint64_t step = 0;
  Recompute recompute = Recompute::kNothing;
  DecodeState* state = nullptr;  // inference only

  // For probes. h(0) [batch, seq, dim] instead of the embeddings of the ids: a
  // Leaf of the tape receives the gradient.
  Var embedded;
  // Is told intermediate values of each pass as they are computed (with
  // recomputation, also when they are computed again):
  //   "h"                       the state after `loop` loops, 0..T; layer -1
  //   "block_input", "mixer_output"
  //                             of layer 0..N-1 in loop 1..T
  //   what the mixer tells      MixerCall::observer, same layer and loop
  std::function<void(int64_t loop, int64_t layer, absl::string_view name,
                     const Var& value)>
      observer;
};

class LoopedModel {
 public:
  // Parameters are drawn from `seed`; gradients exist if `training`.
  // `activation`: f32 on the CPU, bf16 on a GPU unless given (f32 there: for
  // inference only, and slower).
  static absl::StatusOr<std::unique_ptr<LoopedModel>> Create(
      Context& ctx, const ModelConfig& config, uint64_t seed, bool training,
      absl::optional<DType> activation = absl::nullopt);

  const ModelConfig& config() const { return config_; }
  Context& ctx() const { return ctx_; }
  DType activation() const { return activation_; }
  // In a fixed order; names as in checkpoints.
  const std::vector<Parameter*>& parameters() const { return parameters_; }

  // Logits f32 [batch * seq, vocab] for ids i32 [batch, seq]. With a random
  // pattern: of the draw of options.step if the tape records, else the mean
  // over the draws of that step and those after it.
  Var Logits(Tape& tape, const Tensor& ids, const ForwardOptions& options);

  // What runs at each slot loop * n_layers + layer.
  struct Slot {
    Mixer* mixer = nullptr;
    int64_t window = 0;  // 0 = none
  };
  std::vector<Slot> Slots(int64_t loops, uint64_t step) const;
  // Differs between training steps that do not run the same operators.
  int64_t Phase(uint64_t step) const;

  LoopedModel(const LoopedModel&) = delete;
  LoopedModel& operator=(const LoopedModel&) = delete;

 private:
  struct Block {
    DeclaredParameter mixer_norm, ffn_norm, w1, w2, w3;
    LayerMixers mixers;
  };
  // A mixer and how it is called.
  struct SlotCall {
    Mixer* mixer;
    MixerCall call;
  };

  LoopedModel(Context& ctx, const ModelConfig& config, DType activation)
      : ctx_(ctx), config_(config), activation_(activation) {}
  absl::Status Declare();
  // Names the parameters of a layer's mixers.
  void DeclareMixers(const std::string& prefix, const LayerMixers& mixers);
  Var RunBlock(Tape& tape, Block& block, const Var& h, const SlotCall& slot);
  Var RunLoop(Tape& tape, const Var& h, const std::vector<SlotCall>& slots,
              int64_t loop, Recompute recompute);
  // Logits of one draw of the pattern.
  Var Pass(Tape& tape, const Tensor& ids, const ForwardOptions& options,
           int64_t pass);
  Var MeanOfPasses(Tape& tape, const Tensor& ids, const ForwardOptions& options,
                   int64_t passes);

  Context& ctx_;
  const ModelConfig config_;
  const DType activation_;
  LayerPattern layers_;
  AttentionPattern windows_;
  DeclaredParameter embedding_, final_norm_, output_;
  std::vector<std::unique_ptr<DeclaredParameter>> loop_gates_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Parameter*> parameters_;
  // Parameters of a mixer (second) that are those of another one (first).
  std::vector<std::pair<Parameter*, Parameter*>> shared_;
};

// What a model remembers of a batch of sequences that grow together: for each
// (loop, layer) pair, of each pass over a random pattern, a state of its own,
// starting from zero.
class DecodeState {
 public:
  // `capacity`: the most tokens that states which grow with the sequence hold.
  static absl::StatusOr<std::unique_ptr<DecodeState>> Create(
      const LoopedModel& model, int64_t batch, int64_t capacity,
      int64_t loops = 0);

  int64_t batch() const { return batch_; }
  int64_t loops() const { return loops_; }
  int64_t passes() const { return passes_; }
  int64_t position() const { return position_; }
  int64_t bytes() const;
  int64_t capacity() const { return capacity_; }

  // For snapshots (model/generation): what each slot remembers, and how many
  // tokens of every sequence the states hold, once they have been filled.
  int64_t slots() const { return n_slots_; }  // of one pass
  const MixerState& state(int64_t pass, int64_t slot) const {
    return states_[pass * n_slots_ + slot];
  }
  absl::Status SetPosition(Context& ctx, int64_t position);

  // ResourceExhausted if `tokens` more do not fit.
  absl::Status CheckRoom(int64_t tokens) const;

  // Around a Forward over `tokens` tokens; LoopedModel calls them.
  absl::Status Begin(Context& ctx, int64_t tokens);
  absl::Status End(Context& ctx, int64_t tokens);
  // Of slot loop * n_layers + layer.
  MixerCall Call(int64_t pass, int64_t slot);
  Mixer* mixer(int64_t pass, int64_t slot) const;

 private:
  friend class DecodeGraph;  // replays a step: the host's part of End
  DecodeState() = default;
  int64_t batch_ = 0, loops_ = 0, passes_ = 1, capacity_ = 0, position_ = 0;
  bool bounded_ = false;  // some state grows with the sequence
  int64_t n_slots_ = 0;   // of one pass
  std::vector<LoopedModel::Slot> slots_;
  std::vector<MixerState> states_;
  Tensor lengths_, next_lengths_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_LOOPED_MODEL_H_
