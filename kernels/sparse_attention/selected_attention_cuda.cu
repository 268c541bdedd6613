// Forward pass of selected attention on a GPU, bf16 with tensor cores in tiles;
// the arguments of all kernels over lists; which form is taken.
//
// A thread block has one query and up to 16 of its heads (selected_cuda.cuh).
// Copies of v run under the scores, copies of the next k under the products
// with v; several blocks on a multiprocessor hide the rest. Memory read: K rows
// of k and v for each query and key head, mostly from the second-level cache.

#include <cmath>

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels {
namespace sparse {

ListSizes::ListSizes(const SelectedAttentionArgs& args) {
  const SelectedAttentionSizes z(args);
  positions = z.positions;
  batch = z.batch;
  indices = args.indices.data<int32_t>();
  prefix = false;
  queries = static_cast<int>(z.queries);
  keys = static_cast<int>(z.keys);
  heads = static_cast<int>(z.heads);
  kv_heads = static_cast<int>(z.kv_heads);
  group = static_cast<int>(z.group);
  dim = static_cast<int>(z.dim);
  value_dim = static_cast<int>(z.value_dim);
  list_heads = static_cast<int>(z.index_heads);
  entries = static_cast<int>(z.selected);
  // A block longer than the keys is one of their size.
  block_size = static_cast<int>(z.block_size < z.keys ? z.block_size : z.keys);
  scale = args.scale;
  scale_log2 = args.scale * kLog2E;
}

namespace {

// What compressed attention and the choice of blocks have in common.
template <typename Args>
void SetPrefix(const Args& args, ListSizes* to) {
  const CompressedSizes z(args);
  to->positions = z.positions;
  to->batch = z.batch;
  to->indices = nullptr;
  to->prefix = true;
  to->queries = static_cast<int>(z.queries);
  to->keys = static_cast<int>(z.blocks);
  to->heads = static_cast<int>(z.heads);
  to->kv_heads = static_cast<int>(z.kv_heads);
  to->group = static_cast<int>(z.group);
  to->dim = static_cast<int>(z.dim);
  to->value_dim = 0;
  to->list_heads = 1;
  to->entries = 0;
  to->block_size = static_cast<int>(z.block_size);
  to->scale = args.scale;
  to->scale_log2 = args.scale * kLog2E;
}

}  // namespace

ListSizes::ListSizes(const CompressedAttentionArgs& args) {
  SetPrefix(args, this);
  value_dim = static_cast<int>(args.vc.dim(3));
}

ListSizes::ListSizes(const SelectBlocksArgs& args) { SetPrefix(args, this); }

absl::Status CheckListSizes(const ListSizes& z, int64_t blocks) {
  if (blocks > INT32_MAX) {
    return InvalidArgument("sparse attention would need ", blocks,
                           " thread blocks");
  }
  if (z.positions.limit > 1 << 30 ||
      int64_t{z.entries} * z.block_size > 1 << 30) {
    return InvalidArgument("sparse attention over ", z.positions.limit,
                           " tokens and ", z.entries, " blocks of ",
                           z.block_size, "; at most 2^30 tokens on a GPU");
  }
  return absl::OkStatus();
}

namespace {

struct ForwardParams {
  ListSizes z;
  const Bf16 *q, *k, *v;
  Bf16* o;
  float* lse;
};

int SharedBytes(const ListSizes& z) {
  const int rows = (kHeads + kKeys) * Padded(z.dim) +
                   kKeys * Padded(z.value_dim) + kHeads * kKeys;
  return rows * static_cast<int>(sizeof(Bf16));
}

// Of this lane's two rows, over the block's four warps in order; `parts` holds
// [warp][row].
__device__ __forceinline__ float RowMax(const float (&parts)[4][kHeads],
                                        int row) {
  return fmaxf(fmaxf(parts[0][row], parts[1][row]),
               fmaxf(parts[2][row], parts[3][row]));
}
__device__ __forceinline__ float RowSum(const float (&parts)[4][kHeads],
                                        int row) {
  return (parts[0][row] + parts[1][row]) + (parts[2][row] + parts[3][row]);
}

// kGroups: 16-column groups of o for each warp.
template <int kGroups>
__global__ __launch_bounds__(kThreads) void ListForwardKernel(ForwardParams p) {
  const ListSizes& z = p.z;
  const int padded = Padded(z.dim), value_padded = Padded(z.value_dim);
  Bf16* q_tile = mma::SharedTiles();
  Bf16* k_tile = q_tile + kHeads * padded;
  Bf16* v_tile = k_tile + kKeys * padded;
  Bf16* p_tile = v_tile + kKeys * value_padded;
  __shared__ float parts[4][kHeads];
  __shared__ int tokens[2][kKeys];
  __shared__ int scratch[kThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const BlockTask task(z);
  const TokenList list(z, task.b, task.i, task.kv_head, scratch);

  auto copy_k = [&](int stage) {
    CopyRows<kKeys>(k_tile, padded, p.k, z.dim, [&](int r) -> int64_t {
      const int token = tokens[stage][r];
      return token < 0 ? -1 : z.Key(task.b, token, task.kv_head);
    });
    mma::CommitCopies();
  };
  auto copy_v = [&](int stage) {
    CopyRows<kKeys>(
        v_tile, value_padded, p.v, z.value_dim, [&](int r) -> int64_t {
          const int token = tokens[stage][r];
          return token < 0 ? -1 : z.Value(task.b, token, task.kv_head);
        });
    mma::CommitCopies();
  };

  if (thread < kKeys) tokens[0][thread] = list.At(thread);
  CopyRows<kHeads>(q_tile, padded, p.q, z.dim, [&](int r) -> int64_t {
    return r < task.rows ? z.Query(task.b, task.i, task.head + r) : -1;
  });
  __syncthreads();  // tokens are here
  copy_k(0);

  float o[kGroups][2][4] = {};
  float max[2] = {-INFINITY, -INFINITY}, sum[2] = {};
  int stage = 0;
  for (int first = 0; first < list.count(); first += kKeys, stage ^= 1) {
    mma::WaitForCopies();
    __syncthreads();  // k is here; all have read the last v, p and maxima
    copy_v(stage);
    if (thread < kKeys) {
      tokens[stage ^ 1][thread] = list.At(first + kKeys + thread);
    }
    float s[2][4] = {};
    Scores<2>(s, q_tile, 0, k_tile, warp * 16, z.dim);
#pragma unroll
    for (int n = 0; n < 2; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int column = warp * 16 + n * 8 + lane % 4 * 2 + e % 2;
        if (tokens[stage][column] < 0) s[n][e] = -INFINITY;
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float m = fmaxf(fmaxf(s[0][2 * half], s[0][2 * half + 1]),
                      fmaxf(s[1][2 * half], s[1][2 * half + 1]));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 1));
      m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, 2));
      if (lane % 4 == 0) parts[warp][lane / 4 + 8 * half] = m;
    }
    __syncthreads();  // maxima are here; all have read k
    const bool more = first + kKeys < list.count();

    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float m = fmaxf(max[half], RowMax(parts, lane / 4 + 8 * half));
      // A row that has seen no key yet must not compute inf - inf.
      const float base = m == -INFINITY ? 0.0f : m * z.scale_log2;
      factor[half] = mma::Exp2(fmaf(max[half], z.scale_log2, -base));
      max[half] = m;
      float total = 0;
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          s[n][e] = mma::Exp2(fmaf(s[n][e], z.scale_log2, -base));
          total += s[n][e];
        }
      }
      sum[half] = sum[half] * factor[half] + total;
    }
    StoreWeights(s, p_tile, warp * 16);
    mma::WaitForCopies();
    __syncthreads();  // v and p are here
    if (more) copy_k(stage ^ 1);
