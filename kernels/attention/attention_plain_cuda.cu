// Forward pass in f32 on a GPU, without tensor cores: for checks of whole
// models, not for training. A block of eight warps has 32 queries of one head
// and goes over tiles of 32 keys; a warp has four queries, a lane one key of
// the tile and, for the output, every 32nd column.

#include <cmath>

#include "kernels/attention/attention_tile.cuh"

namespace lt2::kernels {
namespace {

constexpr int kTile = 32;  // queries, and keys
constexpr int kPlainWarps = 8;
constexpr int kPlainRows = kTile / kPlainWarps;  // queries of a warp
constexpr int kMaxColumns = 4;                   // 128 of 32 lanes
constexpr int kStride = 129;  // lanes read one column of 32 rows
constexpr int kPlainBytes = 3 * kTile * kStride * int{sizeof(float)};

struct PlainParams {
  TileSizes z;
  const float *q, *k, *v;
  float *o, *lse;
  int tiles;
};

// Rows from `valid` on become zero.
__device__ void LoadPlain(float* tile, const float* from, int64_t stride,
                          int valid, int dim) {
  const int lane = threadIdx.x % 32;
  for (int r = static_cast<int>(threadIdx.x) / 32; r < kTile;
       r += kPlainWarps) {
    for (int d = lane; d < dim; d += 32) {
      tile[r * kStride + d] = r < valid ? from[r * stride + d] : 0.0f;
    }
  }
}

__global__ __launch_bounds__(32 * kPlainWarps) void PlainForwardKernel(
    PlainParams p) {
  extern __shared__ float plain_shared[];
  const TileSizes& z = p.z;
  float* q_tile = plain_shared;
  float* k_tile = q_tile + kTile * kStride;
  float* v_tile = k_tile + kTile * kStride;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int tile = p.tiles - 1 - static_cast<int>(blockIdx.x % p.tiles);
  const int64_t b = blockIdx.x / p.tiles / z.heads;
  const int h = static_cast<int>(blockIdx.x / p.tiles % z.heads);
  const int first = tile * kTile;
  const int position = z.offset + first;
  const int end_key = min(position + kTile, z.keys);
  const int begin_key = max(0, position - z.window + 1) / kTile * kTile;
  const float* q_rows = q_tile + warp * kPlainRows * kStride;

  LoadPlain(q_tile, p.q + z.Query(b, first, h), z.QueryStride(),
            z.queries - first, z.dim);
  float o[kPlainRows][kMaxColumns] = {}, sum[kPlainRows] = {};
  float max[kPlainRows];
  for (int r = 0; r < kPlainRows; ++r) max[r] = -INFINITY;
  for (int key = begin_key; key < end_key; key += kTile) {
    __syncthreads();  // all have read the last tiles
    const int64_t from = z.Key(b, key, h / z.group);
    LoadPlain(k_tile, p.k + from, z.KeyStride(), z.keys - key, z.dim);
    LoadPlain(v_tile, p.v + from, z.KeyStride(), z.keys - key, z.dim);
    __syncthreads();  // q, k and v are here
    float s[kPlainRows] = {};
    for (int d = 0; d < z.dim; ++d) {
      const float k = k_tile[lane * kStride + d];
#pragma unroll
      for (int r = 0; r < kPlainRows; ++r) {
        s[r] = fmaf(q_rows[r * kStride + d], k, s[r]);
      }
    }
#pragma unroll
    for (int r = 0; r < kPlainRows; ++r) {
      const int at = position + warp * kPlainRows + r;
      const bool sees = key + lane <= at && key + lane > at - z.window;
      const float score = sees ? s[r] * z.scale : -INFINITY;
      const float m = fmaxf(max[r], cuda::WarpMax(score));
      // A row that has seen no key yet must not compute inf - inf.
      const float base = m == -INFINITY ? 0.0f : m;
      const float factor = expf(max[r] - base);
      s[r] = expf(score - base);
      max[r] = m;
      sum[r] = sum[r] * factor + s[r];  // of this lane's keys
#pragma unroll
      for (int c = 0; c < kMaxColumns; ++c) o[r][c] *= factor;
    }
    for (int j = 0; j < kTile; ++j) {
      float v[kMaxColumns];
#pragma unroll
      for (int c = 0; c < kMaxColumns; ++c) {
        v[c] = 32 * c + lane < z.dim ? v_tile[j * kStride + 32 * c + lane] : 0;
      }
#pragma unroll
      for (int r = 0; r < kPlainRows; ++r) {
        const float weight = __shfl_sync(0xffffffffu, s[r], j);
#pragma unroll
        for (int c = 0; c < kMaxColumns; ++c) {
          o[r][c] = fmaf(weight, v[c], o[r][c]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kPlainRows; ++r) {
    const float total = cuda::WarpSum(sum[r]);
    const int i = first + warp * kPlainRows + r;
    if (i >= z.queries) continue;
    if (lane == 0) {
      p.lse[(b * z.heads + h) * z.queries + i] = max[r] + logf(total);
    }
    float* to = p.o + z.Query(b, i, h);
#pragma unroll
    for (int c = 0; c < kMaxColumns; ++c) {
      if (32 * c + lane < z.dim) to[32 * c + lane] = o[r][c] / total;
    }
  }
}

}  // namespace

absl::Status AttentionPlainCuda(Context& ctx, const AttentionArgs& args,
                                AttentionResults* results) {
  const AttentionSizes z(args);
  LT2_RETURN_IF_ERROR(CheckTileSizes(z));
  const int64_t tiles = cuda::CeilDiv(z.queries, kTile);
  const int64_t blocks = z.batch * z.heads * tiles;
  if (blocks > INT32_MAX) {
    return InvalidArgument("attention would need ", blocks, " thread blocks");
  }
  LT2_RETURN_IF_ERROR(cuda::AllowShared(PlainForwardKernel, kPlainBytes));
  const PlainParams params{TileSizes(args),
                           cuda::Data<float>(args.q),
                           cuda::Data<float>(args.k),
                           cuda::Data<float>(args.v),
                           cuda::Data<float>(results->o),
                           cuda::Data<float>(results->lse),
                           static_cast<int>(tiles)};
  PlainForwardKernel<<<static_cast<unsigned>(blocks), 32 * kPlainWarps,
                       kPlainBytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention forward in f32");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
