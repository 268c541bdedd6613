// Softmax cross-entropy of next-token logits, in nats.
//
//   lse[i]  = log sum_v exp(logits[i, v])
//   loss[i] = lse[i] - logits[i, targets[i]], 0 where targets[i] is ignored
//   mean    = sum_i loss[i] / count, 0 if count = 0
//   dlogits[i, v] = (exp(logits[i, v] - lse[i]) - [v = targets[i]]) / count,
//                   0 where ignored
//
// where count is the number of rows not ignored. lse is given for every row.
// argmax[i] is the lowest index of the largest logit (of those that are not
// NaN; 0 if all are): accuracy needs no second pass.
//
// Cost: about 3 FLOPs and one exponential per logit each way. Forward reads the
// logits once on the GPU (a running maximum and sum), backward reads them once
// and writes once.
//
// A target outside [0, vocab) that is not kIgnoreTarget is an InvalidArgument
// on the CPU; on the GPU, where looking would cost a synchronisation, its loss
// and its row of dlogits are NaN. Sums over rows have a fixed order.

#ifndef LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_H_
#define LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

inline constexpr int32_t kIgnoreTarget = -100;

struct CrossEntropyArgs {
  Tensor logits;   // f32 [n, vocab], vocab >= 1
  Tensor targets;  // i32 [n]
};

struct CrossEntropyResults {
  Tensor loss;    // f32 [n]
  Tensor lse;     // f32 [n]
  Tensor argmax;  // i32 [n]
  Tensor mean;    // f32 [1]
  Tensor count;   // f32 [1]
};

absl::Status CrossEntropySupports(const CrossEntropyArgs& args);
absl::Status CrossEntropy(Context& ctx, const CrossEntropyArgs& args,
                          CrossEntropyResults* results);

struct CrossEntropyGradArgs {
  Tensor logits;            // f32 [n, vocab]
  Tensor targets;           // i32 [n]
  Tensor lse;               // f32 [n], from CrossEntropy
  Tensor count;             // f32 [1], from CrossEntropy
  DType out = DType::kF32;  // type of dlogits; bf16 on the GPU only
};

absl::Status CrossEntropyGradSupports(const CrossEntropyGradArgs& args);

// dlogits [n, vocab] of the mean loss. May be the logits' own tensor if out is
// f32: each element is read before it is overwritten.
absl::Status CrossEntropyGrad(Context& ctx, const CrossEntropyGradArgs& args,
                              Tensor* dlogits);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_H_
