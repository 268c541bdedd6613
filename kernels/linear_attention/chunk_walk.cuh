// The sequential kernel of the chunk engine: a matrix S [d_k, d_v] walks over
// the chunks of a sequence,
//
//   X' = X - W S           if there is a W, else X' = X
//   S  <- diag(E) S + A' X'
//
// Forward that is the state, A = Kd and X = U or V. Without W the gradient of
// the state is the same walk from the last chunk to the first, A = Qe, X = dO.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_WALK_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_WALK_CUH_

#include "kernels/linear_attention/chunk_engine.cuh"

namespace lt2::kernels::chunked {

struct Walk {
  Layout layout;
  int slice;  // columns of S per block
  bool reverse;
  const bf16* a;  // [n, 64, d_k]
  ValueRows x;
  const bf16* w;       // [n, 64, d_k], may be null
  const float* end;    // [n, d_k]
  const float* first;  // [batch, v_heads, d_k, d_v], may be null: zeros
  bf16* states;        // [n, d_k, d_v]: S before each chunk
  bf16* corrected;     // [n, 64, d_v]: X', only with w
  float* last;         // like first, may be null
};

absl::Status RunWalk(Context& ctx, const Walk& walk);

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_WALK_CUH_
