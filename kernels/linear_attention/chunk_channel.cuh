// Decay per channel in a chunk. e^{G_i - G_j} may neither be computed for every
// pair and channel (64 exponentials per key element) nor be split into e^{G_i}
// and e^{-G_j} (which overflows). So a chunk is four sub-chunks of 16 rows, and
// with R_I the sum of g up to the start of sub-chunk I,
//
//   e^{G_i - G_j} = e^{G_i - R_I} e^{R_I - G_j}    i in I, j in J < I
//
// in which every exponent is <= 0: matrix products of decayed rows. Pairs in
// the same sub-chunk are computed one by one in f32.
//
// Kernels take 32 channels at a time, so that shared memory does not grow with
// d_k and several blocks fit on a multiprocessor.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CHANNEL_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CHANNEL_CUH_

#include "kernels/linear_attention/chunk_prepare.cuh"

namespace lt2::kernels::chunked {

constexpr int kSlice = 32;               // channels at a time
constexpr int kSliceLd = kSlice + kPad;  // leading dimension of bf16 [.., 32]
constexpr int kSliceF32 = kSlice + 4;    // and of f32 [.., 32]
// Rows of all sub-chunks seen from later ones: 16 + 32 + 48.
constexpr int kEarlierRows = 96;
constexpr int kChannelWarps = kRowTiles;  // a warp per sub-chunk
constexpr int kChannelThreads = 32 * kChannelWarps;

// First of the rows of sub-chunks 0 .. i-1 as seen from sub-chunk i.
__device__ __forceinline__ int EarlierRow(int i) {
  return i * (i - 1) / 2 * 16;
}

// A slice of channels of a chunk in shared memory.
struct ChannelSlice {
  __host__ __device__ explicit ChannelSlice(Carver& carver) {
    q = carver.Take<bf16>(kChunk * kSliceLd);
    k = carver.Take<bf16>(kChunk * kSliceLd);
    local = carver.Take<float>(kChunk * kSliceF32);
    base = carver.Take<float>((kRowTiles + 1) * kSlice);
  }
  bf16 *q, *k;   // [64, 32]
  float* local;  // [64, 32]: G_i - R_I, the sum of g inside the sub-chunk
  float* base;   // [5, 32]: R_I; the last one is the whole chunk's sum

  // 8 columns of a row.
  __device__ Share Local(int row, int column) const {
    const float4* p =
        reinterpret_cast<const float4*>(local + row * kSliceF32 + column);
    const float4 low = p[0], high = p[1];
    return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
  }

  // Loads channels [first, first + width) of chunk c; width is 16 or 32. Tokens
  // that do not exist are zero and do not decay. Begins and ends with a
  // barrier.
  __device__ void Load(const Layout& l, const PrepareInputs& in, int b, int h,
                       int c, int first, int width) const {
    const int valid = l.valid(c);
    const int64_t qk = l.qk_start(b, h, c) + first;
    __syncthreads();  // the last slice is no longer in use
    LoadRows(q, kSliceLd, in.q + qk, l.qk_row(), width, valid);
    LoadRows(k, kSliceLd, in.k + qk, l.qk_row(), width, valid);
    // v_heads = heads: g has the rows of k.
    const int vectors = width / 4;
    for (int e = threadIdx.x; e < kChunk * vectors; e += kChannelThreads) {
      const int i = e / vectors, j = e % vectors * 4;
      const float* source = in.g + qk + (i < valid ? i : 0) * l.qk_row() + j;
      __pipeline_memcpy_async(local + i * kSliceF32 + j, source, 16,
                              i < valid ? 0 : 16);
    }
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (lane < width) {
      float sum = 0;
      for (int i = 0; i < kTile; ++i) {
        float* x = local + (warp * kTile + i) * kSliceF32 + lane;
        sum += *x;
        *x = sum;
      }
    }
    __syncthreads();
    if (lane < width) {
      float sum = 0;
      for (int i = 0; i <= warp; ++i) {
        sum += local[(i * kTile + kTile - 1) * kSliceF32 + lane];
      }
      base[(warp + 1) * kSlice + lane] = sum;
      if (warp == 0) base[lane] = 0.0f;
    }
    __syncthreads();
  }
};

// x . e^{a}, elementwise.
__device__ __forceinline__ Share Decayed(const Share& x, const Share& a) {
  Share y;
  for (int e = 0; e < 8; ++e) y.x[e] = x.x[e] * __expf(a.x[e]);
  return y;
}

// Writes rows of sub-chunk I = row / 16 as the later sub-chunks see them:
// k e^{R_L - G_row} for each L > I.
__device__ __forceinline__ void StoreEarlier(const ChannelSlice& slice,
                                             const Share& key,
                                             const Share& local, int row,
                                             int column, bf16* earlier) {
  const int own = row / kTile;
  for (int later = own + 1; later < kRowTiles; ++later) {
    Share exponent;
    for (int e = 0; e < 8; ++e) {
      exponent.x[e] = slice.base[later * kSlice + column + e] -
                      slice.base[own * kSlice + column + e] - local.x[e];
    }
    StoreShare(earlier + (EarlierRow(later) + row) * kSliceLd + column,
               Decayed(key, exponent));
  }
}

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CHANNEL_CUH_
