// Sampling of the next token from logits.
//
// The tokens of a row are ordered by logit, highest first, ties by lower index.
//   1. weight[v] = exp((logits[v] - max) / temperature)
//   2. top-k keeps the first top_k tokens (0: all)
//   3. top-p keeps of these the shortest prefix whose weights sum to at least
//      top_p times the sum of all that step 2 kept
//   4. the token is drawn from what is left in proportion to weight, by
//      inversion of the cumulative sum in index order
// temperature = 0 is greedy: the first token of the order.
//
// The draw of row b is a pure function of its logits and Philox(seed, step, b).
// Weights are rounded to multiples of 2^-40 (sampling_weight.h) and then summed
// as integers, so no sum depends on its order: the CPU and the GPU return the
// same ids for the same logits. A token less likely than 2^-40 times the most
// likely one is never drawn.
//
// A logit of -infinity excludes a token. A row with a NaN or +infinity, or
// nothing but -infinity, is an InvalidArgument on the CPU and gives id -1 on
// the GPU.
//
// Cost per row: vocab exponentials, and on the GPU up to 32 passes over the row
// for each of top-k and top-p when they are asked for.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct SamplingArgs {
  Tensor logits;          // f32 [batch, vocab], 1 <= vocab <= 2^22
  float temperature = 1;  // >= 0, finite
  int top_k = 0;          // >= 0
  float top_p = 1;        // in (0, 1]
  uint64_t seed = 0;
  int64_t step = 0;  // which token of the sequence
};

absl::Status SamplingSupports(const SamplingArgs& args);

// ids: i32 [batch].
absl::Status Sample(Context& ctx, const SamplingArgs& args, Tensor* ids);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_H_
