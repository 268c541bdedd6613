// Scores of the indexer for a slab of queries.
//
//   I[t,s] = sum_j w[t,j] relu(scale <q[t,j], k[s]>)
//
// bf16: a block of four warps has 64 queries by 128 keys. The keys stay in
// shared memory, the queries of one head after the other come by asynchronous
// copies. 2 HI DI FLOPs for each element; it reads (HI DI / 64 + DI / 128) * 2
// bytes for each, about 100 FLOPs for a byte of cache.
// f32: 64 x 64 by 256 threads with 4 x 4 elements each, no tensor cores.

#include <algorithm>

#include "kernels/sparse_attention/indexer_cuda.cuh"
#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

// Whether no query of the tile sees any of its keys.
__device__ bool Unseen(const IndexerParams& p, const Slab& slab, int64_t b,
                       int row0, int tile_rows, int key0) {
  const int last = min(row0 + tile_rows, slab.rows) - 1;
  return key0 >= p.Limit(b, slab.query + last);
}

int ScoreSharedBytes(int dim) {
  return (kSlabKeys + 2 * kSlabQueries) * Padded(dim) *
             static_cast<int>(sizeof(Bf16)) +
         2 * kSlabQueries * static_cast<int>(sizeof(float));
}

__global__ __launch_bounds__(kThreads) void ScoreKernel(IndexerParams p,
                                                        Slab slab,
                                                        const Bf16* q,
                                                        const Bf16* k) {
  const int key0 = blockIdx.x * kSlabKeys, row0 = blockIdx.y * kSlabQueries;
  const int64_t b = slab.b + blockIdx.z;
  if (Unseen(p, slab, b, row0, kSlabQueries, key0)) return;
  const int padded = Padded(p.dim);
  Bf16* k_tile = mma::SharedTiles();
  Bf16* stages = k_tile + kSlabKeys * padded;
  float* weights = reinterpret_cast<float*>(stages + 2 * kSlabQueries * padded);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

  auto copy = [&](int head) {
    CopyRows<kSlabQueries>(
        stages + head % 2 * kSlabQueries * padded, padded, q, p.dim,
        [&](int r) -> int64_t {
          return row0 + r < slab.rows ? p.Query(b, slab.query + row0 + r, head)
                                      : -1;
        });
    if (p.w != nullptr && thread < kSlabQueries) {
      const bool valid = row0 + thread < slab.rows;
      const int64_t at =
          valid ? p.Row(b, slab.query + row0 + thread) * p.heads + head : 0;
      mma::CopyAsync4(weights + head % 2 * kSlabQueries + thread, p.w + at,
                      valid);
    }
    mma::CommitCopies();
  };

  CopyRows<kSlabKeys>(k_tile, padded, k, p.dim, [&](int r) -> int64_t {
    return key0 + r < p.keys ? p.Key(b, key0 + r) : -1;
  });
  copy(0);
  float sum[kSlabKeys / 8][4] = {};
  const int row = warp * 16 + lane / 4;  // this lane's first
  for (int head = 0; head < p.heads; ++head) {
    mma::WaitForCopies();
    __syncthreads();  // this head is here; all have read the other stage
    if (head + 1 < p.heads) copy(head + 1);
    const Bf16* q_tile = stages + head % 2 * kSlabQueries * padded;
    float w[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      w[half] = p.w == nullptr
                    ? 1.0f / static_cast<float>(p.heads)
                    : weights[head % 2 * kSlabQueries + row + 8 * half];
    }
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      float s[8][4] = {};
      Scores<8>(s, q_tile, warp * 16, k_tile, part * 64, p.dim);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          float& to = sum[part * 8 + n][e];
          to = fmaf(w[e / 2], p.Activate(s[n][e] * p.scale), to);
        }
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row0 + row + 8 * half;
    if (r >= slab.rows) continue;
    float* to = slab.Row(blockIdx.z, r) + key0 + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kSlabKeys / 8; ++n) {
      *reinterpret_cast<float2*>(to + n * 8) = {sum[n][2 * half],
                                                sum[n][2 * half + 1]};
    }
  }
}

constexpr int kPlainTile = 64, kPlainDepth = 16, kPlainThreads = 256;

