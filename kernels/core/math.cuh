// Device functions that several operators share, in f32.

#ifndef LT2_KERNELS_CORE_MATH_CUH_
#define LT2_KERNELS_CORE_MATH_CUH_

#include "kernels/core/cuda_util.cuh"

namespace lt2::cuda {

// 1 / (1 + e^-x), without overflow and with full relative precision in both
// tails.
__device__ __forceinline__ float Sigmoid(float x) {
  const float e = expf(-fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// d/dx of x Sigmoid(x), from s = Sigmoid(x).
__device__ __forceinline__ float SiluSlope(float x, float s) {
  return s * (1.0f + x * (1.0f - s));
}

// log(1 + e^x) in a form that neither overflows nor cancels.
__device__ __forceinline__ float Softplus(float x) {
  return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

}  // namespace lt2::cuda

#endif  // LT2_KERNELS_CORE_MATH_CUH_
