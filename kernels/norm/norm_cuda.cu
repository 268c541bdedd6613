// A "group" of kGroup threads owns a row, and a block of 256 threads has
// 256 / kGroup groups: the block itself beyond dim 1024, a warp below, and 8 or
// 16 threads where they hold a row (of one head, say) in one pack each; with
// a warp for such a row most of its threads would have nothing to do.
//
// The gradient also sums dweight. Each group keeps its sums in shared memory,
// one float per column, and every column belongs to one thread of the group, so
// that no two threads add to one address. A block walks over a slab of rows and
// writes one row of partial sums; ColumnSum adds those.

#include <algorithm>

#include "kernels/core/column_sum.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/pack.cuh"
#include "kernels/norm/norm_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpMaxDim = 1024;
constexpr int64_t kMaxBlocks = 512;

// act(g) and act'(g) of a gate.
__device__ __forceinline__ float GateValue(bool silu, float g) {
  const float s = cuda::Sigmoid(g);
  return silu ? g * s : s;
}
__device__ __forceinline__ float GateSlope(bool silu, float g) {
  const float s = cuda::Sigmoid(g);
  return silu ? cuda::SiluSlope(g, s) : s * (1.0f - s);
}

// Sum over the threads of a group; every thread gets it. All threads of the
// group must call it; other groups of the warp may have left.
template <int kGroup>
__device__ __forceinline__ float GroupSum(float x, float* scratch) {
  if constexpr (kGroup <= 32) {
    const unsigned first = threadIdx.x % 32 / kGroup * kGroup;
    const unsigned mask = 0xffffffffu >> (32 - kGroup) << first;
#pragma unroll
    for (int step = kGroup / 2; step > 0; step /= 2) {
      x += __shfl_xor_sync(mask, x, step);
    }
    return x;
  } else {
    return cuda::BlockSum(x, scratch);
  }
}

// The threads of a group for rows of `dim`, in packs or one by one.
int GroupOf(int64_t dim, bool pack) {
  if (dim > kWarpMaxDim) return kThreads;
  if (pack && dim <= 8 * cuda::kPackSize) return 8;
  if (pack && dim <= 16 * cuda::kPackSize) return 16;
  return 32;
}

template <typename T>
struct ForwardParams {
  const T *x, *gate;
  const float* weight;
  T* y;
  float* rstd;
  int64_t rows, dim;
  float inv_count, eps;
  bool silu;
};

template <typename T, int kGroup, int V>
__global__ void __launch_bounds__(kThreads)
    NormForwardKernel(const ForwardParams<T> p) {
  __shared__ float scratch[32];
  constexpr int kGroups = kThreads / kGroup;
  const int lane = threadIdx.x % kGroup;
  const int64_t row = int64_t{blockIdx.x} * kGroups + threadIdx.x / kGroup;
  // Uniform within a group.
  if (row >= p.rows) return;
  const T* x = p.x + row * p.dim;
  T* y = p.y + row * p.dim;
  float sum = 0.0f;
  for (int64_t i = int64_t{lane} * V; i < p.dim; i += kGroup * V) {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) sum += v[j] * v[j];
  }
  sum = GroupSum<kGroup>(sum, scratch);
  const float rstd = 1.0f / sqrtf(sum * p.inv_count + p.eps);
  if (lane == 0) p.rstd[row] = rstd;
  for (int64_t i = int64_t{lane} * V; i < p.dim; i += kGroup * V) {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] *= rstd;
    if (p.weight != nullptr) {
      float w[V];
      cuda::LoadPack<V>(p.weight + i, w);
#pragma unroll
      for (int j = 0; j < V; ++j) v[j] *= w[j];
    }
    if (p.gate != nullptr) {
      float g[V];
      cuda::LoadPack<V>(p.gate + row * p.dim + i, g);
#pragma unroll
      for (int j = 0; j < V; ++j) v[j] *= GateValue(p.silu, g[j]);
    }
    cuda::StorePack<V>(y + i, v);
  }
}

template <typename T>
struct BackwardParams {
  const T *x, *gate, *dy;
  const float *weight, *rstd;
  T *dx, *dgate;
  float* partials;  // [blocks, dim]; null without a weight
  int64_t rows, dim, rows_per_block;
  float inv_count;
  bool silu, x_is_normalized;
};

