// The indexer's loss on a GPU, and d loss / d I.
//
//   p[s]   = (1/H) sum_h e^(attention_scale <q_h, k_s> - lse_h), over the set
//   loss_t = sum_s p/Z (log(p/Z) - I[s] + lse(I)),   Z = sum_s p
//   dI[s]  = (e^(I[s] - lse(I)) - p[s]/Z) dloss / (B S)
//
// Sums run over list positions: thread n has n, n + 128, ..., then the block.
// Cost for each position: 2 HI DI + 2 H D FLOPs, and one gathered row of each
// key; rows of 16 heads are filled with zeros where there are fewer.

#include <cmath>

#include "kernels/sparse_attention/indexer_loss_cuda.cuh"

namespace lt2::kernels {
namespace sparse {

LossParams::LossParams(const IndexerLossArgs& args) : x(args.indexer) {
  const IndexerSizes sizes(args.indexer);
  const Tensor &aq = args.attention_q, &ak = args.attention_k;
  z.positions = sizes.positions;
  z.batch = sizes.batch;
  z.prefix = !args.indices.defined();
  z.indices = z.prefix ? nullptr : args.indices.data<int32_t>();
  z.queries = x.queries;
  z.keys = x.keys;
  z.heads = static_cast<int>(aq.dim(2));
  z.kv_heads = static_cast<int>(ak.dim(2));
  z.group = z.heads / z.kv_heads;
  z.dim = static_cast<int>(aq.dim(3));
  z.value_dim = 0;
  z.list_heads = 1;
  z.entries = z.prefix ? 0 : static_cast<int>(args.indices.dim(3));
  z.block_size = 1;
  z.scale = args.attention_scale;
  z.scale_log2 = args.attention_scale * kLog2E;
  index_q = cuda::Data<BFloat16>(args.indexer.q);
  index_k = cuda::Data<BFloat16>(args.indexer.k);
  q = cuda::Data<BFloat16>(aq);
  k = cuda::Data<BFloat16>(ak);
  lse = cuda::Data<float>(args.attention_lse);
  inverse_rows = 1.0f / static_cast<float>(sizes.batch * sizes.queries);
}

absl::Status CheckLoss(const IndexerLossArgs& args) {
  if (args.indexer.q.dtype() != DType::kBF16) {
    return InvalidArgument("the loss of the indexer on a GPU needs ",
                           Name(DType::kBF16), ", q is ",
                           args.indexer.q.ToString());
  }
  const LossParams params(args);
  return CheckListSizes(params.z, int64_t{params.z.queries});
}

namespace {

int SharedBytes(const LossParams& p) {
  return (kHeads + kKeys) * Padded(std::max(p.x.dim, p.z.dim)) *
         static_cast<int>(sizeof(Bf16));
}

// Sum over the 16 rows of this lane's two products of a column.
__device__ __forceinline__ float ColumnSum(float low, float high) {
  float sum = low + high;
  sum += __shfl_xor_sync(0xffffffffu, sum, 4);
  sum += __shfl_xor_sync(0xffffffffu, sum, 8);
  sum += __shfl_xor_sync(0xffffffffu, sum, 16);
  return sum;
}

// Maximum over the block; every thread gets it. Barriers on both sides of each
// use of `parts`.
__device__ float BlockMax(float x, float* parts) {
  x = cuda::WarpMax(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) x = fmaxf(x, parts[w]);
  return x;
}

__global__ __launch_bounds__(kThreads) void LossKernel(LossParams p,
                                                       Slab slab) {
  const ListSizes& z = p.z;
  const IndexerParams& x = p.x;
  const int padded = Padded(z.dim), index_padded = Padded(x.dim);
  Bf16* k_tile = mma::SharedTiles();
  Bf16* q_tile = k_tile + kKeys * max(padded, index_padded);
  __shared__ int tokens[kKeys];
  __shared__ int scratch[kThreads / 32];
  __shared__ float sums[32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int r = slab.rows - 1 - static_cast<int>(blockIdx.x);
  const int64_t b = slab.b + blockIdx.y, i = slab.query + r;
  const TokenList list(z, b, i, 0, scratch);
  float* scores = slab.Row(blockIdx.y, r, kScores);
  float* targets = slab.Row(blockIdx.y, r, kTargets);
  const bool by_token = p.row_loss == nullptr && !z.prefix;
  if (by_token) {
    float* to = slab.Row(blockIdx.y, r, kByToken);
    for (int64_t n = thread; n < slab.stride; n += kThreads) to[n] = 0;
  }

  for (int first = 0; first < list.count(); first += kKeys) {
    if (thread < kKeys) tokens[thread] = list.At(first + thread);
    __syncthreads();  // tokens are here; the tiles are free
    float score[2][2] = {}, target[2][2] = {};
    CopyRows<kKeys>(k_tile, index_padded, p.index_k, x.dim,
                    [&](int n) -> int64_t {
                      return tokens[n] < 0 ? -1 : x.Key(b, tokens[n]);
                    });
    for (int head = 0; head < x.heads; head += kHeads) {
      CopyRows<kHeads>(
          q_tile, index_padded, p.index_q, x.dim, [&](int n) -> int64_t {
            return head + n < x.heads ? x.Query(b, i, head + n) : -1;
          });
      mma::CommitCopies();
      mma::WaitForCopies();
      __syncthreads();  // q and k are here
      float s[2][4] = {}, w[2];
      Scores<2>(s, q_tile, 0, k_tile, warp * 16, x.dim);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int j = head + lane / 4 + 8 * half;
        w[half] = j < x.heads ? x.Weight(b, i, j) : 0.0f;
      }
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          score[n][e] += ColumnSum(w[0] * x.Activate(s[n][e] * x.scale),
                                   w[1] * x.Activate(s[n][e + 2] * x.scale));
        }
      }
      __syncthreads();  // all have read q and k
    }
    for (int kv_head = 0; kv_head < z.kv_heads; ++kv_head) {
      CopyRows<kKeys>(k_tile, padded, p.k, z.dim, [&](int n) -> int64_t {
        return tokens[n] < 0 ? -1 : z.Key(b, tokens[n], kv_head);
      });
      for (int g = 0; g < z.group; g += kHeads) {
        const int head = kv_head * z.group + g;
        const int rows = min(kHeads, z.group - g);
        CopyRows<kHeads>(q_tile, padded, p.q, z.dim, [&](int n) -> int64_t {
          return n < rows ? z.Query(b, i, head + n) : -1;
        });
        mma::CommitCopies();
        mma::WaitForCopies();
        __syncthreads();  // q and k are here
        float s[2][4] = {}, lse[2];
        Scores<2>(s, q_tile, 0, k_tile, warp * 16, z.dim);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const int row = lane / 4 + 8 * half;
          // Rows past the last head give e^(0 - inf) = 0.
          lse[half] =
              row < rows ? p.lse[z.Lse(b, i, head + row)] * kLog2E : INFINITY;
        }
#pragma unroll
        for (int n = 0; n < 2; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            target[n][e] +=
                ColumnSum(mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[0])),
                          mma::Exp2(fmaf(s[n][e + 2], z.scale_log2, -lse[1])));
          }
        }
        __syncthreads();  // all have read q and k
      }
    }
    if (lane < 4) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int column = warp * 16 + n * 8 + lane * 2 + e;
          if (first + column >= list.count()) continue;
          scores[first + column] = score[n][e];
          targets[first + column] =
              tokens[column] < 0 ? -1.0f
                                 : target[n][e] / static_cast<float>(z.heads);
        }
      }
    }
    __syncthreads();  // all have read tokens
  }
  __syncthreads();  // scores, targets and zeros by token are written

  float total = 0, max = -INFINITY;
  for (int n = thread; n < list.count(); n += kThreads) {
    if (targets[n] < 0) continue;
    total += targets[n];
    max = fmaxf(max, scores[n]);
  }
  total = cuda::BlockSum(total, sums);
  max = BlockMax(max, sums);
  float sum = 0;
  for (int n = thread; n < list.count(); n += kThreads) {
    if (!(targets[n] < 0)) sum += expf(scores[n] - max);
  }
  const float lse = max + logf(cuda::BlockSum(sum, sums));

  if (p.row_loss != nullptr) {
    float loss = 0;
    for (int n = thread; n < list.count() && total != 0; n += kThreads) {
      // Not in the set, or 0 log 0; NaN goes on.
      if (targets[n] <= 0) continue;
      const float share = targets[n] / total;
      // A share below the least float counts as 0.
      if (share == 0) continue;
      loss += share * (logf(share) - (scores[n] - lse));
    }
    loss = cuda::BlockSum(loss, sums);
    if (thread == 0) p.row_loss[x.Row(b, i)] = loss;
    return;
  }
  const float factor =
      p.dloss == nullptr ? p.inverse_rows : p.dloss[0] * p.inverse_rows;
  float* to = slab.Row(blockIdx.y, r, by_token ? kByToken : kScores);
  for (int n = thread; n < list.count(); n += kThreads) {
    float d = 0;
    if (!(targets[n] < 0) && total != 0) {
      d = (expf(scores[n] - lse) - targets[n] / total) * factor;
    }
    scores[n] = d;
    if (by_token && !(targets[n] < 0)) to[list.At(n)] = d;
  }
}

