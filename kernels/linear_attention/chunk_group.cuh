// Gradients of query and key rows. With one value head per query head a kernel
// writes them as they are; with several, each value head leaves an f32 partial
// result and SumGroups adds these up in order: no atomics.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_GROUP_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_GROUP_CUH_

#include "kernels/linear_attention/chunk_tiles.cuh"

namespace lt2::kernels::chunked {

// Where rows of a gradient go.
struct KeyRows {
  bf16* whole;     // [batch, seq, heads, d_k]
  float* partial;  // [batch, seq, v_heads, d_k]; null: write to whole

  // 8 columns of a row of chunk c. The token must exist.
  __device__ void Store(const Layout& l, int b, int h, int c, int row,
                        int column, const Share& share) const {
    if (partial == nullptr) {
      StoreShare(whole + l.qk_start(b, h, c) + row * l.qk_row() + column,
                 share);
      return;
    }
    float* to =
        partial +
        (l.gate_start(b, h, c) + static_cast<int64_t>(row) * l.v_heads) *
            l.d_k +
        column;
    for (int e = 0; e < 8; ++e) to[e] = share.x[e];
  }
};

// whole [batch, seq, heads, d_k] = sum over each group of partial [batch, seq,
// v_heads, d_k].
absl::Status SumGroups(Context& ctx, const Layout& layout,
                       const Tensor& partial, const Tensor& whole);

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_GROUP_CUH_
