// The exact top-k of each row of a slab of scores (indexer_cuda.cuh).
//
// The k-th largest score is found by its bits as ScoreOrder gives them; then
// the row is written in order, so that indices ascend and ties go to the
// lowest. Two forms with the same result:
//
// Short rows (all keys fit 64 registers of 32 lanes): a warp has one row and
// holds it. One bit after the other, it counts the scores that are at least the
// bits so far with this one set. Where the count is top_k these are the set,
// which scores without ties show after about 16 of 32 bits. No shared memory,
// no barriers; 2 instructions for each register and bit.
//
// Long rows: a thread block has one row. Three passes over it find the score,
// 11, 11 and 10 bits at a time, with a histogram in shared memory; then each
// warp counts, and after a barrier writes, what its part of the row
// contributes. Five reads of the row, from cache. Emptying and summing the
// histogram costs the same for a row of 100 scores as for one of 10000.

#include "kernels/sparse_attention/indexer_cuda.cuh"
#include "kernels/sparse_attention/score_order_cuda.cuh"

namespace lt2::kernels {
namespace sparse {
namespace {

constexpr int kTopKThreads = 512;
constexpr int kTopKWarps = kTopKThreads / 32;
constexpr int kBins = 2048;
constexpr int kBinsPerThread = kBins / kTopKThreads;

// Rows of at most this many scores are short.
constexpr int kShortRow = 2048;
constexpr int kShortThreads = 128;

// Of a slab: 32 MB, so that it stays in the second-level cache.
constexpr int64_t kTopKElements = 8 << 20;

// Bits of a score in three digits.
struct Digit {
  int shift, bits;
};
__device__ constexpr Digit DigitAt(int pass) {
  return pass == 0 ? Digit{21, 11} : pass == 1 ? Digit{10, 11} : Digit{0, 10};
}

// How many warp positions before this lane have their bit set.
__device__ __forceinline__ int Before(unsigned ballot) {
  return __popc(ballot & ((1u << threadIdx.x % 32) - 1));
}

// Writes the lanes that hold one of the chosen: a score above the threshold, or
// one of the first `need` that equal it. n_above and n_equal count those of the
// row so far. Order 0 is no score's and is not chosen: it is not above the
// threshold, and equals it only where need is 0.
__device__ __forceinline__ void WriteChosen(uint32_t order, uint32_t threshold,
                                            int need, int s, int* n_above,
                                            int* n_equal, int32_t* to) {
  const unsigned is_above = __ballot_sync(0xffffffffu, order > threshold);
  const unsigned is_equal = __ballot_sync(0xffffffffu, order == threshold);
  const int equal_before = *n_equal + Before(is_equal);
  if (order > threshold || (order == threshold && equal_before < need)) {
    to[*n_above + Before(is_above) + min(equal_before, need)] = s;
  }
  *n_above += __popc(is_above);
  *n_equal += __popc(is_equal);
}

// How many of the warp's values are at least x > 0. x <= y is a carry of
// y + (2^32 - x): an addition that gives it and one that adds it up.
template <int kValues>
__device__ __forceinline__ int CountAtLeast(const uint32_t (&values)[kValues],
                                            uint32_t x) {
  const uint64_t minus = 0u - x;
  uint32_t count[2] = {};
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
    count[v % 2] += static_cast<uint32_t>((values[v] + minus) >> 32);
  }
  return static_cast<int>(__reduce_add_sync(0xffffffffu, count[0] + count[1]));
}

// By a warp, of top_k < limit <= 32 kValues scores.
template <int kValues>
__device__ __forceinline__ void ShortTopK(const float* row, int limit,
                                          int top_k, int32_t* to) {
  const int lane = threadIdx.x % 32;
  // Without conditions, so that no load waits for the one before.
  float scores[kValues];
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
    scores[v] = row[min(v * 32 + lane, limit - 1)];
  }
  uint32_t order[kValues];
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
    order[v] = v * 32 + lane < limit ? ScoreOrder(scores[v]) : 0;
  }
  // The largest number that at least top_k scores reach: the k-th largest. In
  // the loop only its first bits.
  uint32_t threshold = 0;
  int reached = limit;  // by how many scores
#pragma unroll 1
  for (uint32_t bit = 1u << 31; bit != 0 && reached != top_k; bit /= 2) {
    const int all = CountAtLeast(order, threshold | bit);
    if (all >= top_k) {
      threshold |= bit;
      reached = all;
    }
  }
  int need = 0;  // how many of the scores that equal the threshold to take
  if (reached == top_k) {
    --threshold;  // all that reach it are above now
  } else {
    need = top_k - CountAtLeast(order, threshold + 1);
  }
  int n_above = 0, n_equal = 0;
#pragma unroll
  for (int v = 0; v < kValues; ++v) {
    WriteChosen(order[v], threshold, need, v * 32 + lane, &n_above, &n_equal,
                to);
  }
}

