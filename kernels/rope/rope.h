// Rotary position embedding (Su et al., arXiv 2104.09864).
//
// Pair i of a head of size D, i in [0, D/2), at position t is rotated by the
// angle a = t * theta^(-2i/D):
//   y1 = x1 cos a - x2 sin a
//   y2 = x1 sin a + x2 cos a
// kInterleaved pairs (x[2i], x[2i+1])     (LT2's softmax layers, Llama's own)
// kHalfSplit   pairs (x[i], x[i + D/2])   (Ouro, RetNet; "NeoX")
//
// The gradient is the inverse rotation: Rope(dy) with inverse = true.
//
// Angles are computed and reduced in fp64, so cos and sin are those of the
// exact angle rounded to f32, also at positions in the millions; in f32 the
// angle itself would be off by 0.06 at position 10^6.
//
// y may be x itself (in place).
// Cost for n elements: 2n values moved, 3n FLOPs, and one cosine and sine per
// token and pair, shared by the heads.
// Not supported: odd D, rotating part of a head, scaled variants (YaRN).

#ifndef LT2_KERNELS_ROPE_ROPE_H_
#define LT2_KERNELS_ROPE_ROPE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

enum class RopeLayout { kInterleaved, kHalfSplit };

struct RopeArgs {
  Tensor x;  // act [B, S, H, D]
  float theta = 10000;
  RopeLayout layout = RopeLayout::kInterleaved;
  int64_t position = 0;  // of token 0; token s has position + s
  // Optional i32 [B]: the position of token 0 in each row of the batch, on x's
  // device. Overrides `position`.
  Tensor positions;
  bool inverse = false;  // rotates by the negative angles
};

absl::Status RopeSupports(const RopeArgs& args);
absl::Status Rope(Context& ctx, const RopeArgs& args, Tensor* y /* like x */);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ROPE_ROPE_H_
