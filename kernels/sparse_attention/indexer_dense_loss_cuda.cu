// The indexer's loss, and d loss / d I, by way of all visible pairs.
//
// As indexer_loss_cuda.cu, but I and p are computed for tiles of 64 queries by
// 128 keys, each key read once for a tile and not once for every query that
// chose it; then a warp picks from them what its query chose. Every key head of
// a gathered list costs a step of its own, with barriers and 16 rows of which
// only the group's are real; here all 64 rows are. 2 (HI DI + H D) FLOPs for
// each visible pair.

#include <cmath>

#include "kernels/sparse_attention/indexer_loss_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

constexpr int kRowThreads = 128;  // of rows, a warp each

// Most keys for each entry of a list (small groups: their gathered steps are
// nearly empty; measured faster at 16 with one head), and most columns of a
// head.
constexpr int64_t kKeysPerEntry = 8, kKeysPerEntryOfSmallGroups = 20;
constexpr int kSmallGroup = 4;
constexpr int kMostColumns = 256;

int TargetSharedBytes(const LossParams& p) {
  return 2 * (kSlabKeys + kSlabQueries) * Padded(p.z.dim) * int{sizeof(Bf16)};
}

// kTargets[s] = sum_h e^(attention_scale <q_h, k_s> - lse_h), by token: H p,
// whose H the division by the sum removes. What a query does not see is
// undefined.
__global__ __launch_bounds__(kThreads) void TargetKernel(LossParams p,
                                                         Slab slab) {
  const ListSizes& z = p.z;
  const int key0 = blockIdx.x * kSlabKeys, row0 = blockIdx.y * kSlabQueries;
  const int64_t b = slab.b + blockIdx.z;
  const int last = min(row0 + kSlabQueries, slab.rows) - 1;
  if (key0 >= z.Limit(b, slab.query + last)) return;
  const int padded = Padded(z.dim);
  Bf16* k_stages = mma::SharedTiles();
  Bf16* q_stages = k_stages + 2 * kSlabKeys * padded;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;

  auto copy = [&](int head) {
    const int kv_head = head / z.group;
    if (head % z.group == 0) {
      CopyRows<kSlabKeys>(
          k_stages + kv_head % 2 * kSlabKeys * padded, padded, p.k, z.dim,
          [&](int n) -> int64_t {
            return key0 + n < z.keys ? z.Key(b, key0 + n, kv_head) : -1;
          });
    }
    CopyRows<kSlabQueries>(
        q_stages + head % 2 * kSlabQueries * padded, padded, p.q, z.dim,
        [&](int n) -> int64_t {
          return row0 + n < slab.rows ? z.Query(b, slab.query + row0 + n, head)
                                      : -1;
        });
    mma::CommitCopies();
  };

  copy(0);
  float sum[kSlabKeys / 8][4] = {};
  const int row = warp * 16 + lane / 4;  // this lane's first
  for (int head = 0; head < z.heads; ++head) {
    float lse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = row0 + row + 8 * half;
      lse[half] = r < slab.rows ? p.lse[z.Lse(b, slab.query + r, head)] * kLog2E
                                : INFINITY;
    }
    mma::WaitForCopies();
    // This head is here; all have read the last one, hence the other stage of
    // q, and that of k if the next head needs another k.
    __syncthreads();
    if (head + 1 < z.heads) copy(head + 1);
    const Bf16* k_tile = k_stages + head / z.group % 2 * kSlabKeys * padded;
    const Bf16* q_tile = q_stages + head % 2 * kSlabQueries * padded;
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      float s[8][4] = {};
      Scores<8>(s, q_tile, warp * 16, k_tile, part * 64, z.dim);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          sum[part * 8 + n][e] +=
              mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[e / 2]));
        }
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = row0 + row + 8 * half;
    if (r >= slab.rows) continue;
    float* to = slab.Row(blockIdx.z, r, kTargets) + key0 + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kSlabKeys / 8; ++n) {
      *reinterpret_cast<float2*>(to + n * 8) = {sum[n][2 * half],
                                                sum[n][2 * half + 1]};
    }
  }
}