__global__ __launch_bounds__(kShortThreads) void ShortTopKKernel(
    IndexerParams p, Slab slab, int top_k, int32_t* indices) {
  const int lane = threadIdx.x % 32;
  // Later queries see more and start first.
  const int r =
      slab.rows - 1 -
      static_cast<int>(blockIdx.x * (kShortThreads / 32) + threadIdx.x / 32);
  if (r < 0) return;  // the whole warp, as below
  const int64_t b = slab.b + blockIdx.y;
  const int64_t i = slab.query + r;
  const int limit = p.Limit(b, i);
  int32_t* to = indices + p.Row(b, i) * top_k;
  if (limit <= top_k) {
    for (int n = lane; n < top_k; n += 32) to[n] = n < limit ? n : -1;
    return;
  }
  const float* row = slab.Row(blockIdx.y, r);
  if (limit <= 128) {
    ShortTopK<4>(row, limit, top_k, to);
  } else if (limit <= 256) {
    ShortTopK<8>(row, limit, top_k, to);
  } else if (limit <= 512) {
    ShortTopK<16>(row, limit, top_k, to);
  } else if (limit <= 1024) {
    ShortTopK<32>(row, limit, top_k, to);
  } else {
    static_assert(kShortRow == 32 * 64);
    ShortTopK<64>(row, limit, top_k, to);
  }
}

