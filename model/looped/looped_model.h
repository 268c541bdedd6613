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
// Models after Ouro (paper.md 4.3), by configuration:
//   sandwich_norm   h'     = h + N2( Mixer_l( N1 h ) ), and the FFN likewise
//   loop_norm       h(t)   = rms_norm of the above after every loop; W_out
//                            reads it as it is
//   exit_gate       z_t    = w h(t) + b, which gives each token a loop to leave
//                            after (kernels/exit_gate). exit_rule says whose
//                            h(t) the logits are of. All loops are computed.
//   cache_sharing   see DecodeState
// The rule is one of inference: on a tape that records, logits are of the last
// loop.
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
  // False: Logits fills the state and returns an undefined Var. What a prompt's
  // tokens but the last would be followed by is of no use.
  bool head = true;
  // Instead of the configuration's exit_rule and exit_threshold.
  absl::optional<ModelConfig::ExitRule> exit_rule;
  absl::optional<double> exit_threshold;

  // For probes. h(0) [batch, seq, dim] instead of the embeddings of the ids: a
  // Leaf of the tape receives the gradient.
  Var embedded;
  // Is told intermediate values of each pass as they are computed (with
  // recomputation, also when they are computed again):
  //   "h"                       the state after `loop` loops, 0..T; layer -1
  //   "block_input", "mixer_output"
  //                             of layer 0..N-1 in loop 1..T
  //   what the mixer tells      MixerCall::observer, same layer and loop
  // and of models with an exit gate, where n = batch * seq:
  //   "exit_logit"              f32 [n, 1], of loop 1..T; layer -1
  //   "exit_probability"        f32 [T, n], of loop T; layer -1
  //   "exit_step"               i32 [n], 0-based, by the threshold; the same
  // (the last two only where the rule is not "last").
  std::function<void(int64_t loop, int64_t layer, absl::string_view name,
                     const Var& value)>
      observer;
};

class LoopedModel {
 public:
  // Parameters are drawn from `seed` (without one they have no values yet, and
  // somebody must SetValues all of them); gradients exist if `training`.
  // `activation`: f32 on the CPU, bf16 on a GPU unless given (f32 there: for
  // inference only, and slower).
  static absl::StatusOr<std::unique_ptr<LoopedModel>> Create(
      Context& ctx, const ModelConfig& config, absl::optional<uint64_t> seed,
      bool training, absl::optional<DType> activation = absl::nullopt);

  const ModelConfig& config() const { return config_; }
  Context& ctx() const { return ctx_; }
  DType activation() const { return activation_; }
  // In a fixed order; names as in checkpoints.
  const std::vector<Parameter*>& parameters() const { return parameters_; }

  // Logits f32 [batch * seq, vocab] for ids i32 [batch, seq]. With a random
  // pattern: of the draw of options.step if the tape records, else the mean
  // over the draws of that step and those after it.
  Var Logits(Tape& tape, const Tensor& ids, const ForwardOptions& options);

  // Logits f32 [n, vocab] of states h [.., dim] as the observer gets them.
  Var Head(Tape& tape, const Var& h);

  // Loops of a Forward or a DecodeState that names none: the configuration's
  // unless set.
  int64_t default_loops() const { return default_loops_; }
  void set_default_loops(int64_t loops) { default_loops_ = loops; }

  // The parameters of a configuration, in the order of parameters(),
  // unallocated.
  static absl::StatusOr<std::vector<DeclaredParameter>> Declarations(
      Context& ctx, const ModelConfig& config);

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
    DeclaredParameter mixer_norm_2, ffn_norm_2;  // sandwich_norm
    LayerMixers mixers;
  };
  // A mixer and how it is called.
  struct SlotCall {
    Mixer* mixer;
    MixerCall call;
  };

  LoopedModel(Context& ctx, const ModelConfig& config, DType activation)
      : ctx_(ctx),
        config_(config),
        activation_(activation),
        default_loops_(config.loop_count) {}
  absl::Status Declare();
  // Names the parameters of a layer's mixers.
  void DeclareMixers(const std::string& prefix, const LayerMixers& mixers);
  Var RunBlock(Tape& tape, Block& block, const Var& h, const SlotCall& slot);
  Var RunLoop(Tape& tape, const Var& h, const std::vector<SlotCall>& slots,
              int64_t loop, Recompute recompute);
  // The states that tokens leave with, by the gate; `states` are h(1)..h(T).
  Var Leave(Tape& tape, const std::vector<Var>& states,
            const ForwardOptions& options);
  // Logits of one draw of the pattern.
  Var Pass(Tape& tape, const Tensor& ids, const ForwardOptions& options,
           int64_t pass);
  Var MeanOfPasses(Tape& tape, const Tensor& ids, const ForwardOptions& options,
                   int64_t passes);

  Context& ctx_;
  const ModelConfig config_;
  const DType activation_;
  int64_t default_loops_;
  LayerPattern layers_;
  AttentionPattern windows_;
  DeclaredParameter embedding_, final_norm_, output_;
  DeclaredParameter exit_weight_, exit_bias_;
  std::vector<std::unique_ptr<DeclaredParameter>> loop_gates_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Parameter*> parameters_;
  // Parameters of a mixer (second) that are those of another one (first).
  std::vector<std::pair<Parameter*, Parameter*>> shared_;
};

// What a model remembers of a batch of sequences that grow together: for each
// (loop, layer) pair, of each pass over a random pattern, a state of its own,
// starting from zero.
//
// With cache_sharing (paper.md 4.8) the softmax slots of a layer that have the
// same mixer and window use one cache in all loops, 1/T of the memory. The
// prompt is computed as without: each loop sees its own keys and values, of
// which one loop's stay. When a token decodes, all loops see the stored keys of
// the tokens before it, and of the token itself
//   kLast    the loop's own; each loop overwrites the entry of the one before
//   kFirst   those of the first loop, the only one that writes
// (also a prompt of a single token).
// So a state takes its prompt in one piece, from the start, and then one token
// at a time; other pieces are an error.
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
  bool shares_ = false;   // some slot uses the cache of another one
  int64_t n_slots_ = 0;   // of one pass
  std::vector<LoopedModel::Slot> slots_;
  std::vector<MixerState> states_;
  std::vector<size_t> owner_;  // of each slot's state; its own index, mostly
  std::vector<bool> append_;   // whether a slot writes its state
  Tensor lengths_, next_lengths_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_LOOPED_MODEL_H_
