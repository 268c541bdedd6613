// What a model costs, by formula, without allocating it.
//
// FLOPs count a multiply-add as two and matrix products, attention and
// recurrences only (not norms, activations or the embedding lookup). A looped
// model pays its blocks once for each loop; parameters are counted once.

#ifndef LT2_MODEL_LOOPED_ACCOUNTING_H_
#define LT2_MODEL_LOOPED_ACCOUNTING_H_

#include <cstdint>

#include "model/config/config.h"

namespace lt2::model {

struct ModelCost {
  int64_t parameters = 0;
  int64_t embedding_parameters = 0;  // of those: embedding and output tables
  // Forward FLOPs of one sequence of `seq` tokens, all logits computed.
  int64_t flops = 0;
  // Bytes of state and caches of one sequence after `seq` tokens.
  int64_t state_bytes = 0;

  double flops_per_token(int64_t seq) const {
    return static_cast<double>(flops) / static_cast<double>(seq);
  }
};

// `loops` 0 means the configuration's loop_count; `activation` is the type of
// caches (f32 on the CPU, bf16 on a GPU).
absl::StatusOr<ModelCost> Cost(const ModelConfig& config, int64_t seq,
                               int64_t loops, DType activation);

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_ACCOUNTING_H_
