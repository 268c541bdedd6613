// dq, dk and dv in tiles of 64 queries by 64 keys, from delta = rowsum(dout *
// o), without atomics: the same bits on every run.
//
//   dk, dv: a block owns 64 keys of one key-value head and goes over the
//     queries that see them, head by head of the group. It computes the
//     transposed scores, so that p and ds are left operands in registers.
//   dq: a block owns 64 queries of one head and goes over their keys.
// Both rebuild the scores from lse: 14 instead of 10 D K FLOPs.
//
// What a query sees is the window of keys that ends at it, or (kMasked) the
// keys whose bits are set in its row of a mask: attention over a selected set
// (kernels/sparse_attention) where reading all keys in order is cheaper than
// gathering a few.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_GRAD_TILE_CUH_
#define LT2_KERNELS_ATTENTION_ATTENTION_GRAD_TILE_CUH_

#include "kernels/attention/attention_tile.cuh"

namespace lt2::kernels {

// Two words for each query and tile of 64 keys, [B, heads, S, tiles, 2]; bit n
// of word w is key 32 w + n of the tile. Heads: 1 or those of k and v.
struct KeyMask {
  const uint32_t* words;
  int heads, tiles;
  __device__ int64_t Row(const TileSizes& z, int64_t b, int kv_head,
                         int64_t i) const {
    const int head = heads == 1 ? 0 : kv_head;
    return ((b * heads + head) * z.queries + i) * tiles * 2;
  }
};

struct GradParams {
  TileSizes z;
  const Bf16 *q, *k, *v, *dout;
  const float *lse, *delta;
  Bf16 *dq, *dk, *dv;
  KeyMask mask;
  int tiles;  // of keys or of queries: what the blocks own
};

namespace grad {

constexpr int kRows = 64;  // queries, and keys, of a tile
constexpr int kGroups = kRows / 8;

template <int kDim>
constexpr int kTileElements = kRows* kDim;
// Two tiles that stay and two that are copied while the last are in use, and
// lse, delta and mask of the queries.
template <int kDim>
constexpr int kSharedBytes = 6 * kTileElements<kDim> * sizeof(Bf16) +
                             8 * kRows * sizeof(float);

// Whether the query at `position` sees `key`.
__device__ __forceinline__ bool Sees(int position, int key, int window) {
  return key <= position && key > position - window;
}

template <int kDim, bool kMasked>
__global__ __launch_bounds__(kThreads) void KeyGradKernel(GradParams p) {
  const TileSizes& z = p.z;
  constexpr int kTile = kTileElements<kDim>;
  Bf16* k_tile = mma::SharedTiles();
  Bf16* v_tile = k_tile + kTile;
  Bf16* stages = v_tile + kTile;  // [2][q, dout]
  // [2][lse, delta, low words of the mask, high words]
  float* row_stages = reinterpret_cast<float*>(stages + 4 * kTile);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // The first keys, which most queries see, start first.
  const int key = static_cast<int>(blockIdx.x % p.tiles) * kRows;
  const int64_t b = blockIdx.x / p.tiles / z.kv_heads;
  const int kv_head = static_cast<int>(blockIdx.x / p.tiles % z.kv_heads);

  // Queries that see any of these keys, and the tiles of them for each head.
  const int first = max(0, key - z.offset);
  const int last_key = min(key + kRows, z.keys) - 1;
  const int end = min(z.queries, last_key - z.offset + z.window);
  const int tiles = end > first ? (end - first + kRows - 1) / kRows : 0;
  const int steps = z.group * tiles;

  auto load = [&](int step) {
    const int h = kv_head * z.group + step / tiles;
    const int i = first + step % tiles * kRows;
    Bf16* q_tile = stages + step % 2 * 2 * kTile;
    float* lse = row_stages + step % 2 * 4 * kRows;
    const int64_t from = z.Query(b, i, h);
    LoadTile<kRows, kDim>(q_tile, p.q + from, z.QueryStride(), z.queries - i,
                          z.dim);
    LoadTile<kRows, kDim>(q_tile + kTile, p.dout + from, z.QueryStride(),
                          z.queries - i, z.dim);
    // The first 64 threads copy lse, the others delta.
    const int r = threadIdx.x % kRows;
    const bool valid = i + r < z.queries;
    const int64_t row = (b * z.heads + h) * z.queries + i + r;
    const float* values = threadIdx.x < kRows ? p.lse : p.delta;
    mma::CopyAsync4(lse + threadIdx.x, values + (valid ? row : 0), valid);
    if constexpr (kMasked) {
      const int64_t word = valid ? p.mask.Row(z, b, kv_head, i + r) +
                                       key / kRows * 2 + threadIdx.x / kRows
                                 : 0;
      mma::CopyAsync4(lse + 2 * kRows + threadIdx.x,
                      reinterpret_cast<const float*>(p.mask.words) + word,
                      valid);
    }
  };

  const int64_t offset = z.Key(b, key, kv_head);
  LoadTile<kRows, kDim>(k_tile, p.k + offset, z.KeyStride(), z.keys - key,
                        z.dim);
  LoadTile<kRows, kDim>(v_tile, p.v + offset, z.KeyStride(), z.keys - key,
                        z.dim);
  if (steps > 0) load(0);
  mma::CommitCopies();

  float dk[kDim / 8][4] = {}, dv[kDim / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    mma::WaitForCopies();
    __syncthreads();  // this stage is here; all have read the other one
    if (step + 1 < steps) {
      load(step + 1);
      mma::CommitCopies();
    }
    const int i = first + step % tiles * kRows;
    const Bf16* q_tile = stages + step % 2 * 2 * kTile;
    const Bf16* dout_tile = q_tile + kTile;
    const float* lse = row_stages + step % 2 * 4 * kRows;
    const float* delta = lse + kRows;
    // This warp's 16 keys are half of one of the words.
    [[maybe_unused]] const uint32_t* masks =
        reinterpret_cast<const uint32_t*>(lse + (2 + warp / 2) * kRows);

    // Transposed: rows are this warp's 16 keys, columns the queries.
    float s[kGroups][4] = {}, ds[kGroups][4] = {};
    MultiplyTransposed<kDim>(s, k_tile, warp * 16, q_tile);
    MultiplyTransposed<kDim>(ds, v_tile, warp * 16, dout_tile);
    const int position = z.offset + i;  // of the first query
    [[maybe_unused]] const bool masked =
        position < key + kRows - 1 || key <= position + kRows - 1 - z.window ||
        i + kRows > z.queries;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + lane % 4 * 2 + e % 2;
        s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[column] * kLog2E));
        const int row = lane / 4 + e / 2 * 8;
        bool sees = true;
        if constexpr (kMasked) {
          sees = (masks[column] >> (warp % 2 * 16 + row) & 1) != 0;
        } else if (masked) {
          sees = i + column < z.queries &&
                 Sees(position + column, key + warp * 16 + row, z.window);
        }
        // A mask may hide what is no number.
        const float d = s[n][e] * (ds[n][e] - delta[column]);
        s[n][e] = sees ? s[n][e] : 0.0f;
        ds[n][e] = sees ? d : 0.0f;
      }
    }
    MultiplyRows<kDim>(dv, s, dout_tile);
    MultiplyRows<kDim>(dk, ds, q_tile);
  }
  // Without a step the copies of k and v may still be under way; they must not
  // outlive the block.
  mma::WaitForCopies();
  StoreRows<kDim>(dk, z.scale, z.scale, p.dk + offset, z.KeyStride(),
                  warp * 16 + lane / 4, z.keys - key, z.dim);
  StoreRows<kDim>(dv, 1.0f, 1.0f, p.dv + offset, z.KeyStride(),
                  warp * 16 + lane / 4, z.keys - key, z.dim);
}