#pragma unroll
    for (int c = 0; c < kGroups; ++c) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) o[c][n][e] *= factor[e / 2];
      }
    }
    MultiplyWeights<kGroups>(o, p_tile, v_tile, z.value_dim);
  }
  // Copies of an empty list's k must not outlive the block.
  mma::WaitForCopies();
  __syncthreads();  // all have read the last maxima

  float inverse[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float total = sum[half];
    total += __shfl_xor_sync(0xffffffffu, total, 1);
    total += __shfl_xor_sync(0xffffffffu, total, 2);
    if (lane % 4 == 0) parts[warp][lane / 4 + 8 * half] = total;
  }
  __syncthreads();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    const float total = RowSum(parts, row);
    inverse[half] = total == 0 ? 0.0f : 1.0f / total;
    if (warp == 0 && lane % 4 == 0 && row < task.rows) {
      // Of an empty list: minus infinity plus log 0.
      p.lse[z.Lse(task.b, task.i, task.head + row)] =
          max[half] * z.scale + logf(total);
    }
  }
  StoreOutput<kGroups>(o, inverse, p.o + z.Output(task.b, task.i, task.head),
                       task.rows, z.value_dim);
}

template <int kGroups>
absl::Status Launch(Context& ctx, const ListSizes& z,
                    const ForwardParams& params) {
  const int bytes = SharedBytes(z);
  LT2_RETURN_IF_ERROR(cuda::AllowShared(ListForwardKernel<kGroups>, bytes));
  const int64_t blocks =
      z.batch * z.queries * z.kv_heads * cuda::CeilDiv(z.group, kHeads);
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  const auto grid = static_cast<unsigned>(blocks);
  ListForwardKernel<kGroups>
      <<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("sparse attention forward");
  return absl::OkStatus();
}

}  // namespace

absl::Status ListForward(Context& ctx, const ListSizes& z,
                         const ForwardArgs& args) {
  if (args.q.dtype() != DType::kBF16) return PlainForward(ctx, z, args);
  if (OneWarpPerQuery(z)) return WarpForward(ctx, z, args);
  const ForwardParams params{z,
                             cuda::Data<BFloat16>(args.q),
                             cuda::Data<BFloat16>(args.k),
                             cuda::Data<BFloat16>(args.v),
                             cuda::Data<BFloat16>(args.o),
                             cuda::Data<float>(args.lse)};
  return z.value_dim <= 128 ? Launch<2>(ctx, z, params)
                            : Launch<9>(ctx, z, params);
}

}  // namespace sparse

absl::Status SelectedAttentionCuda(Context& ctx,
                                   const SelectedAttentionArgs& args,
                                   SelectedAttentionResults* results) {
  return sparse::ListForward(
      ctx, sparse::ListSizes(args),
      {args.q, args.k, args.v, results->o, results->lse});
}

}  // namespace lt2::kernels
