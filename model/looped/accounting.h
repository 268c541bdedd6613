// What a model costs, by formula, without allocating it.
//
// FLOPs count a multiply-add as two and matrix products, attention and
// recurrences only (not norms, activations or the embedding lookup). A looped
// model pays its blocks once for each loop; parameters are counted once.

#ifndef LT2_MODEL_LOOPED_ACCOUNTING_H_
#define LT2_MODEL_LOOPED_ACCOUNTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "model/config/config.h"

namespace lt2::model {

struct ModelCost {
  int64_t parameters = 0;
  // Parts of it:
  int64_t embedding_parameters = 0;  // embedding and output tables
  int64_t mixer_parameters = 0;
  int64_t ffn_parameters = 0;
  int64_t norm_parameters = 0;  // and gates of loops and exits

  // Passes that one inference takes (random patterns); flops, state_bytes and
  // growth_bytes are of all of them.
  int64_t passes = 1;
  // Forward FLOPs of one sequence of `seq` tokens, all logits computed.
  int64_t flops = 0;
  // Bytes of state and caches of one sequence after `seq` tokens.
  int64_t state_bytes = 0;
  // The part that does not grow: recurrent states and the caches of windows,
  // which are full after that many tokens.
  int64_t fixed_state_bytes = 0;
  // Bytes that each further token adds, far from the start.
  double growth_bytes = 0;

  double flops_per_token(int64_t seq) const {
    return static_cast<double>(flops) / static_cast<double>(seq);
  }
};

// `loops` 0 means the configuration's loop_count; `activation` is the type of
// caches (f32 on the CPU, bf16 on a GPU).
absl::StatusOr<ModelCost> Cost(const ModelConfig& config, int64_t seq,
                               int64_t loops, DType activation);

// One decoding step: a token for each of `batch` sequences that have `tokens`
// tokens each, the new one included.
struct DecodeCost {
  int64_t flops = 0;  // of one sequence
  // Bytes that the step reads of the weights, once for the batch: the blocks
  // once for each loop, as they do not fit in a GPU's cache, the output table
  // once. Matrices are of the activation type, as the models keep them, all
  // else f32.
  int64_t weight_bytes = 0;
  // Bytes of states and caches read and written, of one sequence.
  int64_t state_bytes = 0;

  double bytes_per_token(int64_t batch) const {
    return static_cast<double>(weight_bytes) / static_cast<double>(batch) +
           static_cast<double>(state_bytes);
  }
};
absl::StatusOr<DecodeCost> CostOfDecoding(const ModelConfig& config,
                                          int64_t tokens, int64_t loops,
                                          DType activation);

// The slots (loop, layer) of one kind: the same mixer with the same window.
struct SlotKind {
  std::string type;
  int64_t window = 0;      // 0 = none
  int64_t slots = 0;       // how many, of one pass
  int64_t layers = 0;      // with at least one of them
  int64_t parameters = 0;  // of one mixer
  // Of one slot and sequence; as in ModelCost. (With cache_sharing the slots of
  // a layer share one state, which ModelCost counts once.)
  int64_t flops = 0, state_bytes = 0, fixed_state_bytes = 0;
  double growth_bytes = 0;
};

// What runs where, at step 0 of a random pattern.
struct SlotMap {
  std::vector<SlotKind> kinds;  // by first use
  std::vector<size_t> kind;     // of each slot loop * n_layers + layer
};
absl::StatusOr<SlotMap> MapSlots(const ModelConfig& config, int64_t seq,
                                 int64_t loops, DType activation);

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_ACCOUNTING_H_
