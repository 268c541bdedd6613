// Sampling on the GPU, a block per row.
//
// What top-k and top-p keep is a prefix of the tokens ordered by logit, so it
// is described by two numbers: a threshold, and how many of the tokens equal to
// the threshold belong to it (the first ones by index). The threshold is found
// bit by bit: the largest one for which enough tokens, or enough weight, lie at
// or above it. All sums are of integers, so their order does not matter.

#include <climits>

#include "kernels/core/cuda_util.cuh"
#include "kernels/sampling/sampling_internal.h"
#include "kernels/sampling/sampling_weight.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

struct Scratch {
  uint64_t wide[kWarps];
  uint32_t narrow[kWarps];
};

// Sum over the block; every thread gets it.
__device__ uint64_t BlockSum64(uint64_t x, Scratch* scratch) {
  for (int offset = 16; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, offset);
  }
  __syncthreads();  // scratch may still be read from the sum before
  if (threadIdx.x % 32 == 0) scratch->wide[threadIdx.x / 32] = x;
  __syncthreads();
  uint64_t sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += scratch->wide[w];
  return sum;
}

// Sum over the threads before this one.
__device__ uint64_t BlockSumBefore(uint64_t x, Scratch* scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  uint64_t through = x;  // sum over the lanes up to this one
  for (int offset = 1; offset < 32; offset *= 2) {
    const uint64_t below = __shfl_up_sync(0xffffffffu, through, offset);
    if (lane >= offset) through += below;
  }
  __syncthreads();
  if (lane == 31) scratch->wide[warp] = through;
  __syncthreads();
  uint64_t before = through - x;
  for (int w = 0; w < warp; ++w) before += scratch->wide[w];
  return before;
}

struct Row {
  const float* logits;
  int vocab;
  float max;
  float inverse_temperature;
  // Lighter tokens count as weightless. Zero until top-k and top-p are done.
  uint64_t min_weight;

  __device__ uint64_t Weight(float logit) const {
    const uint64_t weight = TokenWeight(logit, max, inverse_temperature);
    return weight >= min_weight ? weight : 0;
  }
  // How many logits, and how much weight, at or above a threshold.
  __device__ uint64_t CountFrom(uint32_t threshold, Scratch* scratch) const {
    uint64_t count = 0;
    for (int v = threadIdx.x; v < vocab; v += kThreads) {
      count += OrderedBits(logits[v]) >= threshold;
    }
    return BlockSum64(count, scratch);
  }
  __device__ uint64_t WeightFrom(uint32_t threshold, Scratch* scratch) const {
    uint64_t weight = 0;
    for (int v = threadIdx.x; v < vocab; v += kThreads) {
      const float logit = logits[v];
      if (OrderedBits(logit) >= threshold) weight += Weight(logit);
    }
    return BlockSum64(weight, scratch);
  }
};

// The tokens above `threshold` and the first `ties` of those equal to it.
struct Kept {
  uint32_t threshold = 0;  // below every logit
  uint64_t ties = 0;
};

__device__ Kept TopK(const Row& row, uint64_t k, Scratch* scratch) {
  Kept kept;
  for (int bit = 31; bit >= 0; --bit) {
    const uint32_t higher = kept.threshold | (1u << bit);
    if (row.CountFrom(higher, scratch) >= k) kept.threshold = higher;
  }
  // No overflow: only NaN has all bits set.
  kept.ties = k - row.CountFrom(kept.threshold + 1, scratch);
  return kept;
}

// The weight of what is kept.
__device__ uint64_t KeptWeight(const Row& row, const Kept& kept,
                               Scratch* scratch) {
  if (kept.threshold == 0) return row.WeightFrom(0, scratch);
  return row.WeightFrom(kept.threshold + 1, scratch) +
         kept.ties * row.Weight(FromOrderedBits(kept.threshold));
}

__device__ Kept TopP(const Row& row, const Kept& top_k, float top_p,
                     Scratch* scratch) {
  const uint64_t total = KeptWeight(row, top_k, scratch);
  const uint64_t target = NucleusWeight(top_p, total);
  Kept kept;
  for (int bit = 31; bit >= 0; --bit) {
    const uint32_t higher = kept.threshold | (1u << bit);
    // All that lies above top_k.threshold is kept by top-k; at or below it the
    // weight is that of all that top-k keeps, which suffices.
    if (higher <= top_k.threshold ||
        row.WeightFrom(higher, scratch) >= target) {
      kept.threshold = higher;
    }
  }
  const uint64_t above = row.WeightFrom(kept.threshold + 1, scratch);
  // Not zero: these tokens make the sum reach the target.
  const uint64_t weight = row.Weight(FromOrderedBits(kept.threshold));
  kept.ties = (target - above + weight - 1) / weight;
  return kept;
}

// What the kernel needs to know beside the logits.
struct Settings {
  float temperature, inverse_temperature, top_p, min_p;
  int top_k;
  uint64_t seed;
  int64_t step;
};

