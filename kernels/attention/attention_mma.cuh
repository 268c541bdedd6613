// The tensor-core vocabulary of the attention kernels: tiles in shared memory,
// asynchronous copies; kernels/core/mma.cuh has the products.
//
// A tile is rows of kDim bf16 in shared memory. The 16-byte pieces of row r are
// permuted by exclusive-or with r % 8, so that the eight rows of an 8 x 8
// matrix, read at one column, lie in different banks.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_MMA_CUH_
#define LT2_KERNELS_ATTENTION_ATTENTION_MMA_CUH_

#include <cstdint>

#include "kernels/core/cuda_util.cuh"
#include "kernels/core/mma.cuh"

namespace lt2::kernels::mma {

// The dynamic shared memory of the running block.
__device__ __forceinline__ Bf16* SharedTiles() {
  extern __shared__ __align__(128) unsigned char lt2_attention_shared[];
  return reinterpret_cast<Bf16*>(lt2_attention_shared);
}

// 16 bytes to shared memory; zeros if not valid, and `from` is not read.
__device__ __forceinline__ void CopyAsync16(Bf16* to, const Bf16* from,
                                            bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(
                   SharedAddress(to)),
               "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void CopyAsync4(float* to, const float* from,
                                           bool valid) {
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(SharedAddress(to)),
      "l"(__cvta_generic_to_global(from)), "r"(valid ? 4 : 0)
      : "memory");
}
__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
// Waits for this thread's copies; a barrier must follow for those of others.
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group 0;\n" ::: "memory");
}

// 2^x to 2^-22 relative, 0 for minus infinity.
__device__ __forceinline__ float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x));
  return y;
}

// Two floats as bf16, the first in the low half.
__device__ __forceinline__ uint32_t Pack(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(r) : "f"(high), "f"(low));
  return r;
}

}  // namespace lt2::kernels::mma

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_MMA_CUH_
