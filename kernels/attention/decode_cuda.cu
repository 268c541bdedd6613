// Decoding and cache upkeep on a GPU.
//
// Decoding reads each cached key and value once and does little else, so it
// wants many blocks. The cache of one head is split into a number of parts that
// follows from the capacity alone (lengths live on the device, and the bits of
// a row must not depend on the batch); the parts share the length that they
// find evenly. A second kernel combines them in order.

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_impl.h"
#include "kernels/attention/attention_mma.cuh"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 128;
constexpr float kLog2E = 1.44269504088896341f;
// Fewest entries worth a block of their own, and most parts.
constexpr int64_t kPart = 128;
constexpr int64_t kMaxParts = 64;

template <typename T>
struct DecodeParams {
  const T *q, *k, *v;
  const int32_t* lengths;
  T* o;
  float* parts;   // [B, H, splits, D]: unnormalised outputs
  float* totals;  // [B, H, splits, 2]: maximum (base 2) and sum
  int64_t capacity;
  int heads, kv_heads, dim, splits;
  float scale_log2;
};

// 16 bytes of a row as floats.
template <typename T>
constexpr int kVector = 16 / sizeof(T);
template <typename T>
__device__ __forceinline__ void LoadVector(const T* from, bool valid,
                                           float (&to)[kVector<T>]) {
  alignas(16) T values[kVector<T>];
  *reinterpret_cast<uint4*>(values) =
      valid ? *reinterpret_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < kVector<T>; ++i) to[i] = cuda::AsFloat(values[i]);
}

// exp2(x - max), where a maximum of minus infinity says that nothing has been
// seen: then x is minus infinity too, or NaN, which must show.
__device__ __forceinline__ float Weight(float x, float max) {
  return mma::Exp2(x - (max == -INFINITY ? 0.0f : max));
}

// kLanes lanes share one cached row; a warp has 32 / kLanes rows in flight
// times kUnroll, each row group with its own running softmax.
template <typename T, int kLanes>
__global__ __launch_bounds__(kThreads) void DecodeKernel(DecodeParams<T> p) {
  constexpr int kWide = kVector<T>;
  constexpr int kGroups = kThreads / kLanes;
  constexpr int kUnroll = 4;
  __shared__ float shared_max[kGroups], shared_sum[kGroups];
  __shared__ float shared_o[kGroups][kLanes * kWide];

  // Query heads of one group and part run together: they read the same rows.
  const int group = p.heads / p.kv_heads;
  int64_t block = blockIdx.x;
  const int in_group = static_cast<int>(block % group);
  block /= group;
  const int split = static_cast<int>(block % p.splits);
  block /= p.splits;
  const int kv_head = static_cast<int>(block % p.kv_heads);
  const int64_t b = block / p.kv_heads;
  const int h = kv_head * group + in_group;

  const int64_t length =
      min(max(static_cast<int64_t>(p.lengths[b]), int64_t{0}), p.capacity);
  const int64_t part = max((length + p.splits - 1) / p.splits, int64_t{64});
  const int64_t begin = split * part, end = min(length, begin + part);

  const int lane = threadIdx.x % kLanes;
  const int row_group = threadIdx.x / kLanes;
  const int column = lane * kWide;
  const bool inside = column < p.dim;
  const int64_t stride = static_cast<int64_t>(p.kv_heads) * p.dim;
  const int64_t base = (b * p.capacity * p.kv_heads + kv_head) * p.dim + column;
  float q[kWide], o[kWide] = {};
  LoadVector<T>(p.q + (b * p.heads + h) * p.dim + column, inside, q);
  float max = -INFINITY, sum = 0;

  // The trip count is the same for all threads: the shuffles need whole warps.
  for (int64_t first = begin; first < end; first += kGroups * kUnroll) {
    float score[kUnroll], v[kUnroll][kWide];
    float k[kUnroll][kWide];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int64_t s = first + u * kGroups + row_group;
      const bool valid = s < end && inside;
      LoadVector<T>(p.k + base + (valid ? s * stride : 0), valid, k[u]);
      LoadVector<T>(p.v + base + (valid ? s * stride : 0), valid, v[u]);
    }
    float new_max = max;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      float dot = 0;
#pragma unroll
      for (int i = 0; i < kWide; ++i) dot = fmaf(q[i], k[u][i], dot);
#pragma unroll
      for (int step = kLanes / 2; step > 0; step /= 2) {
        dot += __shfl_xor_sync(0xffffffffu, dot, step);
      }
      const int64_t s = first + u * kGroups + row_group;
      score[u] = s < end ? dot * p.scale_log2 : -INFINITY;
      new_max = fmaxf(new_max, score[u]);
    }
    const float factor = Weight(max, new_max);
    max = new_max;
    sum *= factor;
