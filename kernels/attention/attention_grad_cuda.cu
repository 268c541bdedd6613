// Gradient on a GPU, without atomics: the same bits on every run.
//
//   1. delta = rowsum(dout * o): one warp for each query and head.
//   2. dk, dv: a block owns 64 keys of one key-value head and goes over the
//      queries that see them, head by head of the group. It computes the
//      transposed scores, so that p and ds are left operands in registers.
//   3. dq: a block owns 64 queries of one head and goes over their keys.
// 2 and 3 both rebuild the scores from lse: 14 instead of 10 D K FLOPs.

#include "kernels/attention/attention_tile.cuh"

namespace lt2::kernels {
namespace {

struct GradParams {
  TileSizes z;
  const Bf16 *q, *k, *v, *dout;
  const float *lse, *delta;
  Bf16 *dq, *dk, *dv;
  int tiles;  // of keys or of queries: what the blocks own
};

constexpr int kRows = 64;  // queries, and keys, of a tile
constexpr int kGroups = kRows / 8;

// Two tiles that stay and two that are copied while the last are in use, and
// lse and delta of the queries.
template <int kDim>
constexpr int kTileElements = kRows* kDim;
template <int kDim>
constexpr int kSharedBytes = 6 * kTileElements<kDim> * sizeof(Bf16) +
                             4 * kRows * sizeof(float);

__global__ void DeltaKernel(TileSizes z, int64_t rows, const Bf16* o,
                            const Bf16* dout, float* delta) {
  const int64_t row = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp
  const int column = static_cast<int>(threadIdx.x) % 32 * 4;
  float sum = 0;
  if (column < z.dim) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int64_t i = row * z.dim + column + e;
      sum += cuda::AsFloat(o[i]) * cuda::AsFloat(dout[i]);
    }
  }
  sum = cuda::WarpSum(sum);
  if (threadIdx.x % 32 == 0) {
    const int h = static_cast<int>(row % z.heads);
    const int64_t i = row / z.heads % z.queries;
    const int64_t b = row / z.heads / z.queries;
    delta[(b * z.heads + h) * z.queries + i] = sum;
  }
}

// Whether the query at `position` sees `key`.
__device__ __forceinline__ bool Sees(int position, int key, int window) {
  return key <= position && key > position - window;
}

template <int kDim>
__global__ __launch_bounds__(kThreads) void KeyGradKernel(GradParams p) {
  const TileSizes& z = p.z;
  constexpr int kTile = kTileElements<kDim>;
  Bf16* k_tile = mma::SharedTiles();
  Bf16* v_tile = k_tile + kTile;
  Bf16* stages = v_tile + kTile;  // [2][q, dout]
  // [2][lse, delta]
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
    float* lse = row_stages + step % 2 * 2 * kRows;
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
    const float* lse = row_stages + step % 2 * 2 * kRows;
    const float* delta = lse + kRows;

    // Transposed: rows are this warp's 16 keys, columns the queries.
    float s[kGroups][4] = {}, ds[kGroups][4] = {};
    MultiplyTransposed<kDim>(s, k_tile, warp * 16, q_tile);
    MultiplyTransposed<kDim>(ds, v_tile, warp * 16, dout_tile);
    const int position = z.offset + i;  // of the first query
    const bool masked = position < key + kRows - 1 ||
                        key <= position + kRows - 1 - z.window ||
                        i + kRows > z.queries;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + lane % 4 * 2 + e % 2;
        s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[column] * kLog2E));
        if (masked) {
          const int row_key = key + warp * 16 + lane / 4 + e / 2 * 8;
          if (i + column >= z.queries ||
              !Sees(position + column, row_key, z.window)) {
            s[n][e] = 0;
          }
        }
        ds[n][e] = s[n][e] * (ds[n][e] - delta[column]);
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

