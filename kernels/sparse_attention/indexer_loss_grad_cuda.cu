// Gradient of the indexer's loss on a GPU, from d loss / d I of a slab:
//
//   x[j,s]  = scale <q[t,j], k[s]>
//   c[j,s]  = dI[t,s] w[t,j] scale,  0 where relu and x <= 0
//   dq[t,j] = sum_s c[j,s] k[s];   dw[t,j] = sum_s dI[t,s] relu(x[j,s])
//   dk[s]   = sum_t,j c[j,s] q[t,j]
//
// dq and dw: a thread block has one query, up to 16 heads and the list of
// tokens. dk: a thread block has 64 tokens and a part of the slab's queries,
// and goes over those that see them; the parts of a slab, and then the slabs,
// are added in order. dk is dense also for lists: 4 HI DI FLOPs for each
// visible pair, as cheap as the scores that chose them.

#include "kernels/sparse_attention/indexer_loss_cuda.cuh"

namespace lt2::kernels {
namespace sparse {
namespace {

constexpr int kRows = 64;           // (query, head) pairs of a tile
constexpr int kIndexColumns = 128;  // most columns of q and k
// Queries of a part: few, as a block's steps wait for each other; at least so
// many that the sums take no more memory than the slab.
constexpr int kPartQueries = 128;

struct LossGradParams {
  LossParams loss;
  Bf16* dq;
  float* dw;        // or null
  float* dk_sum;    // f32 [B, L, DI]
  float* dk_parts;  // f32 [parts, batch rows of the slab, L, DI]
};

// c of one pair, and what dw adds up.
struct PairGrad {
  float coefficient, weight;
};
__device__ __forceinline__ PairGrad GradOf(const IndexerParams& x, float dot,
                                           float d, float w) {
  const float value = dot * x.scale;
  // Tokens outside the set have d = 0 and may be anything, NaN too.
  if (d == 0 || (x.relu && value <= 0)) return {0.0f, 0.0f};
  return {d * w * x.scale, d * value};
}

__global__ __launch_bounds__(kThreads) void LossQueryGradKernel(
    LossGradParams params, Slab slab) {
  const LossParams& p = params.loss;
  const IndexerParams& x = p.x;
  const int padded = Padded(x.dim);
  Bf16* q_tile = mma::SharedTiles();
  Bf16* k_tile = q_tile + kHeads * padded;
  Bf16* c_tile = k_tile + kKeys * padded;
  __shared__ int tokens[kKeys];
  __shared__ float dscores[kKeys];
  __shared__ float parts[4][kHeads];
  __shared__ int scratch[kThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int r = slab.rows - 1 - static_cast<int>(blockIdx.x);
  const int64_t b = slab.b + blockIdx.y, i = slab.query + r;
  const int head = blockIdx.z * kHeads, rows = min(kHeads, x.heads - head);
  const TokenList list(p.z, b, i, 0, scratch);
  const float* from = slab.Row(blockIdx.y, r, kScores);

  CopyRows<kHeads>(q_tile, padded, p.index_q, x.dim, [&](int n) -> int64_t {
    return n < rows ? x.Query(b, i, head + n) : -1;
  });
  float w[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    w[half] = row < rows ? x.Weight(b, i, head + row) : 0.0f;
  }
  float dq[2][2][4] = {}, dw[2] = {};
  for (int first = 0; first < list.count(); first += kKeys) {
    if (thread < kKeys) {
      const int n = first + thread;
      tokens[thread] = list.At(n);
      dscores[thread] = n < list.count() ? from[n] : 0.0f;
    }
    __syncthreads();  // tokens are here; the tiles are free
    CopyRows<kKeys>(k_tile, padded, p.index_k, x.dim, [&](int n) -> int64_t {
      return tokens[n] < 0 ? -1 : x.Key(b, tokens[n]);
    });
    mma::CommitCopies();
    mma::WaitForCopies();
    __syncthreads();  // q and k are here
    float s[2][4] = {};
    Scores<2>(s, q_tile, 0, k_tile, warp * 16, x.dim);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = warp * 16 + n * 8 + lane % 4 * 2 + e % 2;
        const PairGrad g = GradOf(x, s[n][e], dscores[column], w[e / 2]);
        s[n][e] = g.coefficient;
        dw[e / 2] += g.weight;
      }
    }
    StoreWeights(s, c_tile, warp * 16);
    __syncthreads();  // coefficients are here
    MultiplyWeights<2>(dq, c_tile, k_tile, x.dim);
    __syncthreads();  // all have read the tiles, tokens and dscores
  }
  // q of an empty list must not come after the block's end.
  mma::CommitCopies();
  mma::WaitForCopies();
  const float one[2] = {1.0f, 1.0f};
  StoreOutput<2>(dq, one, params.dq + x.Query(b, i, head), rows, x.dim);

