// DecodeGraph: one token for each sequence of a state, as one CUDA graph.
//
// A decoding step of a looped model is some tens of small launches for every
// layer of every loop; run one by one they wait for the host. A graph is
// launched as one, with the same kernels on the same memory: the bits are those
// of the steps without it. What differs from step to step (position, lengths,
// tokens) is on the device already.
//
//   LT2_ASSIGN_OR_RETURN(auto decoder, DecodeGraph::Create(model, &state));
//   LT2_ASSIGN_OR_RETURN(Tensor logits, decoder->Step(ids));
//
// The first step runs operator by operator and is then captured, without
// running again; those that follow are one launch each. Memory: the graph keeps
// the temporary tensors of one step (ArenaPool) for as long as it lives.
//
// On the CPU, and with random patterns (whose draws are made by the host),
// every step runs operator by operator.

#ifndef LT2_MODEL_LOOPED_DECODE_GRAPH_H_
#define LT2_MODEL_LOOPED_DECODE_GRAPH_H_

#include <memory>

#include "kernels/core/arena_pool.h"
#include "model/looped/looped_model.h"

namespace lt2::model {

class DecodeGraph {
 public:
  // Both must outlive the object; the state may be used without it in between
  // (a longer prompt, for example), and must not be replaced. Of `options` the
  // state and the loops are the state's.
  static absl::StatusOr<std::unique_ptr<DecodeGraph>> Create(
      LoopedModel& model, DecodeState* state,
      const ForwardOptions& options = {});

  // Takes ids i32 [batch, 1] (or [batch]) and returns logits f32
  // [batch, vocab]: one tensor, overwritten by the next step.
  // ResourceExhausted, with the state as before, where the state is full; after
  // another error the state is of no use.
  absl::StatusOr<Tensor> Step(const Tensor& ids);

  // Kernel launches and copies of the captured step; 0 before capture.
  int64_t nodes() const { return graph_ ? graph_->nodes() : 0; }

 private:
  DecodeGraph(LoopedModel& model, DecodeState* state,
              const ForwardOptions& options)
      : model_(model), state_(*state), options_(options) {
    options_.loops = state->loops();
    options_.state = state;
  }
  absl::Status Work();

  LoopedModel& model_;
  DecodeState& state_;
  ForwardOptions options_;
  Tensor ids_, logits_;
  ArenaPool pool_;  // before the graph, which must go first
  std::unique_ptr<CudaGraph> graph_;
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_DECODE_GRAPH_H_