__global__ void __launch_bounds__(kThreads)
    SampleKernel(const float* all_logits, int vocab, Settings s,
                 const int32_t* streams, int32_t* ids) {
  __shared__ Scratch scratch;
  __shared__ float warp_max[kWarps];
  __shared__ int warp_index[kWarps];
  const int64_t b = blockIdx.x;
  const float* logits = all_logits + b * vocab;

  // The largest logit, its lowest index, and whether there is a NaN.
  float max = -INFINITY;
  int index = INT_MAX;
  uint64_t invalid = 0;
  for (int v = threadIdx.x; v < vocab; v += kThreads) {
    const float x = logits[v];
    invalid += isnan(x);
    if (x > max) {
      max = x;
      index = v;
    }
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    const float other_max = __shfl_xor_sync(0xffffffffu, max, offset);
    const int other_index = __shfl_xor_sync(0xffffffffu, index, offset);
    if (other_max > max || (other_max == max && other_index < index)) {
      max = other_max;
      index = other_index;
    }
  }
  if (threadIdx.x % 32 == 0) {
    warp_max[threadIdx.x / 32] = max;
    warp_index[threadIdx.x / 32] = index;
  }
  invalid = BlockSum64(invalid, &scratch);  // its barriers cover warp_max
  for (int w = 0; w < kWarps; ++w) {
    if (warp_max[w] > max || (warp_max[w] == max && warp_index[w] < index)) {
      max = warp_max[w];
      index = warp_index[w];
    }
  }
  // From here on max, index and invalid are the same in every thread, and so
  // is every branch around a barrier.
  if (invalid > 0 || isinf(max) || s.temperature == 0.0f || s.top_k == 1) {
    if (threadIdx.x == 0) ids[b] = invalid > 0 || isinf(max) ? -1 : index;
    return;
  }

  Row row = {logits, vocab, max, s.inverse_temperature, 0};
  Kept kept;
  if (s.top_k > 0 && s.top_k < vocab) {
    kept = TopK(row, static_cast<uint64_t>(s.top_k), &scratch);
  }
  if (s.top_p < 1.0f) kept = TopP(row, kept, s.top_p, &scratch);
  row.min_weight = MinWeight(s.min_p);
  const uint64_t total = KeptWeight(row, kept, &scratch);
  const uint64_t draw = Below(
      DrawBits(s.seed, s.step, streams != nullptr ? streams[b] : b), total);

  // Thread t owns a range of indexes, and ranges are in order of t.
  const int share = (vocab + kThreads - 1) / kThreads;
  const int begin = min(vocab, static_cast<int>(threadIdx.x) * share);
  const int end = min(vocab, begin + share);
  uint64_t above = 0, ties = 0;
  for (int v = begin; v < end; ++v) {
    const uint32_t bits = OrderedBits(logits[v]);
    if (bits > kept.threshold) above += row.Weight(logits[v]);
    ties += bits == kept.threshold;
  }
  const uint64_t tie_weight =
      kept.ties > 0 ? row.Weight(FromOrderedBits(kept.threshold)) : 0;
  uint64_t ties_before = BlockSumBefore(ties, &scratch);
  uint64_t sum = BlockSumBefore(above, &scratch) +
                 min(ties_before, kept.ties) * tie_weight;
  if (sum > draw) return;  // the token lies before this range
  for (int v = begin; v < end; ++v) {
    const uint32_t bits = OrderedBits(logits[v]);
    if (bits > kept.threshold) {
      sum += row.Weight(logits[v]);
    } else if (bits == kept.threshold && ties_before++ < kept.ties) {
      sum += tie_weight;
    }
    if (sum > draw) {
      ids[b] = v;
      return;
    }
  }
}

// out = logits with the penalty on the tokens that counts > 0. In a pass of its
// own: the sampling passes over the logits many times.
__global__ void PenaltyKernel(const float* logits, const int32_t* counts,
                              float penalty, int64_t n, float* out) {
  const int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (i >= n) return;
  out[i] = counts[i] > 0 ? Penalized(logits[i], penalty) : logits[i];
}

// Atomics on integers: the result does not depend on their order.
__global__ void CountKernel(const int32_t* ids, int64_t total, int64_t n,
                            int64_t vocab, int32_t* counts) {
  const int64_t i = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (i >= total) return;
  const int32_t id = ids[i];
  if (id >= 0 && id < vocab) atomicAdd(&counts[i / n * vocab + id], 1);
}

unsigned Blocks(int64_t n) {
  return static_cast<unsigned>((n + kThreads - 1) / kThreads);
}

}  // namespace

absl::Status SampleCuda(Context& ctx, const SamplingArgs& args, Tensor* ids) {
  const int64_t batch = args.logits.dim(0);
  Tensor logits = args.logits;
  if (args.repetition_penalty != 1) {
    LT2_ASSIGN_OR_RETURN(logits, ctx.Empty(DType::kF32, args.logits.shape()));
    const int64_t n = logits.numel();
    PenaltyKernel<<<Blocks(n), kThreads, 0, cuda::StreamOf(ctx)>>>(
        cuda::Data<float>(args.logits), cuda::Data<int32_t>(args.counts),
        args.repetition_penalty, n, cuda::Data<float>(logits));
    LT2_RETURN_LAUNCH_ERROR("PenaltyKernel");
  }
  const Settings settings = {args.temperature, 1.0f / args.temperature,
                             args.top_p,       args.min_p,
                             args.top_k,       args.seed,
                             args.step};
  SampleKernel<<<static_cast<unsigned>(batch), kThreads, 0,
                 cuda::StreamOf(ctx)>>>(
      cuda::Data<float>(logits), static_cast<int>(logits.dim(1)), settings,
      args.streams.defined() ? cuda::Data<int32_t>(args.streams) : nullptr,
      cuda::Data<int32_t>(*ids));
  LT2_RETURN_LAUNCH_ERROR("SampleKernel");
  return absl::OkStatus();
}

absl::Status CountTokensCuda(Context& ctx, const Tensor& ids, Tensor* counts) {
  CountKernel<<<Blocks(ids.numel()), kThreads, 0, cuda::StreamOf(ctx)>>>(
      cuda::Data<int32_t>(ids), ids.numel(), ids.dim(1), counts->dim(1),
      cuda::Data<int32_t>(*counts));
  LT2_RETURN_LAUNCH_ERROR("CountKernel");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