  if (params.dw == nullptr) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = dw[half];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (lane % 4 == 0) parts[warp][lane / 4 + 8 * half] = sum;
  }
  __syncthreads();
  if (thread < rows) {
    params.dw[x.Row(b, i) * x.heads + head + thread] =
        (parts[0][thread] + parts[1][thread]) +
        (parts[2][thread] + parts[3][thread]);
  }
}

__global__ __launch_bounds__(kThreads) void LossKeyGradKernel(
    LossGradParams params, Slab slab) {
  const LossParams& p = params.loss;
  const IndexerParams& x = p.x;
  const int padded = Padded(x.dim);
  Bf16* k_tile = mma::SharedTiles();
  Bf16* q_tile = k_tile + kKeys * padded;
  // d loss / d I [query of the step, token], and of each row of the tile its
  // weight and its query of the step.
  __shared__ float dscores[kRows][kKeys];
  __shared__ float weights[kRows];
  __shared__ int entries[kRows];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int key0 = blockIdx.x * kKeys;
  const int64_t b = slab.b + blockIdx.y;
  const int array = p.z.prefix ? kScores : kByToken;

  // Rows of the part from the first that sees the first token.
  const int64_t part = int64_t{blockIdx.z} * kPartQueries;
  const int end = static_cast<int>(
      min(part + kPartQueries, static_cast<int64_t>(slab.rows)));
  const int64_t unseen = key0 - x.positions.Of(b, 0) - slab.query;
  const int row0 =
      static_cast<int>(min(max(unseen, part), static_cast<int64_t>(end)));
  const int heads = min(x.heads, kRows), per_step = kRows / heads;
  const int head_steps = (x.heads + heads - 1) / heads;
  const int steps = (end - row0 + per_step - 1) / per_step * head_steps;

  CopyRows<kKeys>(k_tile, padded, p.index_k, x.dim, [&](int n) -> int64_t {
    return key0 + n < x.keys ? x.Key(b, key0 + n) : -1;
  });
  float sum[kIndexColumns / 8][4] = {};
  for (int step = 0; step < steps; ++step) {
    const int first = row0 + step / head_steps * per_step;
    const int head0 = step % head_steps * heads;
    CopyRows<kRows>(q_tile, padded, p.index_q, x.dim, [&](int n) -> int64_t {
      const int row = first + n / heads, head = head0 + n % heads;
      return n < per_step * heads && row < end && head < x.heads
                 ? x.Query(b, slab.query + row, head)
                 : -1;
    });
    mma::CommitCopies();
    for (int n = thread; n < per_step * kKeys; n += kThreads) {
      const int row = first + n / kKeys, key = key0 + n % kKeys;
      const bool valid = row < end && key < x.Limit(b, slab.query + row);
      dscores[n / kKeys][n % kKeys] =
          valid ? slab.Row(blockIdx.y, row, array)[key] : 0.0f;
    }
    if (thread < kRows) {
      const int row = first + thread / heads, head = head0 + thread % heads;
      const bool valid =
          thread < per_step * heads && row < end && head < x.heads;
      weights[thread] = valid ? x.Weight(b, slab.query + row, head) : 0.0f;
      // Rows without a query have q = 0, and any entry will do.
      entries[thread] = min(thread / heads, per_step - 1);
    }
    mma::WaitForCopies();
    __syncthreads();  // q, d loss / d I and weights are here
    // Rows are this warp's 16 tokens, columns (query, head) pairs.
    float s[kRows / 8][4] = {};
    Scores<kRows / 8>(s, k_tile, warp * 16, q_tile, 0, x.dim);
#pragma unroll
    for (int n = 0; n < kRows / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = n * 8 + lane % 4 * 2 + e % 2;
        const float d =
            dscores[entries[column]][warp * 16 + lane / 4 + e / 2 * 8];
        s[n][e] = GradOf(x, s[n][e], d, weights[column]).coefficient;
      }
    }
#pragma unroll
    for (int n = 0; n < kRows; n += 16) {
      const float(&c0)[4] = s[n / 8], (&c1)[4] = s[n / 8 + 1];
      const uint32_t a[4] = {mma::Pack(c0[0], c0[1]), mma::Pack(c0[2], c0[3]),
                             mma::Pack(c1[0], c1[1]), mma::Pack(c1[2], c1[3])};
#pragma unroll
      for (int c = 0; c < kIndexColumns; c += 16) {
        if (c >= x.dim) continue;
        uint32_t right[4];
        LoadRight(right, q_tile, padded, n, c);
        mma::Multiply(sum[c / 8], a, right[0], right[1]);
        mma::Multiply(sum[c / 8 + 1], a, right[2], right[3]);
      }
    }
    __syncthreads();  // all have read the step's tiles
  }
  // Without a step the copies of k may still be under way; they must not
  // outlive the block.
  mma::CommitCopies();
  mma::WaitForCopies();
  const int64_t rows = int64_t{blockIdx.z} * slab.batch + blockIdx.y;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int key = key0 + warp * 16 + lane / 4 + 8 * half;
    if (key >= x.keys) continue;
    float* to = params.dk_parts + x.Key(rows, key) + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kIndexColumns / 8; ++n) {
      if (n * 8 >= x.dim) continue;
      *reinterpret_cast<float2*>(to + n * 8) = {sum[n][2 * half],
                                                sum[n][2 * half + 1]};
    }
  }
}

