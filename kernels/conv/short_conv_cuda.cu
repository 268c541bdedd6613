// A thread owns V = 4 neighbouring channels (2 in the gradient: windows and
// taps of more would not fit in registers; 1 where addresses or widths are odd)
// and a chunk of consecutive time steps. It keeps the last kTaps inputs in
// registers, so that each input is loaded once (and kTaps - 1 once more per
// chunk). Widths up to kTaps share its code: taps beyond the width are skipped,
// never multiplied, as what is there may be NaN. window[m] is the input of m
// steps ago, taps[m] the weight it meets.
//
// A block has 32 x 8 threads: 32 packs of channels, 8 chunks.

#include <algorithm>

#include "kernels/conv/short_conv_internal.h"
#include "kernels/core/column_sum.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/pack.cuh"

namespace lt2::kernels {
namespace {

constexpr int kChunksPerBlock = 8;
constexpr int kThreads = 32 * kChunksPerBlock;
constexpr int kLoadsAtOnce = 4;
constexpr int64_t kMaxSlabs = 256;

template <typename T>
struct Params {
  const T *x, *state, *dy;
  const float *weight, *bias;
  T *y, *final_state, *dx;
  float* partials;                              // [slabs, channels, width]
  float* bias_partials;                         // [slabs, channels], or null
  int64_t batch, seq, channels, steps, chunks;  // chunks per sequence
  int width;
  bool silu;
};

template <int kTaps, int V>
__device__ __forceinline__ void LoadTaps(const float* weight, int width,
                                         int64_t channel,
                                         float (&taps)[kTaps][V]) {
#pragma unroll
  for (int m = 0; m < kTaps; ++m) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      taps[m][v] =
          m < width ? weight[(channel + v) * width + width - 1 - m] : 0.0f;
    }
  }
}

template <int V>
__device__ __forceinline__ void LoadBias(const float* bias, int64_t channel,
                                         float (&to)[V]) {
#pragma unroll
  for (int v = 0; v < V; ++v)
    to[v] = bias == nullptr ? 0.0f : bias[channel + v];
}

// Input at time t, -width < t < seq.
template <int V, typename T>
__device__ __forceinline__ void LoadInput(const Params<T>& p, int64_t b,
                                          int64_t t, int64_t channel,
                                          float (&x)[V]) {
  if (t >= 0) {
    cuda::LoadPack<V>(p.x + (b * p.seq + t) * p.channels + channel, x);
  } else if (p.state != nullptr) {
    const int64_t row = b * (p.width - 1) + p.width - 1 + t;
    cuda::LoadPack<V>(p.state + row * p.channels + channel, x);
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) x[v] = 0.0f;
  }
}

template <int kTaps, int V>
__device__ __forceinline__ void Push(float (&window)[kTaps][V],
                                     const float (&x)[V]) {
#pragma unroll
  for (int m = kTaps - 1; m > 0; --m) {
#pragma unroll
    for (int v = 0; v < V; ++v) window[m][v] = window[m - 1][v];
  }
#pragma unroll
  for (int v = 0; v < V; ++v) window[0][v] = x[v];
}

// The inputs before t, as if the steps up to t - 1 had been pushed.
template <int kTaps, int V, typename T>
__device__ __forceinline__ void FillWindow(const Params<T>& p, int64_t b,
                                           int64_t t, int64_t channel,
                                           float (&window)[kTaps][V]) {
#pragma unroll
  for (int m = 0; m < kTaps; ++m) {
    if (m < p.width - 1) {
      LoadInput<V>(p, b, t - 1 - m, channel, window[m]);
    } else {
#pragma unroll
      for (int v = 0; v < V; ++v) window[m][v] = 0.0f;
    }
  }
}

// The bias, then oldest input first.
template <int kTaps, int V>
__device__ __forceinline__ void WeightedSum(const float (&taps)[kTaps][V],
                                            const float (&window)[kTaps][V],
                                            const float (&bias)[V], int width,
                                            float (&sum)[V]) {
#pragma unroll
  for (int v = 0; v < V; ++v) sum[v] = bias[v];
#pragma unroll
  for (int m = kTaps - 1; m >= 0; --m) {
    if (m < width) {
#pragma unroll
      for (int v = 0; v < V; ++v)
        sum[v] = fmaf(taps[m][v], window[m][v], sum[v]);
    }
  }
}