// loss = sum of row_loss times factor, by one block in a fixed order.
constexpr int kSumThreads = 1024;
__global__ __launch_bounds__(kSumThreads) void SumRowsKernel(
    int64_t rows, float factor, const float* row_loss, float* loss) {
  __shared__ float sums[32];
  float sum = 0;
  for (int64_t n = threadIdx.x; n < rows; n += kSumThreads) sum += row_loss[n];
  sum = cuda::BlockSum(sum, sums);
  if (threadIdx.x == 0) loss[0] = sum * factor;
}

}  // namespace

absl::Status LaunchLoss(Context& ctx, const IndexerArgs& indexer,
                        const LossParams& params, const Slab& slab) {
  if (UsesDenseLoss(params)) {
    return LaunchDenseLoss(ctx, indexer, params, slab);
  }
  const int bytes = SharedBytes(params);
  LT2_RETURN_IF_ERROR(cuda::AllowShared(LossKernel, bytes));
  const dim3 grid(static_cast<unsigned>(slab.rows),
                  static_cast<unsigned>(slab.batch));
  LossKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(params, slab);
  LT2_RETURN_LAUNCH_ERROR("indexer loss");
  return absl::OkStatus();
}

}  // namespace sparse

absl::Status IndexerLossCuda(Context& ctx, const IndexerLossArgs& args,
                             Tensor* loss) {
  LT2_RETURN_IF_ERROR(sparse::CheckLoss(args));
  const IndexerSizes z(args.indexer);
  const int64_t rows = z.batch * z.queries;
  LT2_ASSIGN_OR_RETURN(Tensor row_loss, ctx.Empty(DType::kF32, {rows}));
  sparse::LossParams params(args);
  params.row_loss = row_loss.data<float>();
  LT2_RETURN_IF_ERROR(sparse::ForEachSlab(
      ctx, args.indexer, sparse::LossSlabSize(params, false),
      [&](const sparse::Slab& slab) {
        return sparse::LaunchLoss(ctx, args.indexer, params, slab);
      }));
  sparse::SumRowsKernel<<<1, sparse::kSumThreads, 0, cuda::StreamOf(ctx)>>>(
      rows, params.inverse_rows, row_loss.data<float>(), loss->data<float>());
  LT2_RETURN_LAUNCH_ERROR("sum of losses");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