__global__ __launch_bounds__(kTopKThreads) void TopKKernel(IndexerParams p,
                                                           Slab slab, int top_k,
                                                           int32_t* indices) {
  __shared__ int histogram[kBins];
  __shared__ int sums[kTopKWarps];
  __shared__ int found_bin, found_need;
  __shared__ int above[kTopKWarps], equal[kTopKWarps];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  // Later queries see more and start first.
  const int r = slab.rows - 1 - static_cast<int>(blockIdx.x);
  const int64_t b = slab.b + blockIdx.y;
  const int64_t i = slab.query + r;
  const int limit = p.Limit(b, i);
  int32_t* to = indices + p.Row(b, i) * top_k;
  if (limit <= top_k) {
    for (int n = thread; n < top_k; n += kTopKThreads) {
      to[n] = n < limit ? n : -1;
    }
    return;
  }
  const float* row = slab.Row(blockIdx.y, r);

  uint32_t threshold = 0;  // its digits so far, then the k-th largest score
  int need = top_k;        // how many scores to take of those that match it
  for (int pass = 0; pass < 3; ++pass) {
    const Digit digit = DigitAt(pass);
    for (int n = thread; n < kBins; n += kTopKThreads) histogram[n] = 0;
    __syncthreads();  // the histogram is empty; all have read the last one
    for (int s = thread; s < limit; s += kTopKThreads) {
      const uint32_t order = ScoreOrder(row[s]);
      // A shift by 32 is none: in the first pass every score matches.
      const bool matches =
          pass == 0 || order >> (digit.shift + digit.bits) == threshold;
      if (matches) {
        atomicAdd(&histogram[order >> digit.shift & ((1u << digit.bits) - 1)],
                  1);
      }
    }
    __syncthreads();  // the histogram is full
    // From the largest digit down: how many scores lie above this thread's.
    const int top_bin = kBins - 1 - thread * kBinsPerThread;
    int count = 0;
    for (int n = 0; n < kBinsPerThread; ++n) count += histogram[top_bin - n];
    int inclusive = count;
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, inclusive, step);
      if (lane >= step) inclusive += other;
    }
    if (lane == 31) sums[warp] = inclusive;
    __syncthreads();
    int before = inclusive - count;
    for (int w = 0; w < warp; ++w) before += sums[w];
    if (before < need && need <= before + count) {  // one thread
      int bin = top_bin;
      while (before + histogram[bin] < need) before += histogram[bin--];
      found_bin = bin;
      found_need = need - before;
    }
    __syncthreads();
    threshold = threshold << digit.bits | static_cast<uint32_t>(found_bin);
    need = found_need;
    // found_* are written again only after two more barriers.
  }

  // Each warp has a part of the row, a multiple of 32.
  const int part = (limit + 32 * kTopKWarps - 1) / (32 * kTopKWarps) * 32;
  const int begin = warp * part, end = min(limit, begin + part);
  int n_above = 0, n_equal = 0;
  for (int s = begin; s < end; s += 32) {
    const uint32_t order = s + lane < end ? ScoreOrder(row[s + lane]) : 0;
    n_above += __popc(__ballot_sync(0xffffffffu, order > threshold));
    n_equal += __popc(__ballot_sync(0xffffffffu, order == threshold));
  }
  if (lane == 0) {
    above[warp] = n_above;
    equal[warp] = n_equal;
  }
  __syncthreads();
  n_above = n_equal = 0;
  for (int w = 0; w < warp; ++w) {
    n_above += above[w];
    n_equal += equal[w];
  }
  for (int s = begin; s < end; s += 32) {
    const uint32_t order = s + lane < end ? ScoreOrder(row[s + lane]) : 0;
    WriteChosen(order, threshold, need, s + lane, &n_above, &n_equal, to);
  }
}

absl::Status LaunchTopK(Context& ctx, const IndexerParams& p, const Slab& slab,
                        int top_k, int32_t* indices) {
  const auto batch = static_cast<unsigned>(slab.batch);
  if (p.keys <= kShortRow) {
    const auto blocks =
        static_cast<unsigned>(cuda::CeilDiv(slab.rows, kShortThreads / 32));
    ShortTopKKernel<<<dim3(blocks, batch), kShortThreads, 0,
                      cuda::StreamOf(ctx)>>>(p, slab, top_k, indices);
  } else {
    const auto rows = static_cast<unsigned>(slab.rows);
    TopKKernel<<<dim3(rows, batch), kTopKThreads, 0, cuda::StreamOf(ctx)>>>(
        p, slab, top_k, indices);
  }
  LT2_RETURN_LAUNCH_ERROR("indexer top-k");
  return absl::OkStatus();
}

}  // namespace
}  // namespace sparse

absl::Status IndexerTopKCuda(Context& ctx, const IndexerArgs& args,
                             int64_t top_k, Tensor* indices) {
  const sparse::IndexerParams params(args);
  const sparse::SlabSize size{params.keys, 1, sparse::kTopKElements};
  return sparse::ForEachSlab(
      ctx, args, size, [&](const sparse::Slab& slab) -> absl::Status {
        // Where every query may keep all that it sees, scores do not matter.
        if (params.keys > top_k) {
          LT2_RETURN_IF_ERROR(sparse::ScoreSlab(ctx, args, slab));
        }
        return sparse::LaunchTopK(ctx, params, slab, static_cast<int>(top_k),
                                  indices->data<int32_t>());
      });
}

}  // namespace lt2::kernels
