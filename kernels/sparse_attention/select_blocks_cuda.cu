// The choice of blocks on a GPU. A thread block has one query and one key head:
// it computes the probabilities of all visible blocks summed over the group
// (16 heads at a time, tiles of 64 blocks), keeps them in shared memory as
// integers in the order of the floats, and takes the largest one top_n times.
//
// Memory: C words of shared memory; nothing of size S x C.

#include "kernels/sparse_attention/score_order_cuda.cuh"
#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels {
namespace sparse {
namespace {

template <typename T>
struct ChoiceParams {
  ListSizes z;
  const T *q, *kc;
  const float* lse;
  int32_t* indices;
  int top_n, capacity;  // capacity: most blocks that can be chosen from
};

// scores[c] = sum over the group of probabilities, with tensor cores.
__device__ void GroupScores(const ChoiceParams<Bf16>& p, int64_t b, int64_t i,
                            int kv_head, int visible, float* scores) {
  if (visible == 0) return;
  const ListSizes& z = p.z;
  const int padded = Padded(z.dim);
  Bf16* q_tile = mma::SharedTiles();
  Bf16* k_tile = q_tile + kHeads * padded;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int first = 0; first < z.group; first += kHeads) {
    const int head = kv_head * z.group + first;
    const int rows = min(kHeads, z.group - first);
    CopyRows<kHeads>(q_tile, padded, p.q, z.dim, [&](int r) -> int64_t {
      return r < rows ? z.Query(b, i, head + r) : -1;
    });
    float lse[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
      // Rows past the last head give e^(0 - inf) = 0.
      lse[half] =
          row < rows ? p.lse[z.Lse(b, i, head + row)] * kLog2E : INFINITY;
    }
    for (int c = 0; c < visible; c += kKeys) {
      CopyRows<kKeys>(k_tile, padded, p.kc, z.dim, [&](int r) -> int64_t {
        return c + r < visible ? z.Key(b, c + r, kv_head) : -1;
      });
      mma::CommitCopies();
      mma::WaitForCopies();
      __syncthreads();  // q and k are here
      float s[2][4] = {};
      Scores<2>(s, q_tile, 0, k_tile, warp * 16, z.dim);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float sum = mma::Exp2(fmaf(s[n][e], z.scale_log2, -lse[0])) +
                      mma::Exp2(fmaf(s[n][e + 2], z.scale_log2, -lse[1]));
          // The eight lanes of a column.
          sum += __shfl_xor_sync(0xffffffffu, sum, 4);
          sum += __shfl_xor_sync(0xffffffffu, sum, 8);
          sum += __shfl_xor_sync(0xffffffffu, sum, 16);
          const int column = c + warp * 16 + n * 8 + lane % 4 * 2 + e;
          if (lane < 4 && column < visible) {
            scores[column] = first == 0 ? sum : scores[column] + sum;
          }
        }
      }
      __syncthreads();  // all have read q and k
    }
  }
}

// In f32 each thread has a block.
__device__ void GroupScores(const ChoiceParams<float>& p, int64_t b, int64_t i,
                            int kv_head, int visible, float* scores) {
  const ListSizes& z = p.z;
  for (int c = threadIdx.x; c < visible; c += kThreads) {
    const float* k = p.kc + z.Key(b, c, kv_head);
    float sum = 0;
    for (int g = 0; g < z.group; ++g) {
      const int h = kv_head * z.group + g;
      const float* q = p.q + z.Query(b, i, h);
      float dot = 0;
      for (int d = 0; d < z.dim; ++d) dot = fmaf(q[d], k[d], dot);
      sum += expf(dot * z.scale - p.lse[z.Lse(b, i, h)]);
    }
    scores[c] = sum;
  }
}