#pragma unroll
    for (int i = 0; i < kWide; ++i) o[i] *= factor;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const float weight = Weight(score[u], new_max);
      sum += weight;
#pragma unroll
      for (int i = 0; i < kWide; ++i) o[i] = fmaf(weight, v[u][i], o[i]);
    }
  }

  if (lane == 0) {
    shared_max[row_group] = max;
    shared_sum[row_group] = sum;
  }
#pragma unroll
  for (int i = 0; i < kWide; ++i) shared_o[row_group][column + i] = o[i];
  __syncthreads();

  float block_max = -INFINITY, block_sum = 0, value = 0;
  for (int g = 0; g < kGroups; ++g) block_max = fmaxf(block_max, shared_max[g]);
  const int d = threadIdx.x;
  if (d >= p.dim) return;
  for (int g = 0; g < kGroups; ++g) {
    const float weight = Weight(shared_max[g], block_max);
    block_sum += weight * shared_sum[g];
    value += weight * shared_o[g][d];
  }
  const int64_t row = b * p.heads + h;
  if (p.splits == 1) {
    p.o[row * p.dim + d] =
        cuda::FromFloat<T>(block_sum == 0 ? 0.0f : value / block_sum);
    return;
  }
  const int64_t at = row * p.splits + split;
  p.parts[at * p.dim + d] = value;
  if (d == 0) {
    p.totals[2 * at] = block_max;
    p.totals[2 * at + 1] = block_sum;
  }
}

// One block for each query head: the parts in order. Their maxima and sums are
// read by one thread each, so that the loop over parts waits for no chain of
// loads.
template <typename T>
__global__ __launch_bounds__(kThreads) void CombineKernel(DecodeParams<T> p) {
  static_assert(kMaxParts <= kThreads);
  __shared__ float maxima[kMaxParts], weights[kMaxParts], sums[kMaxParts];
  const int64_t row = blockIdx.x;
  const int t = threadIdx.x;
  const float* totals = p.totals + 2 * row * p.splits;
  const float* parts = p.parts + row * p.splits * p.dim;
  if (t < p.splits) maxima[t] = totals[2 * t];
  __syncthreads();
  float max = -INFINITY;
  for (int s = 0; s < p.splits; ++s) max = fmaxf(max, maxima[s]);
  if (t < p.splits) {
    weights[t] = Weight(maxima[t], max);
    sums[t] = weights[t] * totals[2 * t + 1];
  }
  __syncthreads();
  if (t >= p.dim) return;
  float sum = 0, value = 0;
#pragma unroll 16
  for (int s = 0; s < p.splits; ++s) {
    sum += sums[s];
    value = fmaf(weights[s], parts[static_cast<int64_t>(s) * p.dim + t], value);
  }
  p.o[row * p.dim + t] = cuda::FromFloat<T>(sum == 0 ? 0.0f : value / sum);
}

template <typename Unit>
__global__ void AppendKernel(int64_t total, int64_t row, int64_t n,
                             int64_t capacity, const int32_t* lengths,
                             const Unit* k, const Unit* v, Unit* k_cache,
                             Unit* v_cache) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= total) return;
  const int64_t unit = i % row, token = i / row % n, b = i / row / n;
  const int64_t length = max(static_cast<int64_t>(lengths[b]), int64_t{0});
  const int64_t slot = (length + token) % capacity;
  const int64_t to = (b * capacity + slot) * row + unit;
  k_cache[to] = k[i];
  v_cache[to] = v[i];
}

template <typename Unit>
absl::Status LaunchAppend(Context& ctx, const CacheAppendArgs& args,
                          Tensor* k_cache, Tensor* v_cache) {
  const int64_t total = args.k.bytes() / sizeof(Unit);
  const int64_t n = args.k.dim(1), row = total / (args.k.dim(0) * n);
  const auto grid = static_cast<unsigned>(cuda::CeilDiv(total, 256));
  AppendKernel<Unit><<<grid, 256, 0, cuda::StreamOf(ctx)>>>(
      total, row, n, k_cache->dim(1), args.lengths.data<int32_t>(),
      static_cast<const Unit*>(args.k.raw()),
      static_cast<const Unit*>(args.v.raw()),
      static_cast<Unit*>(k_cache->raw()), static_cast<Unit*>(v_cache->raw()));
  LT2_RETURN_LAUNCH_ERROR("cache append");
  return absl::OkStatus();
}

