// What all chunked kernels share (linear attention and the delta rule): 16x16
// tensor-core tiles on bf16 operands with f32 accumulation, where a chunk's
// rows are in the tensors, and loading them into shared memory.
//
// All matrices are row-major with a leading dimension; a flag says that an
// operand is used transposed. Shared tiles have 8 extra columns, so that the
// rows of a tile fall into different banks.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_TILES_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_TILES_CUH_

#include <cuda_pipeline.h>
#include <mma.h>

#include <type_traits>

#include "kernels/core/cuda_util.cuh"
#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels::chunked {

namespace wmma = nvcuda::wmma;
using bf16 = __nv_bfloat16;

constexpr int kChunk = 64;
constexpr int kTile = 16;
constexpr int kRowTiles = kChunk / kTile;
constexpr int kPad = 8;
constexpr int kSquare = kChunk + kPad;  // leading dimension of bf16 [64, 64]
constexpr int kSquareF32 = kChunk + 4;  // and of f32 [64, 64]
constexpr int kPatchLd = 20;            // a warp's f32 copy of one tile
constexpr int kPatch = kTile * kPatchLd;

// Sizes, and where the rows of a chunk are; rows are tokens. Chunk c of value
// head h of batch row b has index n = (b * v_heads + h) * chunks + c in every
// workspace tensor.
struct Layout {
  int batch, seq, heads, v_heads, d_k, d_v, chunks;

  __device__ int group() const { return v_heads / heads; }
  __device__ int64_t chunk_index(int b, int h, int c) const {
    return (static_cast<int64_t>(b) * v_heads + h) * chunks + c;
  }
  // Tokens of chunk c that exist.
  __device__ int valid(int c) const { return min(kChunk, seq - c * kChunk); }
  // First elements of the chunk's rows and the distance between tokens.
  __device__ int64_t qk_start(int b, int h, int c) const {
    return ((static_cast<int64_t>(b) * seq + c * kChunk) * heads +
            h / group()) *
           d_k;
  }
  __device__ int64_t gate_start(int b, int h, int c) const {
    return (static_cast<int64_t>(b) * seq + c * kChunk) * v_heads + h;
  }
  __device__ int64_t v_start(int b, int h, int c) const {
    return gate_start(b, h, c) * d_v;
  }
  __device__ int64_t qk_row() const {
    return static_cast<int64_t>(heads) * d_k;
  }
  __device__ int64_t v_row() const {
    return static_cast<int64_t>(v_heads) * d_v;
  }
};

inline Layout MakeLayout(const RecurrenceSizes& n) {
  return {static_cast<int>(n.batch),
          static_cast<int>(n.seq),
          static_cast<int>(n.heads),
          static_cast<int>(n.v_heads),
          static_cast<int>(n.d_k),
          static_cast<int>(n.d_v),
          static_cast<int>(cuda::CeilDiv(n.seq, kChunk))};
}

// Hands out pieces of dynamic shared memory. On the host, with a null base, it
// only counts.
class Carver {
 public:
  __host__ __device__ explicit Carver(unsigned char* base) : base_(base) {}
  template <typename T>
  __host__ __device__ T* Take(int n) {
    T* piece = reinterpret_cast<T*>(base_ + used_);
    used_ += (n * static_cast<int>(sizeof(T)) + 127) / 128 * 128;
    return piece;
  }
  __host__ __device__ int used() const { return used_; }

 private:
  unsigned char* base_;
  int used_ = 0;
};

using Acc = wmma::fragment<wmma::accumulator, kTile, kTile, kTile, float>;

// acc += op(A)[tile row i, k tiles] op(B)[k tiles, tile column j], k from
// k_begin to k_end in tiles. A transposed operand is stored as [k, i] (A) or
// [j, k] (B).
template <bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void MmaAdd(Acc& acc, const bf16* a, int lda, int i,
                                       const bf16* b, int ldb, int j,
                                       int k_begin, int k_end) {
  using LayoutA =
      std::conditional_t<kTransposeA, wmma::col_major, wmma::row_major>;
  using LayoutB =
      std::conditional_t<kTransposeB, wmma::col_major, wmma::row_major>;
  wmma::fragment<wmma::matrix_a, kTile, kTile, kTile, bf16, LayoutA> x;
  wmma::fragment<wmma::matrix_b, kTile, kTile, kTile, bf16, LayoutB> y;
  for (int k = k_begin; k < k_end; ++k) {
    const bf16* pa =
        kTransposeA ? a + (k * lda + i) * kTile : a + (i * lda + k) * kTile;
    const bf16* pb =
        kTransposeB ? b + (j * ldb + k) * kTile : b + (k * ldb + j) * kTile;
    wmma::load_matrix_sync(x, pa, lda);
    wmma::load_matrix_sync(y, pb, ldb);
    wmma::mma_sync(acc, x, y, acc);
  }
}

__device__ __forceinline__ void Scale(Acc& acc, float s) {
  for (int e = 0; e < acc.num_elements; ++e) acc.x[e] *= s;
}

// A lane's share of a tile: 8 columns of one row.
struct Share {
  float x[8];
};
__device__ __forceinline__ int ShareRow() { return threadIdx.x % 32 / 2; }
__device__ __forceinline__ int ShareColumn() { return threadIdx.x % 2 * 8; }

