// Cross-entropy on the GPU: a group of threads per row reads it once with a
// running maximum and sum, then two small launches sum the losses in a fixed
// order.

#include <algorithm>
#include <climits>

#include "kernels/core/cuda_util.cuh"
#include "kernels/cross_entropy/cross_entropy_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kBlockThreads = 512;  // per row of a large vocabulary
constexpr int kRowsPerBlock = 8;    // rows of a small one, a warp each
constexpr int64_t kSmallVocab = 2048;
constexpr int kVector = 4;

// Of some logits of a row: the largest, its lowest index, and the sum of
// exp(logit - max). No logits: -infinity, INT_MAX, 0.
struct Summary {
  float max = -INFINITY;
  float sum = 0.0f;
  int index = INT_MAX;

  __device__ void Add(float x, int v) {
    if (x > max) {
      sum = sum * expf(max - x) + 1.0f;
      max = x;
      index = v;
    } else if (x != -INFINITY) {  // whose difference from max may be NaN
      sum += expf(x - max);
    }
  }

  __device__ void Merge(float other_max, float other_sum, int other_index) {
    if (other_max == max) {
      sum += other_sum;
      index = min(index, other_index);
    } else if (other_max > max) {
      sum = sum * expf(max - other_max) + other_sum;
      max = other_max;
      index = other_index;
    } else {
      sum += other_sum * expf(other_max - max);
    }
  }

  // Lane 0 gets the summary of all lanes.
  __device__ void MergeWarp() {
    for (int offset = 16; offset > 0; offset /= 2) {
      const float other_max = __shfl_down_sync(0xffffffffu, max, offset);
      const float other_sum = __shfl_down_sync(0xffffffffu, sum, offset);
      const int other_index = __shfl_down_sync(0xffffffffu, index, offset);
      Merge(other_max, other_sum, other_index);
    }
  }
};

// The part of row that thread `rank` of `threads` reads. Vectors need a vocab
// that is a multiple of 4.
template <bool kAligned>
__device__ Summary Summarize(const float* row, int vocab, int rank,
                             int threads) {
  Summary summary;
  if constexpr (kAligned) {
    const float4* vectors = reinterpret_cast<const float4*>(row);
    for (int v = rank; v < vocab / kVector; v += threads) {
      const float4 x = vectors[v];
      summary.Add(x.x, v * kVector);
      summary.Add(x.y, v * kVector + 1);
      summary.Add(x.z, v * kVector + 2);
      summary.Add(x.w, v * kVector + 3);
    }
  } else {
    for (int v = rank; v < vocab; v += threads) summary.Add(row[v], v);
  }
  return summary;
}

__device__ void WriteRow(const Summary& summary, const float* row, int vocab,
                         int32_t target, int64_t i, float* loss, float* lse,
                         int32_t* argmax) {
  const float value = summary.max + logf(summary.sum);
  lse[i] = value;
  argmax[i] = summary.index == INT_MAX ? 0 : summary.index;
  if (target == kIgnoreTarget) {
    loss[i] = 0.0f;
  } else {
    loss[i] = target >= 0 && target < vocab ? value - row[target] : NAN;
  }
}

template <bool kAligned>
__global__ void WarpPerRowKernel(const float* logits, const int32_t* targets,
                                 int64_t n, int vocab, float* loss, float* lse,
                                 int32_t* argmax) {
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.y;
  if (i >= n) return;  // whole warps: blockDim.x is 32
  const float* row = logits + i * vocab;
  Summary summary = Summarize<kAligned>(row, vocab, threadIdx.x, 32);
  summary.MergeWarp();
  if (threadIdx.x == 0) {
    WriteRow(summary, row, vocab, targets[i], i, loss, lse, argmax);
  }
}

template <bool kAligned>
__global__ void BlockPerRowKernel(const float* logits, const int32_t* targets,
                                  int vocab, float* loss, float* lse,
                                  int32_t* argmax) {
  constexpr int kWarps = kBlockThreads / 32;
  __shared__ float warp_max[kWarps], warp_sum[kWarps];
  __shared__ int warp_index[kWarps];
  const int64_t i = blockIdx.x;
  const float* row = logits + i * vocab;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Summary summary = Summarize<kAligned>(row, vocab, threadIdx.x, kBlockThreads);
  summary.MergeWarp();
  if (lane == 0) {
    warp_max[warp] = summary.max;
    warp_sum[warp] = summary.sum;
    warp_index[warp] = summary.index;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kWarps; ++w) {
    summary.Merge(warp_max[w], warp_sum[w], warp_index[w]);
  }
  WriteRow(summary, row, vocab, targets[i], i, loss, lse, argmax);
}