template <typename T, int kTaps, int V>
__global__ void __launch_bounds__(kThreads, 2)
    ShortConvKernel(const Params<T> p) {
  const int64_t channel = (int64_t{blockIdx.y} * 32 + threadIdx.x) * V;
  const int64_t chunk = int64_t{blockIdx.x} * kChunksPerBlock + threadIdx.y;
  if (channel >= p.channels || chunk >= p.batch * p.chunks) return;
  const int64_t b = chunk / p.chunks;
  const int64_t begin = chunk % p.chunks * p.steps;
  const int64_t end = min(p.seq, begin + p.steps);
  float taps[kTaps][V], window[kTaps][V], bias[V];
  LoadTaps<kTaps, V>(p.weight, p.width, channel, taps);
  LoadBias<V>(p.bias, channel, bias);
  FillWindow<kTaps, V>(p, b, begin, channel, window);
  // Loads go before the stores of earlier steps, which they could not pass
  // otherwise: for all the compiler knows y may be x.
  for (int64_t t = begin; t < end; t += kLoadsAtOnce) {
    float x[kLoadsAtOnce][V];
#pragma unroll
    for (int u = 0; u < kLoadsAtOnce; ++u) {
      if (t + u < end) LoadInput<V>(p, b, t + u, channel, x[u]);
    }
#pragma unroll
    for (int u = 0; u < kLoadsAtOnce; ++u) {
      if (t + u >= end) break;
      float sum[V];
      Push<kTaps, V>(window, x[u]);
      WeightedSum<kTaps, V>(taps, window, bias, p.width, sum);
      if (p.silu) {
#pragma unroll
        for (int v = 0; v < V; ++v) sum[v] *= cuda::Sigmoid(sum[v]);
      }
      cuda::StorePack<V>(p.y + (b * p.seq + t + u) * p.channels + channel, sum);
    }
  }
  if (end < p.seq) return;
    // The last chunk has the final state in its window, oldest input in row 0.
#pragma unroll
  for (int m = 0; m < kTaps; ++m) {
    if (m < p.width - 1) {
      const int64_t row = b * (p.width - 1) + p.width - 2 - m;
      cuda::StorePack<V>(p.final_state + row * p.channels + channel, window[m]);
    }
  }
}

// to[v * stride] = the sum of `mine` over the block's eight rows of threads, in
// order. All threads of the block must call it.
template <int V>
__device__ __forceinline__ void StoreBlockSum(
    const float (&mine)[V], float (&sums)[kChunksPerBlock][V][33], bool active,
    float* to, int64_t stride) {
  __syncthreads();
#pragma unroll
  for (int v = 0; v < V; ++v) sums[threadIdx.y][v][threadIdx.x] = mine[v];
  __syncthreads();
  if (threadIdx.y != 0 || !active) return;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    float sum = 0.0f;
    for (int y = 0; y < kChunksPerBlock; ++y) sum += sums[y][v][threadIdx.x];
    to[v * stride] = sum;
  }
}

