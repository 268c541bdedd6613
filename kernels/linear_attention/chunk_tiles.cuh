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

#include "kernels/core/cuda_util.cuh"
#include "kernels/core/mma.cuh"
#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels::chunked {

using bf16 = __nv_bfloat16;
using cuda::AllowShared;

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

// A 16 x 16 f32 tile over a warp: columns 0 to 7, then 8 to 15, each half as c
// in kernels/core/mma.cuh. `Acc{}` is zeros.
struct Acc {
  float half[2][4] = {};
  __device__ float& operator[](int e) { return half[e / 4][e % 4]; }
  __device__ float operator[](int e) const { return half[e / 4][e % 4]; }
};
constexpr int kAccElements = 8;
// Rows and columns of a lane's elements.
__device__ __forceinline__ int AccRow(int e) {
  return threadIdx.x % 32 / 4 + e % 4 / 2 * 8;
}
__device__ __forceinline__ int AccColumn(int e) {
  return threadIdx.x % 4 * 2 + e % 2 + e / 4 * 8;
}
// A row-major f32 tile in memory of any kind.
__device__ __forceinline__ void LoadAcc(Acc& acc, const float* from, int ld) {
#pragma unroll
  for (int e = 0; e < kAccElements; e += 2) {
    const float2 pair =
        *reinterpret_cast<const float2*>(from + AccRow(e) * ld + AccColumn(e));
    acc[e] = pair.x;
    acc[e + 1] = pair.y;
  }
}
__device__ __forceinline__ void StoreAcc(float* to, const Acc& acc, int ld) {
#pragma unroll
  for (int e = 0; e < kAccElements; e += 2) {
    *reinterpret_cast<float2*>(to + AccRow(e) * ld + AccColumn(e)) =
        make_float2(acc[e], acc[e + 1]);
  }
}

// A 16 x 16 bf16 operand over a warp, left or right.
struct Operand {
  uint32_t r[4];
};

// Loads a tile x of which memory holds x[row][column] at p[row * ld + column]
// or, if `kTransposed`, at p[column * ld + row]. A left operand has its pairs
// along rows, a right one along columns, so the four combinations are two ways
// of reading memory: along its rows (ldmatrix), or across them
// (ldmatrix.trans). Tiles of global memory, which ldmatrix cannot read, go
// element by element.
template <bool kLeft, bool kTransposed>
__device__ __forceinline__ Operand LoadOperand(const bf16* p, int ld) {
  constexpr bool kAlong = kLeft != kTransposed;
  // Of the four 8 x 8 matrices, in memory, the second is the next below for a
  // left operand along and for a right one across, else the next to the right.
  constexpr bool kDown = kLeft == kAlong;
  const int lane = threadIdx.x % 32;
  Operand x;
  if (__isShared(p)) {
    const int second = lane / 8 % 2 * 8, third = lane / 16 * 8;
    const bf16* row = p + (lane % 8 + (kDown ? second : third)) * ld +
                      (kDown ? third : second);
    if (kAlong) {
      mma::LoadMatrices(x.r, row);
    } else {
      mma::LoadMatricesTransposed(x.r, row);
    }
    return x;
  }
  const int g = lane / 4, t = lane % 4 * 2;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    const int down = (kDown ? n % 2 : n / 2) * 8;
    const int right = (kDown ? n / 2 : n % 2) * 8;
    if (kAlong) {
      x.r[n] =
          *reinterpret_cast<const uint32_t*>(p + (g + down) * ld + right + t);
    } else {
      const bf16* top = p + (t + down) * ld + right + g;
      const uint32_t low = __bfloat16_as_ushort(top[0]);
      const uint32_t high = __bfloat16_as_ushort(top[ld]);
      x.r[n] = low | high << 16;
    }
  }
  return x;
}

// acc += a b
__device__ __forceinline__ void Multiply(Acc& acc, const Operand& a,
                                         const Operand& b) {
  mma::Multiply(acc.half[0], a.r, b.r[0], b.r[1]);
  mma::Multiply(acc.half[1], a.r, b.r[2], b.r[3]);
}

// acc += op(A)[tile row i, k tiles] op(B)[k tiles, tile column j], k from
// k_begin to k_end in tiles. A transposed operand is stored as [k, i] (A) or
// [j, k] (B).
template <bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void MmaAdd(Acc& acc, const bf16* a, int lda, int i,
                                       const bf16* b, int ldb, int j,
                                       int k_begin, int k_end) {
  for (int k = k_begin; k < k_end; ++k) {
    const bf16* pa =
        kTransposeA ? a + (k * lda + i) * kTile : a + (i * lda + k) * kTile;
    const bf16* pb =
        kTransposeB ? b + (j * ldb + k) * kTile : b + (k * ldb + j) * kTile;
    Multiply(acc, LoadOperand<true, kTransposeA>(pa, lda),
             LoadOperand<false, kTransposeB>(pb, ldb));
  }
}

__device__ __forceinline__ void Scale(Acc& acc, float s) {
#pragma unroll
  for (int e = 0; e < kAccElements; ++e) acc[e] *= s;
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
  StoreAcc(patch, acc, kPatchLd);
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

// Copies `rows` rows of `columns` bf16 values to shared memory [rows, ld],
// those from `valid` on as zeros. Asynchronous: ends with __pipeline_commit and
// wait.
__device__ __forceinline__ void LoadRows(bf16* to, int ld, const bf16* from,
                                         int64_t row, int columns, int valid,
                                         int rows = kChunk) {
  const int vectors = columns / 8;
  for (int e = threadIdx.x; e < rows * vectors; e += blockDim.x) {
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
  for (int k = 0; k < k_tiles; ++k) {
    const bf16* pb =
        kTransposeB ? b + (j * ldb + k) * kTile : b + (k * ldb + j) * kTile;
    const Operand y = LoadOperand<false, kTransposeB>(pb, ldb);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      Multiply(acc[i], LoadOperand<true, false>(a + (i * lda + k) * kTile, lda),
               y);
    }
  }
}

// Row r of the tile times factor[r].
__device__ __forceinline__ void ScaleRows(Acc& acc, const float* factor) {
#pragma unroll
  for (int e = 0; e < kAccElements; ++e) acc[e] *= factor[AccRow(e)];
}

// Sum over the lanes before this one, added up as a tree: no differences.
__device__ __forceinline__ float SumBefore(float x) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const float other = __shfl_up_sync(0xffffffffu, x, step);
    if (lane >= step) x += other;
  }
  const float before = __shfl_up_sync(0xffffffffu, x, 1);
  return lane == 0 ? 0.0f : before;
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

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_TILES_CUH_