template <int kDim, bool kMasked>
__global__ __launch_bounds__(kThreads) void QueryGradKernel(GradParams p) {
  const TileSizes& z = p.z;
  constexpr int kTile = kTileElements<kDim>;
  Bf16* q_tile = mma::SharedTiles();
  Bf16* dout_tile = q_tile + kTile;
  Bf16* stages = dout_tile + kTile;  // [2][k, v]
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int tile = p.tiles - 1 - static_cast<int>(blockIdx.x % p.tiles);
  const int64_t b = blockIdx.x / p.tiles / z.heads;
  const int h = static_cast<int>(blockIdx.x / p.tiles % z.heads);
  const int first = tile * kRows;
  const int position = z.offset + first;
  const int end_key = min(position + kRows, z.keys);
  const int begin_key = max(0, position - z.window + 1) / kRows * kRows;

  auto load = [&](int key) {
    Bf16* k_tile = stages + key / kRows % 2 * 2 * kTile;
    const int64_t from = z.Key(b, key, h / z.group);
    LoadTile<kRows, kDim>(k_tile, p.k + from, z.KeyStride(), z.keys - key,
                          z.dim);
    LoadTile<kRows, kDim>(k_tile + kTile, p.v + from, z.KeyStride(),
                          z.keys - key, z.dim);
  };

  const int64_t offset = z.Query(b, first, h);
  LoadTile<kRows, kDim>(q_tile, p.q + offset, z.QueryStride(),
                        z.queries - first, z.dim);
  LoadTile<kRows, kDim>(dout_tile, p.dout + offset, z.QueryStride(),
                        z.queries - first, z.dim);
  load(begin_key);
  mma::CommitCopies();

  // Of this lane's two rows. Rows past the end compute on zeros, unstored.
  const int row = warp * 16 + lane / 4;
  float lse[2], delta[2];
  [[maybe_unused]] const uint32_t* masks[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first + row + 8 * half;
    const int64_t at = (b * z.heads + h) * z.queries + i;
    lse[half] = i < z.queries ? p.lse[at] * kLog2E : 0.0f;
    delta[half] = i < z.queries ? p.delta[at] : 0.0f;
    if constexpr (kMasked) {
      masks[half] =
          p.mask.words + p.mask.Row(z, b, h / z.group, min(i, z.queries - 1));
    }
  }

  float dq[kDim / 8][4] = {};
  for (int key = begin_key; key < end_key; key += kRows) {
    mma::WaitForCopies();
    __syncthreads();  // this stage is here; all have read the other one
    if (key + kRows < end_key) {
      load(key + kRows);
      mma::CommitCopies();
    }
    const Bf16* k_tile = stages + key / kRows % 2 * 2 * kTile;
    [[maybe_unused]] uint2 mask[2];
    if constexpr (kMasked) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        mask[half] =
            *reinterpret_cast<const uint2*>(masks[half] + key / kRows * 2);
      }
    }
    float s[kGroups][4] = {}, ds[kGroups][4] = {};
    MultiplyTransposed<kDim>(s, q_tile, warp * 16, k_tile);
    MultiplyTransposed<kDim>(ds, dout_tile, warp * 16, k_tile + kTile);
    [[maybe_unused]] const bool masked =
        key + kRows - 1 > position || key <= position + kRows - 1 - z.window;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + lane % 4 * 2 + e % 2;
        bool sees = true;
        if constexpr (kMasked) {
          const uint32_t word = n < 4 ? mask[e / 2].x : mask[e / 2].y;
          sees = (word >> column % 32 & 1) != 0;
        } else if (masked) {
          sees = Sees(position + row + e / 2 * 8, key + column, z.window);
        }
        s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[e / 2]));
        const float d = s[n][e] * (ds[n][e] - delta[e / 2]);
        ds[n][e] = sees ? d : 0.0f;
      }
    }
    MultiplyRows<kDim>(dq, ds, k_tile);
  }
  StoreRows<kDim>(dq, z.scale, z.scale, p.dq + offset, z.QueryStride(), row,
                  z.queries - first, z.dim);
}

