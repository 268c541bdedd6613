// Forward pass on a GPU. A block of four warps owns 128 queries of one head,
// 32 for each warp, and goes over the tiles of 64 keys that they see. Scores,
// running maximum and sum, and output stay in registers.

#include <cmath>

#include "kernels/attention/attention_tile.cuh"

namespace lt2::kernels {
namespace {

struct ForwardParams {
  TileSizes z;
  const Bf16 *q, *k, *v;
  Bf16* o;
  float* lse;
  int tiles;  // of queries
};

// 16-row tiles for each warp: two, so that a fragment of k or v is used twice
// for each load; shared memory would else be the limit.
constexpr int kRowTiles = 2;
constexpr int kQueries = kWarps * kRowTiles * 16;
constexpr int kKeys = 64;

template <int kDim>
constexpr int kSharedBytes = (kQueries + 2 * kKeys) * kDim * sizeof(Bf16);

// Scores [16, kKeys] of one row tile to unnormalised probabilities. `position`
// is that of this lane's first row, `key` that of its first column.
__device__ __forceinline__ void Softmax(float (&s)[kKeys / 8][4],
                                        float (&max)[2], float (&sum)[2],
                                        float (&factor)[2], bool masked,
                                        int position, int key,
                                        const TileSizes& z) {
  if (masked) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int row = position + e / 2 * 8, column = key + n * 8 + e % 2;
        if (column > row || column <= row - z.window) s[n][e] = -INFINITY;
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float m = max[half];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      m = fmaxf(m, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
    }
    // The four lanes of a row.
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
    m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
    // A row that has seen no key yet must not compute inf - inf.
    const float base = m == -INFINITY ? 0.0f : m * z.scale_log2;
    factor[half] = mma::Exp2(fmaf(max[half], z.scale_log2, -base));
    max[half] = m;
    float total = 0;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int e = 2 * half; e < 2 * half + 2; ++e) {
        s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -base));
        total += s[n][e];
      }
    }
    sum[half] = sum[half] * factor[half] + total;
  }
}

template <int kDim>
__global__ __launch_bounds__(kThreads) void ForwardKernel(ForwardParams p) {
  const TileSizes& z = p.z;
  Bf16* q_tile = mma::SharedTiles();
  Bf16* k_tile = q_tile + kQueries * kDim;
  Bf16* v_tile = k_tile + kKeys * kDim;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // Tiles of one head run together and share its keys in the second-level
  // cache; the last, which sees most keys, starts first.
  const int tile = p.tiles - 1 - static_cast<int>(blockIdx.x % p.tiles);
  const int64_t b = blockIdx.x / p.tiles / z.heads;
  const int h = static_cast<int>(blockIdx.x / p.tiles % z.heads);
  const int first = tile * kQueries;
  const int position = z.offset + first;
  const int end_key = min(position + kQueries, z.keys);
  const int begin_key = max(0, position - z.window + 1) / kKeys * kKeys;
  const int64_t stride = z.KeyStride();
  const Bf16* k = p.k + z.Key(b, 0, h / z.group);
  const Bf16* v = p.v + z.Key(b, 0, h / z.group);

  LoadTile<kQueries, kDim>(q_tile, p.q + z.Query(b, first, h), z.QueryStride(),
                           z.queries - first, z.dim);
  LoadTile<kKeys, kDim>(k_tile, k + begin_key * stride, stride,
                        z.keys - begin_key, z.dim);
  mma::CommitCopies();

  float o[kRowTiles][kDim / 8][4] = {};
  float max[kRowTiles][2], sum[kRowTiles][2] = {};
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) max[m][0] = max[m][1] = -INFINITY;
  const int row = warp * kRowTiles * 16;  // of this warp's first query

  for (int key = begin_key; key < end_key; key += kKeys) {
    mma::WaitForCopies();
    __syncthreads();  // k is here; all have read the last v
    LoadTile<kKeys, kDim>(v_tile, v + key * stride, stride, z.keys - key,
                          z.dim);
    mma::CommitCopies();

    float s[kRowTiles][kKeys / 8][4] = {};
#pragma unroll
    for (int d = 0; d < kDim; d += 16) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        LoadLeft<kDim>(a[m], q_tile, row + 16 * m, d);
      }
