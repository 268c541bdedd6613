// Checks before times: what is red is not timed. These find a build or device
// that computes something else, in a second; the tests of operators and models
// are what finds errors of rounding.

#ifndef LT2_BENCH_SCALING_GREEN_H_
#define LT2_BENCH_SCALING_GREEN_H_

#include <string>

#include "model/looped/looped_model.h"

namespace lt2::bench {

// On a GPU: the mixer's operator at the heads of `config` and 150 tokens, with
// its gradient, against the CPU in f32. Relative error (root of sums of
// squares) at most 5 %, of gradients 10 %.
absl::Status CheckOperator(Context& ctx, const model::ModelConfig& config,
                           const std::string& mixer, int threads);

// The model's logits of 150 tokens at once against 147 at once and three single
// steps (on a GPU through DecodeGraph, the third one a replay): chunked against
// recurrent forms, with all states. Relative error at most 15 % in bf16 (30 %
// with a choice of tokens, which jumps), 0.2 % in f32.
absl::Status CheckModel(model::LoopedModel& model, bool chooses_tokens);

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_GREEN_H_
