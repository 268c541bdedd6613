// What the kernels of the delta rule with a scalar decay share, on top of
// kernels/linear_attention/chunk_tiles.cuh: their arguments and the chunk's
// gates.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_TILES_CUH_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_TILES_CUH_

#include "kernels/linear_attention/chunk_tiles.cuh"

namespace lt2::kernels::delta_rule {

using namespace chunked;  // NOLINT: its tiles are the vocabulary here

// The forward arguments.
struct Problem : Layout {
  const bf16 *q, *k, *v;
  const float *beta, *g;  // g may be null
  float scale;
};

// The chunk's beta and, from g, the running sums; both 0-extended: a token that
// does not exist has beta = 0 and no decay. Ends with a barrier.
__device__ __forceinline__ void LoadGates(const Problem& p, int b, int h, int c,
                                          float* beta, float* total,
                                          float* scratch) {
  const int i = threadIdx.x, valid = p.valid(c);
  const int64_t start = p.gate_start(b, h, c);
  if (i < kChunk) {
    const int64_t at = start + static_cast<int64_t>(i) * p.v_heads;
    beta[i] = i < valid ? p.beta[at] : 0.0f;
    scratch[i] = i < valid && p.g != nullptr ? p.g[at] : 0.0f;
  }
  __syncthreads();
  if (i < kChunk) {
    float sum = 0;
    for (int j = 0; j <= i; ++j) sum += scratch[j];
    total[i] = sum;
  }
  __syncthreads();
}

}  // namespace lt2::kernels::delta_rule

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_TILES_CUH_