template <int kDim>
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
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first + row + 8 * half;
    const int64_t at = (b * z.heads + h) * z.queries + i;
    lse[half] = i < z.queries ? p.lse[at] * kLog2E : 0.0f;
    delta[half] = i < z.queries ? p.delta[at] : 0.0f;
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
    float s[kGroups][4] = {}, ds[kGroups][4] = {};
    MultiplyTransposed<kDim>(s, q_tile, warp * 16, k_tile);
    MultiplyTransposed<kDim>(ds, dout_tile, warp * 16, k_tile + kTile);
    const bool masked =
        key + kRows - 1 > position || key <= position + kRows - 1 - z.window;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[e / 2]));
        if (masked && !Sees(position + row + e / 2 * 8,
                            key + n * 8 + lane % 4 * 2 + e % 2, z.window)) {
          s[n][e] = 0;
        }
        ds[n][e] = s[n][e] * (ds[n][e] - delta[e / 2]);
      }
    }
    MultiplyRows<kDim>(dq, ds, k_tile);
  }
  StoreRows<kDim>(dq, z.scale, z.scale, p.dq + offset, z.QueryStride(), row,
                  z.queries - first, z.dim);
}

absl::Status CheckGrid(int64_t blocks) {
  if (blocks <= INT32_MAX) return absl::OkStatus();
  return InvalidArgument("attention gradient would need ", blocks,
                         " thread blocks");
}

template <int kDim>
absl::Status Launch(Context& ctx, const AttentionSizes& z, GradParams params) {
  constexpr int kBytes = kSharedBytes<kDim>;
  LT2_RETURN_IF_ERROR(cuda::AllowShared(KeyGradKernel<kDim>, kBytes));
  LT2_RETURN_IF_ERROR(cuda::AllowShared(QueryGradKernel<kDim>, kBytes));
  params.tiles = static_cast<int>(cuda::CeilDiv(z.keys, kRows));
  const int64_t key_blocks = z.batch * z.kv_heads * params.tiles;
  LT2_RETURN_IF_ERROR(CheckGrid(key_blocks));
  const auto key_grid = static_cast<unsigned>(key_blocks);
  KeyGradKernel<kDim>
      <<<key_grid, kThreads, kBytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention gradient of keys");

  params.tiles = static_cast<int>(cuda::CeilDiv(z.queries, kRows));
  const int64_t query_blocks = z.batch * z.heads * params.tiles;
  LT2_RETURN_IF_ERROR(CheckGrid(query_blocks));
  if (query_blocks == 0) return absl::OkStatus();
  const auto query_grid = static_cast<unsigned>(query_blocks);
  QueryGradKernel<kDim>
      <<<query_grid, kThreads, kBytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("attention gradient of queries");
  return absl::OkStatus();
}

}  // namespace

absl::Status AttentionGradCuda(Context& ctx, const AttentionGradArgs& args,
                               AttentionGradResults* results) {
  const AttentionSizes z(args.forward);
  LT2_RETURN_IF_ERROR(CheckTileSizes(z));
  const TileSizes sizes(args.forward);
  LT2_ASSIGN_OR_RETURN(Tensor delta,
                       ctx.Empty(DType::kF32, {z.batch, z.heads, z.queries}));
  const int64_t rows = z.batch * z.heads * z.queries;
  if (rows > 0) {
    LT2_RETURN_IF_ERROR(CheckGrid(cuda::CeilDiv(rows, 8)));
    const auto grid = static_cast<unsigned>(cuda::CeilDiv(rows, 8));
    DeltaKernel<<<grid, 256, 0, cuda::StreamOf(ctx)>>>(
        sizes, rows, cuda::Data<BFloat16>(args.o),
        cuda::Data<BFloat16>(args.dout), cuda::Data<float>(delta));
    LT2_RETURN_LAUNCH_ERROR("attention delta");
  }
  const GradParams params{sizes,
                          cuda::Data<BFloat16>(args.forward.q),
                          cuda::Data<BFloat16>(args.forward.k),
                          cuda::Data<BFloat16>(args.forward.v),
                          cuda::Data<BFloat16>(args.dout),
                          cuda::Data<float>(args.lse),
                          cuda::Data<float>(delta),
                          cuda::Data<BFloat16>(results->dq),
                          cuda::Data<BFloat16>(results->dk),
                          cuda::Data<BFloat16>(results->dv),
                          0};
  return z.dim <= 64 ? Launch<64>(ctx, z, params) : Launch<128>(ctx, z, params);
}

}  // namespace lt2::kernels
