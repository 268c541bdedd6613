// Tensor-core products of bf16 with f32 sums, m16n8k16, and loading their
// operands from shared memory (PTX ISA: ldmatrix, mma.sync).
//
// In a fragment the lane 4 g + t of a warp holds
//   of a, 16 x 16: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), each
//   with
//     its right neighbour, in a[0] to a[3]
//   of b, 16 x 8:  (2t, g) and (2t + 8, g), each with the one below, in b0, b1
//   of c, 16 x 8:  (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)

#ifndef LT2_KERNELS_CORE_MMA_CUH_
#define LT2_KERNELS_CORE_MMA_CUH_

#include <cuda_bf16.h>

#include <cstdint>

namespace lt2::kernels::mma {

using Bf16 = __nv_bfloat16;

__device__ __forceinline__ uint32_t SharedAddress(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// Four 8 x 8 matrices; lane l names a row of matrix l / 8.
__device__ __forceinline__ void LoadMatrices(uint32_t (&r)[4],
                                             const Bf16* row) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
      : "r"(SharedAddress(row))
      : "memory");
}
__device__ __forceinline__ void LoadMatricesTransposed(uint32_t (&r)[4],
                                                       const Bf16* row) {
  asm volatile(
      "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
      : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
      : "r"(SharedAddress(row))
      : "memory");
}

// c[16, 8] += a[16, 16] b[16, 8]
__device__ __forceinline__ void Multiply(float (&c)[4], const uint32_t (&a)[4],
                                         uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace lt2::kernels::mma

#endif  // LT2_KERNELS_CORE_MMA_CUH_