// ---- Mean -------------------------------------------------------------------

constexpr int kMeanThreads = 256;
constexpr int64_t kRowsPerPartial = 8192;

// Sum of x over the block for thread 0, in a fixed order.
__device__ double BlockSumDouble(double x, double* scratch) {
  for (int offset = 16; offset > 0; offset /= 2) {
    x += __shfl_down_sync(0xffffffffu, x, offset);
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0) {
    for (int w = 0; w < kMeanThreads / 32; ++w) sum += scratch[w];
  }
  __syncthreads();
  return sum;
}

// partials: pairs of a sum of losses and a number of rows not ignored.
__global__ void PartialMeanKernel(const float* loss, const int32_t* targets,
                                  int64_t n, double* partials) {
  __shared__ double scratch[kMeanThreads / 32];
  const int64_t begin = blockIdx.x * kRowsPerPartial;
  const int64_t end = min(n, begin + kRowsPerPartial);
  double sum = 0, count = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kMeanThreads) {
    sum += loss[i];
    count += targets[i] != kIgnoreTarget;
  }
  sum = BlockSumDouble(sum, scratch);
  count = BlockSumDouble(count, scratch);
  if (threadIdx.x == 0) {
    partials[2 * blockIdx.x] = sum;
    partials[2 * blockIdx.x + 1] = count;
  }
}

__global__ void FinishMeanKernel(const double* partials, int64_t n, float* mean,
                                 float* count_out) {
  __shared__ double scratch[kMeanThreads / 32];
  double sum = 0, count = 0;
  for (int64_t i = threadIdx.x; i < n; i += kMeanThreads) {
    sum += partials[2 * i];
    count += partials[2 * i + 1];
  }
  sum = BlockSumDouble(sum, scratch);
  count = BlockSumDouble(count, scratch);
  if (threadIdx.x == 0) {
    mean[0] = count == 0 ? 0.0f : static_cast<float>(sum / count);
    count_out[0] = static_cast<float>(count);
  }
}

// ---- Gradient ---------------------------------------------------------------

constexpr int kTile = 1024;  // columns per warp

__device__ void Store(float* out, float x, float y, float z, float w) {
  *reinterpret_cast<float4*>(out) = make_float4(x, y, z, w);
}
__device__ void Store(__nv_bfloat16* out, float x, float y, float z, float w) {
  alignas(8) __nv_bfloat162 pair[2] = {__floats2bfloat162_rn(x, y),
                                       __floats2bfloat162_rn(z, w)};
  *reinterpret_cast<uint2*>(out) = *reinterpret_cast<const uint2*>(pair);
}

// A warp per row and tile of columns. dlogits may be logits: every thread
// reads an element before it writes it, and no other.
template <typename T, bool kAligned>
__global__ void GradKernel(const float* logits, const int32_t* targets,
                           const float* lse, const float* count, int64_t n,
                           int vocab, T* dlogits) {
  const int64_t i =
      static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.y;
  if (i >= n) return;
  const float* row = logits + i * vocab;
  T* out = dlogits + i * vocab;
  const int begin = blockIdx.y * kTile;
  const int end = min(vocab, begin + kTile);
  const int target = targets[i];
  const float shift = lse[i];
  float scale = 1.0f / fmaxf(1.0f, count[0]);
  if (target != kIgnoreTarget && (target < 0 || target >= vocab)) scale = NAN;
  const bool ignored = target == kIgnoreTarget;
  auto gradient = [&](float x, int v) {
    return ignored ? 0.0f
                   : scale * (expf(x - shift) - (v == target ? 1.0f : 0.0f));
  };
  if constexpr (kAligned) {
    for (int v = begin + kVector * threadIdx.x; v < end; v += 32 * kVector) {
      const float4 x = *reinterpret_cast<const float4*>(row + v);
      Store(out + v, gradient(x.x, v), gradient(x.y, v + 1),
            gradient(x.z, v + 2), gradient(x.w, v + 3));
    }
  } else {
    for (int v = begin + threadIdx.x; v < end; v += 32) {
      out[v] = cuda::FromFloat<T>(gradient(row[v], v));
    }
  }
}

