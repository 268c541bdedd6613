// The WY form's transform of a chunk: T = (I + B)^-1 and products with it. For
// blocks of kTransformWarps warps.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_TRANSFORM_CUH_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_TRANSFORM_CUH_

#include "kernels/linear_attention/chunk_tiles.cuh"

namespace lt2::kernels::delta_rule {

using namespace chunked;  // NOLINT

constexpr int kTransformWarps = 4;

// t = (I + b)^-1 for strictly lower triangular b [64, 64] in f32: rounding here
// would be amplified by every later product. First the four 16x16 blocks of the
// diagonal, a warp each, then the blocks below, a diagonal at a time:
//   T_ij = -T_ii sum_{j <= m < i} B_im T_mj.
// t must be zero on entry. `product` holds 3 * 256 floats.
__device__ inline void Invert(const float* b, float* t, float* product) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane < kTile) {
    const float* block = b + warp * kTile * (kSquareF32 + 1);
    float x[kTile];  // column `lane`
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      float sum = i == lane ? 1.0f : 0.0f;
#pragma unroll
      for (int m = 0; m < i; ++m) sum -= block[i * kSquareF32 + m] * x[m];
      x[i] = sum;
      t[warp * kTile * (kSquareF32 + 1) + i * kSquareF32 + lane] = sum;
    }
  }
  __syncthreads();
  for (int distance = 1; distance < kRowTiles; ++distance) {
    const int elements = (kRowTiles - distance) * kTile * kTile;
    for (int e = threadIdx.x; e < elements; e += 32 * kTransformWarps) {
      const int block = e / (kTile * kTile), j = block, i = block + distance;
      const int row = i * kTile + e / kTile % kTile, column = e % kTile;
      float sum = 0;
      for (int m = j * kTile; m < i * kTile; ++m) {
        sum += b[row * kSquareF32 + m] * t[m * kSquareF32 + j * kTile + column];
      }
      product[e] = sum;
    }
    __syncthreads();
    for (int e = threadIdx.x; e < elements; e += 32 * kTransformWarps) {
      const int block = e / (kTile * kTile), j = block, i = block + distance;
      const int row = i * kTile + e / kTile % kTile, column = e % kTile;
      float sum = 0;
      for (int m = 0; m < kTile; ++m) {
        sum -= t[row * kSquareF32 + i * kTile + m] *
               product[block * kTile * kTile + m * kTile + column];
      }
      t[row * kSquareF32 + j * kTile + column] = sum;
    }
    __syncthreads();
  }
}

// out[64, columns] = lower triangular a [64, 64] times x [64, columns].
__device__ inline void TriangularProduct(const bf16* a, const bf16* x,
                                         int columns, float* patch, bf16* out) {
  for (int j = threadIdx.x / 32; j < columns / kTile; j += kTransformWarps) {
    for (int i = 0; i < kRowTiles; ++i) {
      Acc acc;
      MmaAdd<false, false>(acc, a, kSquare, i, x, columns + kPad, j, 0, i + 1);
      const Share s = ReadTile(acc, patch);
      StoreShare(
          out + (i * kTile + ShareRow()) * columns + j * kTile + ShareColumn(),
          s);
    }
  }
}

}  // namespace lt2::kernels::delta_rule

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_TRANSFORM_CUH_