__global__ __launch_bounds__(kPlainThreads) void PlainScoreKernel(
    IndexerParams p, Slab slab, const float* q, const float* k) {
  const int key0 = blockIdx.x * kPlainTile, row0 = blockIdx.y * kPlainTile;
  const int64_t b = slab.b + blockIdx.z;
  if (Unseen(p, slab, b, row0, kPlainTile, key0)) return;
  // [inner dimension][row], a column apart so that stores do not collide.
  __shared__ float q_tile[kPlainDepth][kPlainTile + 1];
  __shared__ float k_tile[kPlainDepth][kPlainTile + 1];
  const int thread = threadIdx.x, x = thread % 16, y = thread / 16;
  float sum[4][4] = {};
  for (int head = 0; head < p.heads; ++head) {
    float s[4][4] = {};
    for (int d0 = 0; d0 < p.dim; d0 += kPlainDepth) {
      __syncthreads();  // all have read the last tiles
      for (int n = thread; n < kPlainTile * kPlainDepth; n += kPlainThreads) {
        const int r = n / kPlainDepth, d = n % kPlainDepth;
        const bool inside = d0 + d < p.dim;
        q_tile[d][r] = inside && row0 + r < slab.rows
                           ? q[p.Query(b, slab.query + row0 + r, head) + d0 + d]
                           : 0.0f;
        k_tile[d][r] =
            inside && key0 + r < p.keys ? k[p.Key(b, key0 + r) + d0 + d] : 0.0f;
      }
      __syncthreads();  // the tiles are here
      for (int d = 0; d < kPlainDepth; ++d) {
#pragma unroll
        for (int m = 0; m < 4; ++m) {
#pragma unroll
          for (int n = 0; n < 4; ++n) {
            s[m][n] =
                fmaf(q_tile[d][y + 16 * m], k_tile[d][x + 16 * n], s[m][n]);
          }
        }
      }
    }
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const int r = row0 + y + 16 * m;
      const float w = r < slab.rows ? p.Weight(b, slab.query + r, head) : 0.0f;
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        sum[m][n] = fmaf(w, p.Activate(s[m][n] * p.scale), sum[m][n]);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < 4; ++m) {
    const int r = row0 + y + 16 * m;
    if (r >= slab.rows) continue;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      slab.Row(blockIdx.z, r)[key0 + x + 16 * n] = sum[m][n];
    }
  }
}

}  // namespace

absl::Status ForEachSlab(Context& ctx, const IndexerArgs& args,
                         const SlabSize& size,
                         const std::function<absl::Status(const Slab&)>& body) {
  const IndexerSizes z(args);
  if (size.columns > 1 << 30) {
    return InvalidArgument("an indexer over ", size.columns,
                           " keys; at most 2^30 on a GPU");
  }
  const int64_t stride = cuda::CeilDiv(size.columns, kSlabKeys) * kSlabKeys;
  const int64_t elements = size.elements / size.arrays;
  // Tiles of queries that all batch rows together may have.
  const int64_t tiles =
      std::max(elements / (stride * kSlabQueries), int64_t{1});
  const int64_t rows = std::min(z.queries, tiles * kSlabQueries);
  const int64_t batch = std::clamp(elements / (rows * stride), int64_t{1},
                                   std::min(z.batch, int64_t{65535}));
  LT2_ASSIGN_OR_RETURN(
      Tensor data, ctx.Empty(DType::kF32, {size.arrays, batch, rows, stride}));
  Slab slab;
  slab.stride = stride;
  slab.plane = batch * rows * stride;
  slab.data = data.data<float>();
  for (slab.b = 0; slab.b < z.batch; slab.b += batch) {
    slab.batch = std::min(batch, z.batch - slab.b);
    for (int64_t i = 0; i < z.queries; i += rows) {
      slab.query = static_cast<int>(i);
      slab.rows = static_cast<int>(std::min(rows, z.queries - i));
      LT2_RETURN_IF_ERROR(body(slab));
    }
  }
  return absl::OkStatus();
}

absl::Status ScoreSlab(Context& ctx, const IndexerArgs& args,
                       const Slab& slab) {
  const IndexerParams params(args);
  const auto y = static_cast<unsigned>(cuda::CeilDiv(slab.rows, kSlabQueries));
  const auto z = static_cast<unsigned>(slab.batch);
  if (args.q.dtype() == DType::kF32) {
    const auto x =
        static_cast<unsigned>(cuda::CeilDiv(params.keys, kPlainTile));
    PlainScoreKernel<<<dim3(x, y, z), kPlainThreads, 0, cuda::StreamOf(ctx)>>>(
        params, slab, cuda::Data<float>(args.q), cuda::Data<float>(args.k));
  } else {
    const int bytes = ScoreSharedBytes(params.dim);
    LT2_RETURN_IF_ERROR(cuda::AllowShared(ScoreKernel, bytes));
    const auto x = static_cast<unsigned>(slab.stride / kSlabKeys);
    ScoreKernel<<<dim3(x, y, z), kThreads, bytes, cuda::StreamOf(ctx)>>>(
        params, slab, cuda::Data<BFloat16>(args.q),
        cuda::Data<BFloat16>(args.k));
  }
  LT2_RETURN_LAUNCH_ERROR("indexer scores");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::sparse
