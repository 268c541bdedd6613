// Sampling of the next token from logits.
//
// The tokens of a row are ordered by logit, highest first, ties by lower index.
//   0. repetition penalty: the logit of a token with counts > 0 is divided by
//      the penalty if it is positive, multiplied by it otherwise (CTRL,
//      arXiv:1909.05858, eq. of section 4.1, in the form that also works for
//      negative logits); "logits" below are the results
//   1. weight[v] = exp((logits[v] - max) / temperature)
//   2. top-k keeps the first top_k tokens (0: all)
//   3. top-p keeps of these the shortest prefix whose weights sum to at least
//      top_p times the sum of all that step 2 kept
//   4. min-p keeps of these the tokens at least min_p times as likely as the
//      most likely one: weight >= min_p (arXiv:2407.01082, eq. 1 and 2)
//   5. the token is drawn from what is left in proportion to weight, by
//      inversion of the cumulative sum in index order
// temperature = 0 is greedy: the first token of the order.
//
// The draw of row b is a pure function of its logits and Philox(seed, step,
// stream), where stream is b unless `streams` says otherwise: with a number of
// its own a sequence draws the same tokens in whatever batch it is.
// Weights are rounded to multiples of 2^-40 (sampling_weight.h) and then summed
// as integers, so no sum depends on its order: the CPU and the GPU return the
// same ids for the same logits. A token less likely than 2^-40 times the most
// likely one is never drawn.
//
// A logit of -infinity excludes a token. A row with a NaN or +infinity, or
// nothing but -infinity, after the penalty, is an InvalidArgument on the CPU
// and gives id -1 on the GPU.
//
// Cost per row: vocab exponentials, and on the GPU up to 32 passes over the row
// for each of top-k and top-p when they are asked for; with a penalty one more
// copy of the logits.

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
  int64_t step = 0;              // which token of the sequence
  float min_p = 0;               // in [0, 1]; 0: keeps all
  float repetition_penalty = 1;  // finite, > 0; 1: none
  Tensor counts;   // i32 [batch, vocab], needed if there is a penalty
  Tensor streams;  // optional i32 [batch]
};

absl::Status SamplingSupports(const SamplingArgs& args);

// ids: i32 [batch].
absl::Status Sample(Context& ctx, const SamplingArgs& args, Tensor* ids);

// counts[b, id] += 1 for each of ids, i32 [batch, n]; ids outside the
// vocabulary, such as -1, count nothing. counts: i32 [batch, vocab].
absl::Status CountTokens(Context& ctx, const Tensor& ids, Tensor* counts);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_H_