// Walks forward through a chunk and kTaps - 1 steps more. At step t it has
// dpre[t] = dy[t] act'(pre[t]), and from the last kTaps of them
//   dx[t - kTaps + 1] = sum_m taps[m] dpre[t - kTaps + 1 + m].
// dpre of the further steps belongs to the next chunk, which adds it to
// dweight; here it is computed again rather than exchanged.
template <typename T, int kTaps, int V>
__global__ void __launch_bounds__(kThreads, kTaps == 4 ? 3 : 2)
    ShortConvGradKernel(const Params<T> p) {
  const int64_t channel = (int64_t{blockIdx.y} * 32 + threadIdx.x) * V;
  const bool active = channel < p.channels;
  float dtaps[kTaps][V] = {}, dbias[V] = {};
  if (active) {
    float taps[kTaps][V], bias[V];
    LoadTaps<kTaps, V>(p.weight, p.width, channel, taps);
    LoadBias<V>(p.bias, channel, bias);
    for (int64_t chunk = int64_t{blockIdx.x} * kChunksPerBlock + threadIdx.y;
         chunk < p.batch * p.chunks;
         chunk += int64_t{gridDim.x} * kChunksPerBlock) {
      const int64_t b = chunk / p.chunks;
      const int64_t begin = chunk % p.chunks * p.steps;
      const int64_t end = min(p.seq, begin + p.steps);
      const int64_t last = end + kTaps - 1;
      float window[kTaps][V], dpre[kTaps][V] = {};
      FillWindow<kTaps, V>(p, b, begin, channel, window);
      // step(t, x, d): x and d are the input and dy of time t, 0 past the end.
      auto step = [&](int64_t t, const float(&x)[V], float(&d)[V]) {
        if (t < p.seq) {
          Push<kTaps, V>(window, x);
          if (p.silu) {
            float pre[V];
            WeightedSum<kTaps, V>(taps, window, bias, p.width, pre);
#pragma unroll
            for (int v = 0; v < V; ++v) {
              d[v] *= cuda::SiluSlope(pre[v], cuda::Sigmoid(pre[v]));
            }
          }
        }
        Push<kTaps, V>(dpre, d);
        if (t < end) {
#pragma unroll
          for (int v = 0; v < V; ++v) dbias[v] += d[v];
#pragma unroll
          for (int m = 0; m < kTaps; ++m) {
            if (m < p.width) {
#pragma unroll
              for (int v = 0; v < V; ++v) dtaps[m][v] += d[v] * window[m][v];
            }
          }
        }
        const int64_t s = t - kTaps + 1;
        if (s >= begin) {
          float dx[V];
#pragma unroll
          for (int v = 0; v < V; ++v) dx[v] = 0.0f;
#pragma unroll
          for (int m = kTaps - 1; m >= 0; --m) {
            if (m < p.width) {
#pragma unroll
              for (int v = 0; v < V; ++v) {
                dx[v] = fmaf(taps[m][v], dpre[kTaps - 1 - m][v], dx[v]);
              }
            }
          }
          cuda::StorePack<V>(p.dx + (b * p.seq + s) * p.channels + channel, dx);
        }
      };
      // As in the forward pass loads go before the stores of earlier steps.
      for (int64_t t = begin; t < last; t += kLoadsAtOnce) {
        float x[kLoadsAtOnce][V], d[kLoadsAtOnce][V] = {};
#pragma unroll
        for (int u = 0; u < kLoadsAtOnce; ++u) {
          if (t + u >= last || t + u >= p.seq) continue;
          LoadInput<V>(p, b, t + u, channel, x[u]);
          cuda::LoadPack<V>(p.dy + (b * p.seq + t + u) * p.channels + channel,
                            d[u]);
        }
#pragma unroll
        for (int u = 0; u < kLoadsAtOnce; ++u) {
          if (t + u < last) step(t + u, x[u], d[u]);
        }
      }
    }
  }

  // One row of partial sums per block: its eight rows of threads, in order.
  __shared__ float sums[kChunksPerBlock][V][33];
  const int64_t row = blockIdx.x * p.channels + channel;
#pragma unroll
  for (int m = 0; m < kTaps; ++m) {
    if (m >= p.width) break;
    StoreBlockSum<V>(dtaps[m], sums, active,
                     p.partials + row * p.width + p.width - 1 - m, p.width);
  }
  if (p.bias_partials != nullptr) {
    StoreBlockSum<V>(dbias, sums, active, p.bias_partials + row, 1);
  }
}

template <typename H, typename Args>
Params<typename cuda::DeviceType<H>::type> CommonParams(const Args& args) {
  Params<typename cuda::DeviceType<H>::type> p = {};
  p.x = cuda::Data<H>(args.x);
  p.state = cuda::Data<H>(args.initial_state);
  p.weight = cuda::Data<float>(args.weight);
  p.bias = cuda::Data<float>(args.bias);
  p.batch = args.x.dim(0);
  p.seq = args.x.dim(1);
  p.channels = args.x.dim(2);
  p.width = static_cast<int>(args.weight.dim(1));
  p.silu = args.silu;
  return p;
}

template <typename T>
void SetSteps(int64_t steps, Params<T>* p) {
  p->steps = steps;
  p->chunks = cuda::CeilDiv(p->seq, steps);
}

// Whether long chunks, which load fewer inputs twice, are enough to fill the
// GPU.
bool Many(const Tensor& x) { return x.numel() >= int64_t{1} << 24; }