inline absl::Status CheckGrid(int64_t blocks) {
  if (blocks <= INT32_MAX) return absl::OkStatus();
  return InvalidArgument("attention gradient would need ", blocks,
                         " thread blocks");
}

}  // namespace grad

// Fills dq, dk and dv of `batch` rows.
template <int kDim, bool kMasked>
absl::Status LaunchGradTiles(Context& ctx, int64_t batch, GradParams params) {
  const TileSizes& z = params.z;
  constexpr int kBytes = grad::kSharedBytes<kDim>;
  const auto key_kernel = grad::KeyGradKernel<kDim, kMasked>;
  const auto query_kernel = grad::QueryGradKernel<kDim, kMasked>;
  LT2_RETURN_IF_ERROR(cuda::AllowShared(key_kernel, kBytes));
  LT2_RETURN_IF_ERROR(cuda::AllowShared(query_kernel, kBytes));
  params.tiles = static_cast<int>(cuda::CeilDiv(z.keys, grad::kRows));
  const int64_t key_blocks = batch * z.kv_heads * params.tiles;
  LT2_RETURN_IF_ERROR(grad::CheckGrid(key_blocks));
  const auto key_grid = static_cast<unsigned>(key_blocks);
  key_kernel<<<key_grid, kThreads, kBytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention gradient of keys");

  params.tiles = static_cast<int>(cuda::CeilDiv(z.queries, grad::kRows));
  const int64_t query_blocks = batch * z.heads * params.tiles;
  LT2_RETURN_IF_ERROR(grad::CheckGrid(query_blocks));
  if (query_blocks == 0) return absl::OkStatus();
  const auto query_grid = static_cast<unsigned>(query_blocks);
  query_kernel<<<query_grid, kThreads, kBytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention gradient of queries");
  return absl::OkStatus();
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_GRAD_TILE_CUH_