#pragma unroll
      for (int n = 0; n < kKeys / 8; n += 2) {
        uint32_t right[4];
        LoadRightTransposed<kDim>(right, k_tile, n * 8, d);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma::Multiply(s[m][n], a[m], right[0], right[1]);
          mma::Multiply(s[m][n + 1], a[m], right[2], right[3]);
        }
      }
    }

    mma::WaitForCopies();
    __syncthreads();  // v is here; all have read k
    if (key + kKeys < end_key) {
      LoadTile<kKeys, kDim>(k_tile, k + (key + kKeys) * stride, stride,
                            z.keys - key - kKeys, z.dim);
      mma::CommitCopies();
    }

    const bool masked =
        key + kKeys - 1 > position || key <= position + kQueries - 1 - z.window;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      float factor[2];
      Softmax(s[m], max[m], sum[m], factor, masked,
              position + row + 16 * m + lane / 4, key + lane % 4 * 2, z);
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) o[m][n][e] *= factor[e / 2];
      }
    }
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2) {
      uint32_t a[kRowTiles][4];
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) AsLeft(a[m], s[m][n], s[m][n + 1]);
#pragma unroll
      for (int d = 0; d < kDim; d += 16) {
        uint32_t right[4];
        LoadRight<kDim>(right, v_tile, n * 8, d);
#pragma unroll
        for (int m = 0; m < kRowTiles; ++m) {
          mma::Multiply(o[m][d / 8], a[m], right[0], right[1]);
          mma::Multiply(o[m][d / 8 + 1], a[m], right[2], right[3]);
        }
      }
    }
  }

  float* lse = p.lse + (b * z.heads + h) * z.queries + first;
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
    float inverse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float total = sum[m][half];
      total += __shfl_xor_sync(0xffffffffu, total, 1);
      total += __shfl_xor_sync(0xffffffffu, total, 2);
      inverse[half] = 1.0f / total;
      const int r = row + 16 * m + lane / 4 + 8 * half;
      if (lane % 4 == 0 && first + r < z.queries) {
        lse[r] = max[m][half] * z.scale + logf(total);
      }
    }
    StoreRows<kDim>(o[m], inverse[0], inverse[1], p.o + z.Query(b, first, h),
                    z.QueryStride(), row + 16 * m + lane / 4, z.queries - first,
                    z.dim);
  }
}

template <int kDim>
absl::Status Launch(Context& ctx, const AttentionSizes& z,
                    const ForwardParams& params) {
  LT2_RETURN_IF_ERROR(
      cuda::AllowShared(ForwardKernel<kDim>, kSharedBytes<kDim>));
  const int64_t blocks = z.batch * z.heads * params.tiles;
  if (blocks > INT32_MAX) {
    return InvalidArgument("attention would need ", blocks, " thread blocks");
  }
  const auto grid = static_cast<unsigned>(blocks);
  ForwardKernel<kDim>
      <<<grid, kThreads, kSharedBytes<kDim>, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention forward");
  return absl::OkStatus();
}

}  // namespace

absl::Status AttentionCuda(Context& ctx, const AttentionArgs& args,
                           AttentionResults* results) {
  if (args.q.dtype() == DType::kF32) {
    return AttentionPlainCuda(ctx, args, results);
  }
  const AttentionSizes z(args);
  LT2_RETURN_IF_ERROR(CheckTileSizes(z));
  const ForwardParams params{
      TileSizes(args),
      cuda::Data<BFloat16>(args.q),
      cuda::Data<BFloat16>(args.k),
      cuda::Data<BFloat16>(args.v),
      cuda::Data<BFloat16>(results->o),
      cuda::Data<float>(results->lse),
      static_cast<int>(cuda::CeilDiv(z.queries, kQueries))};
  return z.dim <= 64 ? Launch<64>(ctx, z, params) : Launch<128>(ctx, z, params);
}

}  // namespace lt2::kernels