// Hands the tile's elements to the lanes in a known order, through the warp's
// patch.
__device__ __forceinline__ Share ReadTile(const Acc& acc, float* patch) {
  __syncwarp();  // all lanes have read what was there
  wmma::store_matrix_sync(patch, acc, kPatchLd, wmma::mem_row_major);
  __syncwarp();
  const float4* p = reinterpret_cast<const float4*>(
      patch + ShareRow() * kPatchLd + ShareColumn());
  const float4 low = p[0], high = p[1];
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// 8 bf16 values, 16-byte aligned.
__device__ __forceinline__ Share LoadShare(const bf16* from) {
  const uint4 raw = *reinterpret_cast<const uint4*>(from);
  const uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
  Share s;
  for (int i = 0; i < 4; ++i) {
    s.x[2 * i] = __uint_as_float(words[i] << 16);
    s.x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
  }
  return s;
}
__device__ __forceinline__ void StoreShare(bf16* to, const Share& s) {
  uint32_t words[4];
  for (int i = 0; i < 4; ++i) {
    const uint32_t low = __bfloat16_as_ushort(__float2bfloat16(s.x[2 * i]));
    const uint32_t high =
        __bfloat16_as_ushort(__float2bfloat16(s.x[2 * i + 1]));
    words[i] = low | (high << 16);
  }
  *reinterpret_cast<uint4*>(to) =
      make_uint4(words[0], words[1], words[2], words[3]);
}

// Copies 64 rows of `columns` bf16 values to shared memory [64, ld], rows from
// `valid` on as zeros. Asynchronous: ends with __pipeline_commit and wait.
__device__ __forceinline__ void LoadRows(bf16* to, int ld, const bf16* from,
                                         int64_t row, int columns, int valid) {
  const int vectors = columns / 8;
  for (int e = threadIdx.x; e < kChunk * vectors; e += blockDim.x) {
    const int i = e / vectors, j = e % vectors * 8;
    // A row that does not exist is not read; its address must be good anyway.
    const bf16* source = from + (i < valid ? i : 0) * row + j;
    __pipeline_memcpy_async(to + i * ld + j, source, 16, i < valid ? 0 : 16);
  }
}

// acc[i] += A[row tile i, k tiles] op(B)[k tiles, column tile j] for all four
// row tiles of a chunk; a tile of B is loaded once for the four.
template <bool kTransposeB>
__device__ __forceinline__ void MmaColumn(Acc (&acc)[kRowTiles], const bf16* a,
                                          int lda, const bf16* b, int ldb,
                                          int j, int k_tiles) {
  using LayoutB =
      std::conditional_t<kTransposeB, wmma::col_major, wmma::row_major>;
  wmma::fragment<wmma::matrix_a, kTile, kTile, kTile, bf16, wmma::row_major> x;
  wmma::fragment<wmma::matrix_b, kTile, kTile, kTile, bf16, LayoutB> y;
  for (int k = 0; k < k_tiles; ++k) {
    const bf16* pb =
        kTransposeB ? b + (j * ldb + k) * kTile : b + (k * ldb + j) * kTile;
    wmma::load_matrix_sync(y, pb, ldb);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      wmma::load_matrix_sync(x, a + (i * lda + k) * kTile, lda);
      wmma::mma_sync(acc[i], x, y, acc[i]);
    }
  }
}

// Which row of its tile each element of an accumulator is, found by loading a
// matrix of row numbers: the layout of fragments is not documented.
struct ElementRows {
  int row[Acc::num_elements];
};
__device__ __forceinline__ ElementRows FindRows(float* patch) {
  __syncwarp();
  for (int e = threadIdx.x % 32; e < kTile * kTile; e += 32) {
    patch[e / kTile * kPatchLd + e % kTile] = static_cast<float>(e / kTile);
  }
  __syncwarp();
  Acc acc;
  wmma::load_matrix_sync(acc, patch, kPatchLd, wmma::mem_row_major);
  ElementRows rows;
#pragma unroll
  for (int e = 0; e < Acc::num_elements; ++e) {
    rows.row[e] = static_cast<int>(acc.x[e]);
  }
  return rows;
}
// Row r of the tile times factor[r].
__device__ __forceinline__ void ScaleRows(Acc& acc, const ElementRows& rows,
                                          const float* factor) {
#pragma unroll
  for (int e = 0; e < Acc::num_elements; ++e) {
    acc.x[e] *= factor[rows.row[e]];
  }
}

// Sum over the two lanes that share a row of a tile.
__device__ __forceinline__ float RowSum(float x) {
  return x + __shfl_xor_sync(0xffffffffu, x, 1);
}
__device__ __forceinline__ bool FirstOfRow() { return threadIdx.x % 2 == 0; }
__device__ __forceinline__ float Dot(const Share& a, const Share& b) {
  float sum = 0;
  for (int e = 0; e < 8; ++e) sum += a.x[e] * b.x[e];
  return sum;
}

// Sets a kernel's limit of dynamic shared memory.
template <typename Kernel>
absl::Status AllowShared(Kernel kernel, int bytes) {
  LT2_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  return absl::OkStatus();
}

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_TILES_CUH_