template <typename T, int kTaps, int V>
absl::Status LaunchForward(Context& ctx, const Params<T>& p) {
  const dim3 grid(
      static_cast<unsigned>(cuda::CeilDiv(p.batch * p.chunks, kChunksPerBlock)),
      static_cast<unsigned>(cuda::CeilDiv(p.channels, 32 * V)));
  ShortConvKernel<T, kTaps, V>
      <<<grid, dim3(32, kChunksPerBlock), 0, cuda::StreamOf(ctx)>>>(p);
  LT2_RETURN_LAUNCH_ERROR("ShortConvKernel");
  return absl::OkStatus();
}

template <typename H>
absl::Status Forward(Context& ctx, const ShortConvArgs& args,
                     const ShortConvResults& results) {
  auto p = CommonParams<H>(args);
  using T = typename cuda::DeviceType<H>::type;
  p.y = cuda::Data<H>(results.y);
  p.final_state = cuda::Data<H>(results.final_state);
  // Up to kShortConvInPlaceSeq steps are one chunk, so that the thread that
  // reads a state is the one that overwrites it.
  SetSteps(Many(args.x) ? 32 : kShortConvInPlaceSeq, &p);
  const bool pack = cuda::CanPack(p.channels, p.x, p.state, p.y, p.final_state);
  if (p.width > 4) return LaunchForward<T, kShortConvMaxWidth, 1>(ctx, p);
  return pack ? LaunchForward<T, 4, 4>(ctx, p) : LaunchForward<T, 4, 1>(ctx, p);
}

template <typename T, int kTaps, int V>
absl::Status LaunchBackward(Context& ctx, Params<T> p,
                            const ShortConvGradResults& results) {
  const int64_t slabs =
      std::min(kMaxSlabs, cuda::CeilDiv(p.batch * p.chunks, kChunksPerBlock));
  const Shape shape({slabs, p.channels * p.width});
  LT2_ASSIGN_OR_RETURN(Tensor partials, ctx.Empty(DType::kF32, shape));
  p.partials = cuda::Data<float>(partials);
  Tensor bias_partials;
  if (p.bias != nullptr) {
    const Shape bias_shape({slabs, p.channels});
    LT2_ASSIGN_OR_RETURN(bias_partials, ctx.Empty(DType::kF32, bias_shape));
    p.bias_partials = cuda::Data<float>(bias_partials);
  }
  const dim3 grid(static_cast<unsigned>(slabs),
                  static_cast<unsigned>(cuda::CeilDiv(p.channels, 32 * V)));
  ShortConvGradKernel<T, kTaps, V>
      <<<grid, dim3(32, kChunksPerBlock), 0, cuda::StreamOf(ctx)>>>(p);
  LT2_RETURN_LAUNCH_ERROR("ShortConvGradKernel");
  LT2_RETURN_IF_ERROR(cuda::ColumnSum(ctx, p.partials, slabs,
                                      p.channels * p.width,
                                      cuda::Data<float>(results.dweight)));
  if (p.bias == nullptr) return absl::OkStatus();
  return cuda::ColumnSum(ctx, p.bias_partials, slabs, p.channels,
                         cuda::Data<float>(results.dbias));
}

template <typename H>
absl::Status Backward(Context& ctx, const ShortConvGradArgs& args,
                      const ShortConvGradResults& results) {
  auto p = CommonParams<H>(args);
  using T = typename cuda::DeviceType<H>::type;
  p.dy = cuda::Data<H>(args.dy);
  p.dx = cuda::Data<H>(results.dx);
  SetSteps(Many(args.x) ? 32 : 16, &p);
  const bool pack = cuda::CanPack(p.channels, p.x, p.state, p.dy, p.dx);
  if (p.width > 4) {
    return LaunchBackward<T, kShortConvMaxWidth, 1>(ctx, p, results);
  }
  return pack ? LaunchBackward<T, 4, 2>(ctx, p, results)
              : LaunchBackward<T, 4, 1>(ctx, p, results);
}

}  // namespace

absl::Status ShortConvCuda(Context& ctx, const ShortConvArgs& args,
                           const ShortConvResults& results) {
  return args.x.dtype() == DType::kBF16 ? Forward<BFloat16>(ctx, args, results)
                                        : Forward<float>(ctx, args, results);
}

absl::Status ShortConvGradCuda(Context& ctx, const ShortConvGradArgs& args,
                               const ShortConvGradResults& results) {
  return args.x.dtype() == DType::kBF16 ? Backward<BFloat16>(ctx, args, results)
                                        : Backward<float>(ctx, args, results);
}

}  // namespace lt2::kernels