// xhat and v = dy act(gate) w for one pack; du = dy act(gate).
template <typename T, int V>
__device__ __forceinline__ void LoadBackward(const BackwardParams<T>& p,
                                             int64_t row, int64_t i,
                                             float scale, float (&xhat)[V],
                                             float (&du)[V], float (&v)[V]) {
  cuda::LoadPack<V>(p.x + row * p.dim + i, xhat);
  cuda::LoadPack<V>(p.dy + row * p.dim + i, du);
#pragma unroll
  for (int j = 0; j < V; ++j) xhat[j] *= scale;
  if (p.gate != nullptr) {
    float g[V];
    cuda::LoadPack<V>(p.gate + row * p.dim + i, g);
#pragma unroll
    for (int j = 0; j < V; ++j) du[j] *= GateValue(p.silu, g[j]);
  }
#pragma unroll
  for (int j = 0; j < V; ++j) v[j] = du[j];
  if (p.weight != nullptr) {
    float w[V];
    cuda::LoadPack<V>(p.weight + i, w);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] *= w[j];
  }
}

template <typename T, int kGroup, int V>
__global__ void __launch_bounds__(kThreads)
    NormBackwardKernel(const BackwardParams<T> p) {
  extern __shared__ float dweight[];  // [kGroups, dim] if there is a weight
  __shared__ float scratch[32];
  constexpr int kGroups = kThreads / kGroup;
  const int lane = threadIdx.x % kGroup, group = threadIdx.x / kGroup;
  // Column i + j of the pack at i is at j * packs + i / V: consecutive lanes
  // use consecutive banks.
  float* const mine = dweight + int64_t{group} * p.dim;
  const int64_t packs = p.dim / V;
  if (p.partials != nullptr) {
    for (int64_t i = threadIdx.x; i < kGroups * p.dim; i += kThreads) {
      dweight[i] = 0.0f;
    }
    __syncthreads();
  }
  const int64_t first = int64_t{blockIdx.x} * p.rows_per_block;
  const int64_t last = min(p.rows, first + p.rows_per_block);
  for (int64_t row = first + group; row < last; row += kGroups) {
    const float rstd = p.rstd[row];
    const float scale = p.x_is_normalized ? 1.0f : rstd;
    float dot = 0.0f;
    for (int64_t i = int64_t{lane} * V; i < p.dim; i += kGroup * V) {
      float xhat[V], du[V], v[V];
      LoadBackward<T, V>(p, row, i, scale, xhat, du, v);
#pragma unroll
      for (int j = 0; j < V; ++j) dot += v[j] * xhat[j];
      if (p.partials != nullptr) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          mine[j * packs + i / V] += du[j] * xhat[j];
        }
      }
    }
    dot = GroupSum<kGroup>(dot, scratch) * p.inv_count;
    for (int64_t i = int64_t{lane} * V; i < p.dim; i += kGroup * V) {
      float xhat[V], du[V], v[V];
      LoadBackward<T, V>(p, row, i, scale, xhat, du, v);
      if (p.dgate != nullptr) {
        // The gate's slope times dy xhat w; dy is read again, as du has the
        // gate's value in it, which may be 0.
        float g[V], dy[V], w[V];
        cuda::LoadPack<V>(p.gate + row * p.dim + i, g);
        cuda::LoadPack<V>(p.dy + row * p.dim + i, dy);
        cuda::LoadPack<V>(p.weight + i, w);
#pragma unroll
        for (int j = 0; j < V; ++j) {
          g[j] = dy[j] * xhat[j] * w[j] * GateSlope(p.silu, g[j]);
        }
        cuda::StorePack<V>(p.dgate + row * p.dim + i, g);
      }
#pragma unroll
      for (int j = 0; j < V; ++j) v[j] = rstd * (v[j] - xhat[j] * dot);
      cuda::StorePack<V>(p.dx + row * p.dim + i, v);
    }
  }
  if (p.partials == nullptr) return;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < p.dim; i += kThreads) {
    float sum = 0.0f;
    const int64_t at = i % V * packs + i / V;
    for (int g = 0; g < kGroups; ++g) sum += dweight[g * p.dim + at];
    p.partials[blockIdx.x * p.dim + i] = sum;
  }
}

const void* Address(const Tensor& t) { return t.defined() ? t.raw() : nullptr; }

template <typename T, int kGroup, int V>
absl::Status LaunchForward(Context& ctx, const ForwardParams<T>& p) {
  const int64_t blocks = cuda::CeilDiv(p.rows, kThreads / kGroup);
  NormForwardKernel<T, kGroup, V>
      <<<static_cast<unsigned>(blocks), kThreads, 0, cuda::StreamOf(ctx)>>>(p);
  LT2_RETURN_LAUNCH_ERROR("NormForwardKernel");
  return absl::OkStatus();
}

