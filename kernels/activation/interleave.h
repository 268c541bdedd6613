// A sequence as every n-th step of a longer one, and back: DeltaProduct takes n
// steps of the delta rule per token, where only the last one has a query and
// only the first one a decay.
//
//   Interleave  y[b, i n + slot] = x[b, i], zero elsewhere   [B, S n, ..]
//   TakeEvery   y[b, i] = x[b, i n + slot]                   [B, S, ..]
//
// Each is the gradient of the other: dx of Interleave is TakeEvery of dy, dx of
// TakeEvery is Interleave of dy, with the same n and slot.
//
// TakeEvery also picks one of n interleaved channels: view [B, S, H n] as
// [B, S H n, 1].
//
// x is [B, S, ..] of rank >= 2; f32, or on CUDA bf16. Copies: no arithmetic, no
// rounding. Cost: each value is read and written once.

#ifndef LT2_KERNELS_ACTIVATION_INTERLEAVE_H_
#define LT2_KERNELS_ACTIVATION_INTERLEAVE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct InterleaveArgs {
  Tensor x;          // act [B, S, ..]
  int64_t n = 1;     // >= 1
  int64_t slot = 0;  // 0 .. n - 1
};
absl::Status InterleaveSupports(const InterleaveArgs& args);
absl::Status Interleave(Context& ctx, const InterleaveArgs& args,
                        Tensor* y /* x's type [B, S n, ..] */);

struct TakeEveryArgs {
  Tensor x;          // act [B, S, ..], S a multiple of n
  int64_t n = 1;     // >= 1
  int64_t slot = 0;  // 0 .. n - 1
};
absl::Status TakeEverySupports(const TakeEveryArgs& args);
absl::Status TakeEvery(Context& ctx, const TakeEveryArgs& args,
                       Tensor* y /* x's type [B, S / n, ..] */);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_INTERLEAVE_H_