template <typename T>
__global__ __launch_bounds__(kThreads) void SelectBlocksKernel(
    ChoiceParams<T> p) {
  const ListSizes& z = p.z;
  const int tile_bytes =
      sizeof(T) == 2 ? (kHeads + kKeys) * Padded(z.dim) * 2 : 0;
  // Scores, then their order: 0 for a block that cannot be chosen (again).
  auto* order = reinterpret_cast<uint32_t*>(mma::SharedTiles()) +
                tile_bytes / sizeof(uint32_t);
  auto* scores = reinterpret_cast<float*>(order);
  uint32_t* chosen = order + p.capacity;  // a bit for each block
  __shared__ uint64_t best[kThreads / 32];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;

  int64_t block = gridDim.x - 1 - blockIdx.x;
  const int kv_head = static_cast<int>(block % z.kv_heads);
  block /= z.kv_heads;
  const int64_t i = block % z.queries, b = block / z.queries;
  const int64_t position = z.positions.Of(b, i);
  // Below 0: nothing is visible and nothing forced.
  const int own = position < 0 ? -1 : static_cast<int>(position / z.block_size);
  const int visible = z.Limit(b, i);
  const int words = (p.capacity + 31) / 32;

  for (int w = thread; w < words; w += kThreads) chosen[w] = 0;
  GroupScores(p, b, i, kv_head, visible, scores);
  __syncthreads();  // scores are here
  for (int c = thread; c < visible; c += kThreads) {
    order[c] = ScoreOrder(scores[c]);
  }
  __syncthreads();
  int count = 0;  // of blocks chosen so far, the same in all threads
  // In this order, each once.
  const int forced[3] = {own, 0, own - 1};
  for (int f = 0; f < 3; ++f) {
    const bool again =
        (f > 0 && forced[f] == forced[0]) || (f > 1 && forced[f] == forced[1]);
    if (own < 0 || forced[f] < 0 || forced[f] >= p.capacity || again ||
        count == p.top_n) {
      continue;
    }
    ++count;
    if (thread == 0) {
      chosen[forced[f] / 32] |= 1u << forced[f] % 32;
      if (forced[f] < visible) order[forced[f]] = 0;
    }
  }
  while (count < p.top_n) {
    __syncthreads();  // order and chosen are up to date; all have read `best`
    // The largest score, then the lowest index.
    uint64_t mine = 0;
    for (int c = thread; c < visible; c += kThreads) {
      const uint64_t key =
          order[c] == 0 ? 0 : uint64_t{order[c]} << 32 | (~0u - c);
      mine = key > mine ? key : mine;
    }
    for (int step = 16; step > 0; step /= 2) {
      const uint64_t other = __shfl_xor_sync(0xffffffffu, mine, step);
      mine = other > mine ? other : mine;
    }
    if (lane == 0) best[warp] = mine;
    __syncthreads();
    uint64_t winner = 0;
    for (int w = 0; w < kThreads / 32; ++w) {
      winner = best[w] > winner ? best[w] : winner;
    }
    if (winner == 0) break;  // the same in all threads
    ++count;
    if (thread == 0) {
      const uint32_t c = ~0u - static_cast<uint32_t>(winner);
      chosen[c / 32] |= 1u << c % 32;
      order[c] = 0;
    }
  }
  __syncthreads();

  // Ascending, by one warp.
  if (warp != 0) return;
  int32_t* to =
      p.indices + ((b * z.queries + i) * z.kv_heads + kv_head) * p.top_n;
  int before = 0;
  for (int w0 = 0; w0 < words; w0 += 32) {
    uint32_t bits = w0 + lane < words ? chosen[w0 + lane] : 0;
    int inclusive = __popc(bits);
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, inclusive, step);
      if (lane >= step) inclusive += other;
    }
    int n = before + inclusive - __popc(bits);
    for (; bits != 0; bits &= bits - 1) {
      to[n++] = (w0 + lane) * 32 + __ffs(static_cast<int>(bits)) - 1;
    }
    before += __shfl_sync(0xffffffffu, inclusive, 31);
  }
  for (int n = before + lane; n < p.top_n; n += 32) to[n] = -1;
}

template <typename Host>
absl::Status Select(Context& ctx, const SelectBlocksArgs& args,
                    Tensor* indices) {
  using T = typename cuda::DeviceType<Host>::type;
  const ListSizes z(args);
  // Complete blocks, and those that positions can lie in.
  const int64_t capacity = std::max(
      args.kc.dim(1),
      cuda::CeilDiv(z.positions.limit, std::max(args.block_size, int64_t{1})));
  const int64_t blocks = z.batch * z.queries * z.kv_heads;
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  const int64_t tiles =
      sizeof(T) == 2 ? (kHeads + kKeys) * Padded(z.dim) * 2 : 0;
  const int64_t bytes = tiles + 4 * (capacity + cuda::CeilDiv(capacity, 32));
  if (bytes > 220 * 1024) {
    return InvalidArgument("choosing from ", capacity, " blocks needs ", bytes,
                           " bytes of shared memory on a GPU");
  }
  LT2_RETURN_IF_ERROR(
      cuda::AllowShared(SelectBlocksKernel<T>, static_cast<int>(bytes)));
  const ChoiceParams<T> params{z,
                               cuda::Data<Host>(args.q),
                               cuda::Data<Host>(args.kc),
                               cuda::Data<float>(args.lse),
                               indices->data<int32_t>(),
                               static_cast<int>(args.top_n),
                               static_cast<int>(capacity)};
  SelectBlocksKernel<T>
      <<<static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes),
         cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("choice of blocks");
  return absl::OkStatus();
}

}  // namespace
}  // namespace sparse

absl::Status SelectBlocksCuda(Context& ctx, const SelectBlocksArgs& args,
                              Tensor* indices) {
  return args.q.dtype() == DType::kF32
             ? sparse::Select<float>(ctx, args, indices)
             : sparse::Select<BFloat16>(ctx, args, indices);
}

}  // namespace lt2::kernels