// sum[n] += the slab's parts of it, in order.
__global__ void AddPartsKernel(int64_t elements, int parts, const float4* from,
                               float4* sum) {
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n >= elements) return;
  float4 total = sum[n];
  for (int part = 0; part < parts; ++part) {
    const float4 x = from[part * elements + n];
    total.x += x.x;
    total.y += x.y;
    total.z += x.z;
    total.w += x.w;
  }
  sum[n] = total;
}

__global__ void RoundKernel(int64_t pairs, const float2* from, uint32_t* to) {
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n < pairs) to[n] = mma::Pack(from[n].x, from[n].y);
}

absl::Status LaunchLossGrad(Context& ctx, LossGradParams params,
                            const Slab& slab) {
  const IndexerParams& x = params.loss.x;
  const int padded = Padded(x.dim);
  const int query_bytes =
      ((kHeads + kKeys) * padded + kHeads * kKeys) * int{sizeof(Bf16)};
  const int key_bytes = (kKeys + kRows) * padded * int{sizeof(Bf16)};
  LT2_RETURN_IF_ERROR(cuda::AllowShared(LossQueryGradKernel, query_bytes));
  LT2_RETURN_IF_ERROR(cuda::AllowShared(LossKeyGradKernel, key_bytes));
  const auto rows = static_cast<unsigned>(slab.rows);
  const auto batch = static_cast<unsigned>(slab.batch);
  const auto heads = static_cast<unsigned>(cuda::CeilDiv(x.heads, kHeads));
  LossQueryGradKernel<<<dim3(rows, batch, heads), kThreads, query_bytes,
                        cuda::StreamOf(ctx)>>>(params, slab);
  LT2_RETURN_LAUNCH_ERROR("indexer loss gradient of queries");
  const auto tiles = static_cast<unsigned>(cuda::CeilDiv(x.keys, kKeys));
  const int parts = static_cast<int>(cuda::CeilDiv(slab.rows, kPartQueries));
  LT2_ASSIGN_OR_RETURN(
      Tensor dk_parts,
      ctx.Empty(DType::kF32, {parts, slab.batch, x.keys, x.dim}));
  params.dk_parts = dk_parts.data<float>();
  LossKeyGradKernel<<<dim3(tiles, batch, static_cast<unsigned>(parts)),
                      kThreads, key_bytes, cuda::StreamOf(ctx)>>>(params, slab);
  LT2_RETURN_LAUNCH_ERROR("indexer loss gradient of keys");
  // DI is a multiple of 8.
  const int64_t elements = slab.batch * x.keys * x.dim / 4;
  AddPartsKernel<<<static_cast<unsigned>(cuda::CeilDiv(elements, 256)), 256, 0,
                   cuda::StreamOf(ctx)>>>(
      elements, parts, reinterpret_cast<const float4*>(params.dk_parts),
      reinterpret_cast<float4*>(params.dk_sum +
                                slab.b * int64_t{x.keys} * x.dim));
  LT2_RETURN_LAUNCH_ERROR("sum of parts of dk");
  return absl::OkStatus();
}

}  // namespace
}  // namespace sparse

absl::Status IndexerLossGradCuda(Context& ctx, const IndexerLossGradArgs& args,
                                 IndexerLossGradResults* results) {
  LT2_RETURN_IF_ERROR(sparse::CheckLoss(args.forward));
  const IndexerArgs& indexer = args.forward.indexer;
  LT2_ASSIGN_OR_RETURN(Tensor dk_sum,
                       ctx.Zeros(DType::kF32, indexer.k.shape()));
  sparse::LossGradParams params{
      sparse::LossParams(args.forward), cuda::Data<BFloat16>(results->dq),
      indexer.w.defined() ? results->dw.data<float>() : nullptr,
      dk_sum.data<float>(), nullptr};
  params.loss.dloss = args.dloss.defined() ? args.dloss.data<float>() : nullptr;
  const auto grad = [&](const sparse::Slab& slab) -> absl::Status {
    LT2_RETURN_IF_ERROR(sparse::LaunchLoss(ctx, indexer, params.loss, slab));
    return sparse::LaunchLossGrad(ctx, params, slab);
  };
  LT2_RETURN_IF_ERROR(sparse::ForEachSlab(
      ctx, indexer, sparse::LossSlabSize(params.loss, true), grad));
  const int64_t pairs = dk_sum.numel() / 2;
  sparse::RoundKernel<<<static_cast<unsigned>(cuda::CeilDiv(pairs, 256)), 256,
                        0, cuda::StreamOf(ctx)>>>(
      pairs, reinterpret_cast<const float2*>(dk_sum.data<float>()),
      static_cast<uint32_t*>(results->dk.raw()));
  LT2_RETURN_LAUNCH_ERROR("rounding of dk");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
