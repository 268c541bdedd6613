// The order of scores as integers.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SCORE_ORDER_CUDA_CUH_
#define LT2_KERNELS_SPARSE_ATTENTION_SCORE_ORDER_CUDA_CUH_

#include <cstdint>

#include "kernels/core/cuda_util.cuh"

namespace lt2::kernels::sparse {

// Larger for a larger score; equal for +0 and -0; 1 for NaN, more for every
// number. 0 is free for "none".
__device__ __forceinline__ uint32_t ScoreOrder(float score) {
  if (isnan(score)) return 1;
  if (score == 0) score = 0.0f;
  const uint32_t bits = __float_as_uint(score);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SCORE_ORDER_CUDA_CUH_
