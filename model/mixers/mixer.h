// A token mixer: the part of a block that lets tokens see each other.
//
//   y = Mixer(x),   x [batch, seq, dim] (already normalised)
//
// A mixer is one file here and one line in registry.cc. One Forward serves
// training, scoring, prefill and decode: without a state it computes the whole
// sequence from position 0; with one it continues from that state and updates
// it, whatever the number of tokens (one token uses the recurrent form).
//
// Recurrent state is never carried from one loop to the next (paper.md 1.2):
// each (loop, layer) pair has a MixerState of its own.

#ifndef LT2_MODEL_MIXERS_MIXER_H_
#define LT2_MODEL_MIXERS_MIXER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/autograd/ops.h"
#include "model/config/config.h"

namespace lt2::model {

// What one (loop, layer) pair remembers of the tokens so far. A mixer uses the
// members that it needs; the others stay undefined.
struct MixerState {
  Tensor k_cache, v_cache;        // [batch, capacity, kv_heads, head_dim]
  Tensor recurrent;               // f32 [batch, heads, d_k, d_v]
  Tensor q_conv, k_conv, v_conv;  // [batch, conv_size - 1, channels]
  // Sparse attention: a window's ring buffer, means of complete blocks, and the
  // indexer's keys [batch, capacity, 1, index_dim].
  Tensor k_window, v_window;
  Tensor k_blocks, v_blocks;
  Tensor index_cache;

  std::vector<Tensor> tensors() const;  // the defined ones
  // The same with the members' names.
  std::vector<std::pair<std::string, Tensor>> named_tensors() const;
  int64_t bytes() const;
};

// How Forward is called.
struct MixerCall {
  int64_t window = 0;  // for attention: 0 = full
  // While training, the number of the step, from 1 on; 0 otherwise.
  uint64_t step = 0;
  MixerState* state = nullptr;
  // False: the state belongs to another loop, which has already taken in the
  // tokens of x (ModelConfig::cache_sharing); only for mixers that share.
  bool append = true;
  // With a state: where x stands.
  Position position;
  Tensor lengths;       // i32 [batch], tokens before x
  Tensor next_lengths;  // i32 [batch], tokens including x
  // If set, is told intermediate values by name, for whole sequences: of delta
  // rules "k", "beta" and "g" (if there is a decay) as the operator gets them,
  // of softmax attention "q" and "k" after the rotation, of dsa the same as
  // "selected_q" and "selected_k".
  std::function<void(absl::string_view name, const Var& value)> observer;

  void Observe(absl::string_view name, const Var& value) const {
    if (observer && value.defined()) observer(name, value);
  }
};

class Mixer {
 public:
  virtual ~Mixer() = default;

  virtual Var Forward(Tape& tape, const Var& x, const MixerCall& call) = 0;

  // A mixer that works differently in some training steps tells them apart by
  // this number: a captured step is replayed only while it stays the same.
  virtual int64_t Phase(uint64_t /*step*/) const { return 0; }

  // Its parameters, by their names in flash-linear-attention (or lingua).
  virtual std::vector<Parameter*> parameters() = 0;

  // An empty state for `capacity` tokens; `window` as in MixerCall.
  virtual absl::Status InitState(Context& ctx, int64_t batch, int64_t capacity,
                                 int64_t window, DType activation,
                                 MixerState* state) const = 0;

  // Accounting by formula. FLOPs count a multiply-add as two.
  virtual int64_t ParameterCount() const = 0;
  // Forward FLOPs for the whole of a sequence of `seq` tokens.
  virtual int64_t Flops(int64_t seq, int64_t window) const = 0;
  // Bytes of one sequence's state after `tokens` tokens.
  virtual int64_t StateBytes(int64_t tokens, int64_t window,
                             DType activation) const = 0;
  // Bytes of the state that one decoding step reads and writes when it has
  // `tokens` tokens. By default: what does not depend on the length is read and
  // written, a cache is read whole and one token's entry is written. A mixer
  // that reads a part of its cache overrides it.
  virtual int64_t DecodeBytes(int64_t tokens, int64_t window,
                              DType activation) const;

  // True if the loops of a layer may use one cache when they decode.
  virtual bool SharesCache() const { return false; }

  // True if the state grows with the sequence without end.
  bool Grows(int64_t window) const;
};

// Builds the mixer of this name ("full", "window", "gdn", "deltanet", ...);
// parameters are unallocated. NotFound lists the names.
absl::StatusOr<std::unique_ptr<Mixer>> CreateMixer(absl::string_view name,
                                                   const ModelConfig& config);
std::vector<std::string> MixerNames();
// True for the types that attention_pattern applies to, or that have their own
// window: `window` is what CreateMixer's mixer should be called with.
int64_t WindowOf(absl::string_view name, const ModelConfig& config,
                 int64_t pattern_window);

// How a parameter starts (paper.md 1.5). Values are a function of (seed, name).
enum class Init {
  kTruncatedNormal,  // std `scale`, cut at 3 std
  kUniform,          // (-scale, scale)
  kOnes,
  kZeros,
  kLogUniform16,     // log U(0, 16): A_log
  kLogUniform1To16,  // log U(1, 16): A_log of KDA
  kInverseSoftplus,  // softplus^-1 of exp U(log 0.001, log 0.1): dt_bias
};

// Rows [begin, end) of a parameter's first dimension, as a parameter: the same
// memory. Gradients of both add up.
Parameter RowsOf(const Parameter& parameter, int64_t begin, int64_t end);

// A parameter before allocation: Declare names it, Materialize (looped/init.h)
// allocates and fills it.
struct DeclaredParameter : Parameter {
  Shape shape;
  Init init = Init::kZeros;
  float scale = 0;

  void Declare(std::string parameter_name, const Shape& parameter_shape,
               Init how, float how_scale = 0, bool takes_decay = false);
  // [out, in] projection, truncated normal with std dim^-1/2.
  void DeclareProjection(std::string parameter_name, int64_t out, int64_t in,
                         int64_t model_dim);
};

}  // namespace lt2::model

#endif  // LT2_MODEL_MIXERS_MIXER_H_