__global__ void AdvanceKernel(int32_t n, int64_t batch, int32_t* lengths) {
  const int64_t b = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (b < batch) lengths[b] += n;
}

template <typename T, int kLanes>
void LaunchDecode(cudaStream_t stream, unsigned grid,
                  const DecodeParams<T>& params) {
  DecodeKernel<T, kLanes><<<grid, kThreads, 0, stream>>>(params);
}

template <typename Host>
absl::Status Decode(Context& ctx, const AttentionDecodeArgs& args, Tensor* o) {
  using T = typename cuda::DeviceType<Host>::type;
  const int64_t batch = args.q.dim(0), heads = args.q.dim(2);
  const int64_t dim = args.q.dim(3), capacity = args.k_cache.dim(1);
  const int64_t splits =
      std::clamp(cuda::CeilDiv(capacity, kPart), int64_t{1}, kMaxParts);
  const int64_t blocks = batch * heads * splits;
  if (blocks > INT32_MAX) {
    return InvalidArgument("decoding would need ", blocks, " thread blocks");
  }
  Tensor parts, totals;
  if (splits > 1) {
    LT2_ASSIGN_OR_RETURN(parts,
                         ctx.Empty(DType::kF32, {batch, heads, splits, dim}));
    LT2_ASSIGN_OR_RETURN(totals,
                         ctx.Empty(DType::kF32, {batch, heads, splits, 2}));
  }
  const DecodeParams<T> params{cuda::Data<Host>(args.q),
                               cuda::Data<Host>(args.k_cache),
                               cuda::Data<Host>(args.v_cache),
                               cuda::Data<int32_t>(args.lengths),
                               cuda::Data<Host>(*o),
                               cuda::Data<float>(parts),
                               cuda::Data<float>(totals),
                               capacity,
                               static_cast<int>(heads),
                               static_cast<int>(args.k_cache.dim(2)),
                               static_cast<int>(dim),
                               static_cast<int>(splits),
                               args.scale * kLog2E};
  const cudaStream_t stream = cuda::StreamOf(ctx);
  const auto grid = static_cast<unsigned>(blocks);
  const int64_t lanes = cuda::CeilDiv(dim, kVector<T>);
  if (lanes <= 8) {
    LaunchDecode<T, 8>(stream, grid, params);
  } else if (lanes <= 16) {
    LaunchDecode<T, 16>(stream, grid, params);
  } else {
    LaunchDecode<T, 32>(stream, grid, params);
  }
  LT2_RETURN_LAUNCH_ERROR("attention decode");
  if (splits > 1) {
    const auto rows = static_cast<unsigned>(batch * heads);
    CombineKernel<T><<<rows, kThreads, 0, stream>>>(params);
    LT2_RETURN_LAUNCH_ERROR("attention decode combine");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AttentionDecodeCuda(Context& ctx, const AttentionDecodeArgs& args,
                                 Tensor* o) {
  return args.q.dtype() == DType::kF32 ? Decode<float>(ctx, args, o)
                                       : Decode<BFloat16>(ctx, args, o);
}

absl::Status CacheAppendCuda(Context& ctx, const CacheAppendArgs& args,
                             Tensor* k_cache, Tensor* v_cache) {
  const int64_t row_bytes = args.k.bytes() / (args.k.dim(0) * args.k.dim(1));
  return row_bytes % 16 == 0
             ? LaunchAppend<uint4>(ctx, args, k_cache, v_cache)
             : LaunchAppend<uint16_t>(ctx, args, k_cache, v_cache);
}

absl::Status AdvanceLengthsCuda(Context& ctx, int64_t n, Tensor* lengths) {
  const auto grid = static_cast<unsigned>(cuda::CeilDiv(lengths->numel(), 256));
  AdvanceKernel<<<grid, 256, 0, cuda::StreamOf(ctx)>>>(
      static_cast<int32_t>(n), lengths->numel(), lengths->data<int32_t>());
  LT2_RETURN_LAUNCH_ERROR("advance lengths");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