bool Aligned(const Tensor& t, int64_t vocab) {
  return vocab % kVector == 0 && reinterpret_cast<uintptr_t>(t.raw()) % 16 == 0;
}

}  // namespace

absl::Status CrossEntropyCuda(Context& ctx, const CrossEntropyArgs& args,
                              CrossEntropyResults* results) {
  const cudaStream_t stream = cuda::StreamOf(ctx);
  const int64_t n = args.logits.dim(0);
  const int vocab = static_cast<int>(args.logits.dim(1));
  const float* logits = cuda::Data<float>(args.logits);
  const int32_t* targets = cuda::Data<int32_t>(args.targets);
  float* loss = cuda::Data<float>(results->loss);
  float* lse = cuda::Data<float>(results->lse);
  int32_t* argmax = cuda::Data<int32_t>(results->argmax);
  const bool aligned = Aligned(args.logits, vocab);
  if (n > 0 && vocab <= kSmallVocab) {
    const auto kernel =
        aligned ? WarpPerRowKernel<true> : WarpPerRowKernel<false>;
    kernel<<<static_cast<unsigned>(cuda::CeilDiv(n, kRowsPerBlock)),
             dim3(32, kRowsPerBlock), 0, stream>>>(logits, targets, n, vocab,
                                                   loss, lse, argmax);
    LT2_RETURN_LAUNCH_ERROR("WarpPerRowKernel");
  } else if (n > 0) {
    const auto kernel =
        aligned ? BlockPerRowKernel<true> : BlockPerRowKernel<false>;
    kernel<<<static_cast<unsigned>(n), kBlockThreads, 0, stream>>>(
        logits, targets, vocab, loss, lse, argmax);
    LT2_RETURN_LAUNCH_ERROR("BlockPerRowKernel");
  }
  // n = 0 still writes mean and count: one partial, of no rows.
  const int64_t partials =
      std::max<int64_t>(1, cuda::CeilDiv(n, kRowsPerPartial));
  LT2_ASSIGN_OR_RETURN(Tensor sums, ctx.Empty(DType::kI64, {partials, 2}));
  double* partial = static_cast<double*>(sums.raw());
  PartialMeanKernel<<<static_cast<unsigned>(partials), kMeanThreads, 0,
                      stream>>>(loss, targets, n, partial);
  LT2_RETURN_LAUNCH_ERROR("PartialMeanKernel");
  FinishMeanKernel<<<1, kMeanThreads, 0, stream>>>(
      partial, partials, cuda::Data<float>(results->mean),
      cuda::Data<float>(results->count));
  LT2_RETURN_LAUNCH_ERROR("FinishMeanKernel");
  return absl::OkStatus();
}

absl::Status CrossEntropyGradCuda(Context& ctx,
                                  const CrossEntropyGradArgs& args,
                                  Tensor* dlogits) {
  const int64_t n = args.logits.dim(0);
  const int vocab = static_cast<int>(args.logits.dim(1));
  const bool aligned = Aligned(args.logits, vocab) && Aligned(*dlogits, vocab);
  const dim3 grid(static_cast<unsigned>(cuda::CeilDiv(n, kRowsPerBlock)),
                  static_cast<unsigned>(cuda::CeilDiv(vocab, kTile)));
  if (grid.y > 65535) {
    return InvalidArgument("cross entropy: vocab ", vocab,
                           " is too large for the GPU");
  }
  return cuda::VisitFloat(args.out, [&](auto zero) {
    using T = decltype(zero);
    using Value = typename cuda::DeviceType<T>::type;
    const auto kernel =
        aligned ? GradKernel<Value, true> : GradKernel<Value, false>;
    kernel<<<grid, dim3(32, kRowsPerBlock), 0, cuda::StreamOf(ctx)>>>(
        cuda::Data<float>(args.logits), cuda::Data<int32_t>(args.targets),
        cuda::Data<float>(args.lse), cuda::Data<float>(args.count), n, vocab,
        cuda::Data<T>(*dlogits));
    LT2_RETURN_LAUNCH_ERROR("GradKernel");
    return absl::OkStatus();
  });
}

}  // namespace lt2::kernels