template <typename H>
absl::Status Forward(Context& ctx, const NormForward& norm) {
  using T = typename cuda::DeviceType<H>::type;
  ForwardParams<T> p;
  p.x = cuda::Data<H>(norm.x);
  p.gate = cuda::Data<H>(norm.gate);
  p.weight = cuda::Data<float>(norm.weight);
  p.y = cuda::Data<H>(norm.y);
  p.rstd = cuda::Data<float>(norm.rstd);
  p.rows = norm.x.rows();
  p.dim = norm.x.dim(-1);
  p.inv_count = norm.inv_count;
  p.eps = norm.eps;
  p.silu = norm.activation == GateActivation::kSilu;
  const bool pack = cuda::CanPack(p.dim, Address(norm.x), Address(norm.gate),
                                  Address(norm.weight), Address(norm.y));
  switch (GroupOf(p.dim, pack)) {
    case 8:
      return LaunchForward<T, 8, cuda::kPackSize>(ctx, p);
    case 16:
      return LaunchForward<T, 16, cuda::kPackSize>(ctx, p);
    case 32:
      return pack ? LaunchForward<T, 32, cuda::kPackSize>(ctx, p)
                  : LaunchForward<T, 32, 1>(ctx, p);
    default:
      return pack ? LaunchForward<T, kThreads, cuda::kPackSize>(ctx, p)
                  : LaunchForward<T, kThreads, 1>(ctx, p);
  }
}

template <typename T, int kGroup, int V>
absl::Status LaunchBackward(Context& ctx, const BackwardParams<T>& p,
                            int64_t blocks) {
  const int64_t shared_bytes =
      p.partials == nullptr
          ? 0
          : kThreads / kGroup * p.dim * static_cast<int64_t>(sizeof(float));
  NormBackwardKernel<T, kGroup, V>
      <<<static_cast<unsigned>(blocks), kThreads,
         static_cast<size_t>(shared_bytes), cuda::StreamOf(ctx)>>>(p);
  LT2_RETURN_LAUNCH_ERROR("NormBackwardKernel");
  return absl::OkStatus();
}

template <typename T>
absl::Status Backward(Context& ctx, const BackwardParams<T>& p, int group,
                      bool pack, int64_t blocks) {
  switch (group) {
    case 8:
      return LaunchBackward<T, 8, cuda::kPackSize>(ctx, p, blocks);
    case 16:
      return LaunchBackward<T, 16, cuda::kPackSize>(ctx, p, blocks);
    case 32:
      return pack ? LaunchBackward<T, 32, cuda::kPackSize>(ctx, p, blocks)
                  : LaunchBackward<T, 32, 1>(ctx, p, blocks);
    default:
      return pack ? LaunchBackward<T, kThreads, cuda::kPackSize>(ctx, p, blocks)
                  : LaunchBackward<T, kThreads, 1>(ctx, p, blocks);
  }
}

template <typename H>
absl::Status Backward(Context& ctx, const NormBackward& norm) {
  using T = typename cuda::DeviceType<H>::type;
  BackwardParams<T> p;
  p.x = cuda::Data<H>(norm.x);
  p.gate = cuda::Data<H>(norm.gate);
  p.dy = cuda::Data<H>(norm.dy);
  p.weight = cuda::Data<float>(norm.weight);
  p.rstd = cuda::Data<float>(norm.rstd);
  p.dx = cuda::Data<H>(norm.dx);
  p.dgate = cuda::Data<H>(norm.dgate);
  p.partials = nullptr;
  p.rows = norm.x.rows();
  p.dim = norm.x.dim(-1);
  p.inv_count = norm.inv_count;
  p.silu = norm.activation == GateActivation::kSilu;
  p.x_is_normalized = norm.x_is_normalized;
  const bool pack = cuda::CanPack(p.dim, Address(norm.x), Address(norm.gate),
                                  Address(norm.dy), Address(norm.weight),
                                  Address(norm.dx), Address(norm.dgate));
  const int group = GroupOf(p.dim, pack);
  int64_t blocks = cuda::CeilDiv(p.rows, kThreads / group);
  Tensor partials;
  if (norm.dweight.defined()) {
    blocks = std::min(blocks, kMaxBlocks);
    const Shape shape({blocks, p.dim});
    LT2_ASSIGN_OR_RETURN(partials, ctx.Empty(DType::kF32, shape));
    p.partials = cuda::Data<float>(partials);
  }
  p.rows_per_block = cuda::CeilDiv(p.rows, blocks);
  LT2_RETURN_IF_ERROR(Backward<T>(ctx, p, group, pack, blocks));
  if (!norm.dweight.defined()) return absl::OkStatus();
  return cuda::ColumnSum(ctx, p.partials, blocks, p.dim,
                         cuda::Data<float>(norm.dweight));
}

}  // namespace

absl::Status NormForwardCuda(Context& ctx, const NormForward& norm) {
  return norm.x.dtype() == DType::kBF16 ? Forward<BFloat16>(ctx, norm)
                                        : Forward<float>(ctx, norm);
}

absl::Status NormBackwardCuda(Context& ctx, const NormBackward& norm) {
  return norm.x.dtype() == DType::kBF16 ? Backward<BFloat16>(ctx, norm)
                                        : Backward<float>(ctx, norm);
}

}  // namespace lt2::kernels