// The rest of LossKernel, a warp for each query. I by token is in kByToken
// where that takes d loss / d I by token, else in kScores.
__global__ __launch_bounds__(kRowThreads) void DenseRowKernel(LossParams p,
                                                              Slab slab,
                                                              int score_array) {
  const ListSizes& z = p.z;
  const int lane = threadIdx.x % 32;
  // Later queries see more and start first.
  const int r =
      slab.rows - 1 -
      static_cast<int>(blockIdx.x * (kRowThreads / 32) + threadIdx.x / 32);
  if (r < 0) return;  // the whole warp
  const int64_t b = slab.b + blockIdx.y, i = slab.query + r;
  const int limit = z.Limit(b, i);
  const int32_t* list = z.prefix ? nullptr : z.List(b, i, 0);
  const int count = z.prefix ? limit : z.entries;
  // The token at a position of the list, -1 if there is none.
  auto token = [&](int n) {
    const int s = list == nullptr ? n : list[n];
    return s < limit ? s : -1;
  };
  float* scores = slab.Row(blockIdx.y, r, score_array);
  const float* targets = slab.Row(blockIdx.y, r, kTargets);

  float total = 0, max = -INFINITY;
  for (int n = lane; n < count; n += 32) {
    const int s = token(n);
    if (s < 0) continue;
    total += targets[s];
    max = fmaxf(max, scores[s]);
  }
  total = cuda::WarpSum(total);
  max = cuda::WarpMax(max);
  float sum = 0;
  for (int n = lane; n < count; n += 32) {
    const int s = token(n);
    if (s >= 0) sum += expf(scores[s] - max);
  }
  const float lse = max + logf(cuda::WarpSum(sum));

  if (p.row_loss != nullptr) {
    float loss = 0;
    for (int n = lane; n < count && total != 0; n += 32) {
      const int s = token(n);
      // Not in the set, or 0 log 0; NaN goes on.
      if (s < 0 || targets[s] <= 0) continue;
      const float share = targets[s] / total;
      // A share below the least float counts as 0.
      if (share == 0) continue;
      loss += share * (logf(share) - (scores[s] - lse));
    }
    loss = cuda::WarpSum(loss);
    if (lane == 0) p.row_loss[p.x.Row(b, i)] = loss;
    return;
  }
  const float factor =
      p.dloss == nullptr ? p.inverse_rows : p.dloss[0] * p.inverse_rows;
  float* by_position = slab.Row(blockIdx.y, r, kScores);
  for (int n = lane; n < count; n += 32) {
    const int s = token(n);
    float d = 0;
    if (s >= 0 && total != 0) {
      d = (expf(scores[s] - lse) - targets[s] / total) * factor;
    }
    by_position[n] = d;
  }
  if (z.prefix) return;  // that is by token
  __syncwarp();          // all have read I
  for (int s = lane; s < limit; s += 32) scores[s] = 0;
  __syncwarp();  // zeros are written
  for (int n = lane; n < count; n += 32) {
    const int s = token(n);
    if (s >= 0) scores[s] = by_position[n];  // this lane's own
  }
}

}  // namespace

bool UsesDenseLoss(const LossParams& p) {
  const int64_t most =
      p.z.group <= kSmallGroup ? kKeysPerEntryOfSmallGroups : kKeysPerEntry;
  return Padded(p.z.dim) <= kMostColumns &&
         (p.z.prefix || p.z.keys <= most * p.z.entries);
}

absl::Status LaunchDenseLoss(Context& ctx, const IndexerArgs& indexer,
                             const LossParams& params, const Slab& slab) {
  const int score_array =
      params.row_loss == nullptr && !params.z.prefix ? kByToken : kScores;
  Slab scores = slab;
  scores.data += score_array * slab.plane;
  LT2_RETURN_IF_ERROR(ScoreSlab(ctx, indexer, scores));
  const int bytes = TargetSharedBytes(params);
  LT2_RETURN_IF_ERROR(cuda::AllowShared(TargetKernel, bytes));
  const auto keys = static_cast<unsigned>(slab.stride / kSlabKeys);
  const auto tiles =
      static_cast<unsigned>(cuda::CeilDiv(slab.rows, kSlabQueries));
  const auto batch = static_cast<unsigned>(slab.batch);
  TargetKernel<<<dim3(keys, tiles, batch), kThreads, bytes,
                 cuda::StreamOf(ctx)>>>(params, slab);
  LT2_RETURN_LAUNCH_ERROR("indexer loss targets");
  const auto blocks =
      static_cast<unsigned>(cuda::CeilDiv(slab.rows, kRowThreads / 32));
  DenseRowKernel<<<dim3(blocks, batch), kRowThreads, 0, cuda::StreamOf(ctx)>>>(
      params, slab, score_array);
  LT2_RETURN_LAUNCH_ERROR("indexer loss of dense scores");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::sparse
