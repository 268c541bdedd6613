// Tiles and fragments on top of attention_mma.cuh, and the arguments that the
// forward and backward kernels share.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_TILE_CUH_
#define LT2_KERNELS_ATTENTION_ATTENTION_TILE_CUH_

#include "kernels/attention/attention_impl.h"
#include "kernels/attention/attention_mma.cuh"

namespace lt2::kernels {

using mma::Bf16;

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;

// Positions and extents in a sequence fit an int (checked at launch); offsets
// into tensors are 64 bits.
struct TileSizes {
  explicit TileSizes(const AttentionArgs& args) {
    const AttentionSizes z(args);
    queries = static_cast<int>(z.queries);
    keys = static_cast<int>(z.keys);
    heads = static_cast<int>(z.heads);
    kv_heads = static_cast<int>(z.kv_heads);
    group = static_cast<int>(z.group);
    dim = static_cast<int>(z.dim);
    offset = static_cast<int>(z.offset);
    window = static_cast<int>(z.window);
    scale = args.scale;
    scale_log2 = args.scale * kLog2E;
  }

  // The first element of a query's or a key's vector.
  __device__ int64_t Query(int64_t b, int64_t i, int h) const {
    return ((b * queries + i) * heads + h) * dim;
  }
  __device__ int64_t Key(int64_t b, int64_t s, int kv_head) const {
    return ((b * keys + s) * kv_heads + kv_head) * dim;
  }
  __device__ int64_t QueryStride() const {
    return static_cast<int64_t>(heads) * dim;
  }
  __device__ int64_t KeyStride() const {
    return static_cast<int64_t>(kv_heads) * dim;
  }

  int queries, keys, heads, kv_heads, group, dim, offset, window;
  float scale, scale_log2;
};

inline absl::Status CheckTileSizes(const AttentionSizes& z) {
  // Leaves room for a position plus a tile.
  if (z.keys <= 1 << 30 && z.heads <= 1 << 20) return absl::OkStatus();
  return InvalidArgument("attention over ", z.keys, " keys and ", z.heads,
                         " heads; at most 2^30 and 2^20 on a GPU");
}

// Where a kernel keeps element (row, column) of a tile; column is a multiple
// of 8.
template <int kDim>
__device__ __forceinline__ int TileOffset(int row, int column) {
  return row * kDim + (((column / 8) ^ (row & 7)) * 8);
}

// Starts copying rows that are `stride` apart; rows from `valid_rows` and
// columns from `dim` on become zero.
template <int kRows, int kDim>
__device__ __forceinline__ void LoadTile(Bf16* tile, const Bf16* from,
                                         int64_t stride, int valid_rows,
                                         int dim) {
  constexpr int kPieces = kDim / 8;
  constexpr int kStep = kThreads / kPieces;  // rows that all threads copy
  static_assert(kStep % 8 == 0 && kRows % kStep == 0);
  // A thread's column, and with it its place in the permutation, never changes.
  const int row = static_cast<int>(threadIdx.x) / kPieces;
  const int column = static_cast<int>(threadIdx.x) % kPieces * 8;
  const Bf16* source = from + row * stride + column;
  Bf16* target = tile + TileOffset<kDim>(row, column);
#pragma unroll
  for (int r = 0; r < kRows; r += kStep) {
    const bool valid = row + r < valid_rows && column < dim;
    mma::CopyAsync16(target + r * kDim, valid ? source + r * stride : from,
                     valid);
  }
}

// Rows [row, row + 16), columns [column, column + 16) as a left operand.
template <int kDim>
__device__ __forceinline__ void LoadLeft(uint32_t (&a)[4], const Bf16* tile,
                                         int row, int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatrices(
      a, tile + TileOffset<kDim>(row + lane % 16, column + lane / 16 * 8));
}

// The right operands of a product with the tile's transpose: rows [row, row +
// 16) of the tile are two groups of 8 columns, its columns [column, column +
// 16) the inner dimension. {b[0], b[1]} belong to the first group.
template <int kDim>
__device__ __forceinline__ void LoadRightTransposed(uint32_t (&b)[4],
                                                    const Bf16* tile, int row,
                                                    int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatrices(b, tile + TileOffset<kDim>(row + lane % 8 + lane / 16 * 8,
                                               column + lane / 8 % 2 * 8));
}

// The right operands of a product with the tile itself: rows [row, row + 16)
// are the inner dimension, columns [column, column + 16) two groups of 8.
template <int kDim>
__device__ __forceinline__ void LoadRight(uint32_t (&b)[4], const Bf16* tile,
                                          int row, int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatricesTransposed(
      b, tile + TileOffset<kDim>(row + lane % 16, column + lane / 16 * 8));
}

// c[16, 8 kGroups] += left rows [row, row + 16) times the transpose of right.
template <int kDim, int kGroups>
__device__ __forceinline__ void MultiplyTransposed(float (&c)[kGroups][4],
                                                   const Bf16* left, int row,
                                                   const Bf16* right) {
#pragma unroll
  for (int d = 0; d < kDim; d += 16) {
    uint32_t a[4];
    LoadLeft<kDim>(a, left, row, d);
#pragma unroll
    for (int n = 0; n < kGroups; n += 2) {
      uint32_t b[4];
      LoadRightTransposed<kDim>(b, right, n * 8, d);
      mma::Multiply(c[n], a, b[0], b[1]);
      mma::Multiply(c[n + 1], a, b[2], b[3]);
    }
  }
}

// Two neighbouring groups of a product, rounded, as the left operand of the
// next product: the layouts agree.
__device__ __forceinline__ void AsLeft(uint32_t (&a)[4], const float (&c0)[4],
                                       const float (&c1)[4]) {
  a[0] = mma::Pack(c0[0], c0[1]);
  a[1] = mma::Pack(c0[2], c0[3]);
  a[2] = mma::Pack(c1[0], c1[1]);
  a[3] = mma::Pack(c1[2], c1[3]);
}

// c[16, kDim] += left[16, 8 kGroups] times the tile's first 8 kGroups rows.
template <int kDim, int kGroups>
__device__ __forceinline__ void MultiplyRows(float (&c)[kDim / 8][4],
                                             const float (&left)[kGroups][4],
                                             const Bf16* right) {
#pragma unroll
  for (int k = 0; k < kGroups; k += 2) {
    uint32_t a[4];
    AsLeft(a, left[k], left[k + 1]);
#pragma unroll
    for (int d = 0; d < kDim; d += 16) {
      uint32_t b[4];
      LoadRight<kDim>(b, right, k * 8, d);
      mma::Multiply(c[d / 8], a, b[0], b[1]);
      mma::Multiply(c[d / 8 + 1], a, b[2], b[3]);
    }
  }
}

// Stores the product's rows row and row + 8 of this lane, scaled; `to` points
// at row 0, rows are `stride` apart.
template <int kDim>
__device__ __forceinline__ void StoreRows(const float (&c)[kDim / 8][4],
                                          float scale_low, float scale_high,
                                          Bf16* to, int64_t stride, int row,
                                          int valid_rows, int dim) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row + 8 * half;
    const float scale = half == 0 ? scale_low : scale_high;
    if (r >= valid_rows) continue;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      if (n * 8 >= dim) continue;
      *reinterpret_cast<uint32_t*>(to + r * stride + n * 8 + column) =
          mma::Pack(c[n][2 * half] * scale, c[n][2 * half + 1] * scale);
    }
  }
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_TILE_CUH_
