// Decay per token in a chunk: its running sums in shared memory.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_SCALAR_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_SCALAR_CUH_

#include "kernels/linear_attention/chunk_prepare.cuh"

namespace lt2::kernels::chunked {

// total[i] = g of the chunk's tokens up to i; tokens that do not exist do not
// decay. Ends with a barrier. `scratch` holds 64 floats.
__device__ __forceinline__ void LoadDecay(const Layout& l,
                                          const PrepareInputs& in, int b, int h,
                                          int c, float* total, float* scratch) {
  const int i = threadIdx.x;
  if (i < kChunk) {
    float g = 0;
    if (in.g != nullptr && i < l.valid(c)) {
      g = in.per_head ? in.g[h]
                      : in.g[l.gate_start(b, h, c) +
                             static_cast<int64_t>(i) * l.v_heads];
    }
    scratch[i] = g;
  }
  __syncthreads();
  if (i < kChunk) {
    float sum = 0;
    for (int j = 0; j <= i; ++j) sum += scratch[j];
    total[i] = sum;
  }
  __syncthreads();
}

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_SCALAR_CUH_
