// After which loop each token leaves a looped model (Ouro; paper.md 4.5).
//
// The gate of loop t gives a logit z_t for each token; lam_t = sigmoid(z_t) is
// the probability to leave after loop t for a token that got so far:
//
//   p_t = lam_t prod_{j<t} (1 - lam_j)   for t < T
//   p_T =       prod_{j<T} (1 - lam_j)
//
// (the gate of the last loop is not used: whoever gets there leaves). Then
//
//   step    the first t with p_1 + .. + p_t >= threshold, else T; 0-based
//   weight  of the loops' states in the result: 1 for `step`, 0 for the others
//           (kThreshold), or p (kWeighted)
//
// so that sum_t weight_t h_t is the chosen state, or the expected one. Sums and
// products are taken in f32 in the order of the loops, as Ouro's own code does,
// so that equal logits make equal choices. A NaN logit chooses the last loop.
//
// Everything is f32. Cost per token: 4 T bytes read, 8 T + 4 written, one
// exponential for each loop. No gradient (inference only).

#ifndef LT2_KERNELS_EXIT_GATE_EXIT_GATE_H_
#define LT2_KERNELS_EXIT_GATE_EXIT_GATE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

enum class ExitWeight { kThreshold, kWeighted };

struct ExitGateArgs {
  Tensor logits;  // f32 [loops, n], loops >= 1
  float threshold = 1;
  ExitWeight kind = ExitWeight::kThreshold;
};
struct ExitGateResults {
  Tensor probability;  // f32 [loops, n]
  Tensor weight;       // f32 [loops, n]
  Tensor step;         // i32 [n], 0 .. loops - 1
};

absl::Status ExitGateSupports(const ExitGateArgs& args);
absl::Status ExitGate(Context& ctx, const ExitGateArgs& args,
                      ExitGateResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EXIT_GATE_EXIT_GATE_H_
