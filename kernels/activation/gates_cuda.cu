#include <algorithm>

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.cuh"
#include "kernels/core/column_sum.cuh"

namespace lt2::kernels {
namespace {

template <typename T>
struct SwiGluMap {
  const T *gate, *up;
  T* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float g[V], u[V];
    cuda::LoadPack<V>(gate + i, g);
    cuda::LoadPack<V>(up + i, u);
#pragma unroll
    for (int j = 0; j < V; ++j) u[j] *= g[j] * cuda::Sigmoid(g[j]);
    cuda::StorePack<V>(y + i, u);
  }
};

template <typename T>
struct SwiGluGradMap {
  const T *gate, *up, *dy;
  T *dgate, *dup;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float g[V], u[V], d[V];
    cuda::LoadPack<V>(gate + i, g);
    cuda::LoadPack<V>(up + i, u);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const float s = cuda::Sigmoid(g[j]);
      u[j] *= d[j] * cuda::SiluSlope(g[j], s);
      d[j] *= g[j] * s;
    }
    cuda::StorePack<V>(dgate + i, u);
    cuda::StorePack<V>(dup + i, d);
  }
};

template <typename T>
struct SigmoidGateMap {
  const T *x, *gate;
  T* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V], g[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::LoadPack<V>(gate + i, g);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] *= cuda::Sigmoid(g[j]);
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename T>
struct SigmoidGateGradMap {
  const T *x, *gate, *dy;
  T *dx, *dgate;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V], g[V], d[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::LoadPack<V>(gate + i, g);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const float s = cuda::Sigmoid(g[j]);
      g[j] = d[j] * v[j] * (s * (1.0f - s));
      d[j] *= s;
    }
    cuda::StorePack<V>(dx + i, d);
    cuda::StorePack<V>(dgate + i, g);
  }
};

// Runs in packs only where dim is a multiple of the pack, so that a pack of b
// meets a pack of rho.
template <typename T>
struct ScaledAddMap {
  const T *a, *b;
  const float* rho;
  T* y;
  int64_t dim;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float u[V], v[V], r[V];
    cuda::LoadPack<V>(a + i, u);
    cuda::LoadPack<V>(b + i, v);
    cuda::LoadPack<V>(rho + i % dim, r);
#pragma unroll
    for (int j = 0; j < V; ++j) u[j] += r[j] * v[j];
    cuda::StorePack<V>(y + i, u);
  }
};

// A block of 32 x 8 threads does 32 packs of columns and a slab of rows; thread
// (x, y) takes every eighth row. Then the block adds its eight sums per column.
constexpr int kRowThreads = 8;

template <typename T, int V>
__global__ void __launch_bounds__(32 * kRowThreads)
    ScaledAddGradKernel(const T* b, const float* rho, const T* dy, T* db,
                        float* partials, int64_t rows, int64_t dim,
                        int64_t rows_per_slab) {
  __shared__ float sums[kRowThreads][V][33];
  const int64_t column = (int64_t{blockIdx.x} * 32 + threadIdx.x) * V;
  const int64_t first = int64_t{blockIdx.y} * rows_per_slab;
  const int64_t last = min(rows, first + rows_per_slab);
  float sum[V] = {};
  if (column < dim) {
    float r[V];
    cuda::LoadPack<V>(rho + column, r);
    for (int64_t row = first + threadIdx.y; row < last; row += kRowThreads) {
      float u[V], d[V];
      cuda::LoadPack<V>(b + row * dim + column, u);
      cuda::LoadPack<V>(dy + row * dim + column, d);
#pragma unroll
      for (int j = 0; j < V; ++j) {
        sum[j] += d[j] * u[j];
        d[j] *= r[j];
      }
      cuda::StorePack<V>(db + row * dim + column, d);
    }
  }
#pragma unroll
  for (int j = 0; j < V; ++j) sums[threadIdx.y][j][threadIdx.x] = sum[j];
  __syncthreads();
  if (threadIdx.y != 0 || column >= dim) return;
#pragma unroll
  for (int j = 0; j < V; ++j) {
    float total = 0.0f;
    for (int y = 0; y < kRowThreads; ++y) total += sums[y][j][threadIdx.x];
    partials[blockIdx.y * dim + column + j] = total;
  }
}

template <typename H>
using DeviceT = typename cuda::DeviceType<H>::type;

template <typename H>
absl::Status RunSwiGlu(Context& ctx, const SwiGluArgs& args, const Tensor& y) {
  return Map(ctx, y.numel(),
             cuda::Aligned(args.gate.raw(), args.up.raw(), y.raw()),
             SwiGluMap<DeviceT<H>>{cuda::Data<H>(args.gate),
                                   cuda::Data<H>(args.up), cuda::Data<H>(y)});
}

template <typename H>
absl::Status RunSwiGluGrad(Context& ctx, const SwiGluGradArgs& args,
                           const SwiGluGradResults& results) {
  return Map(ctx, args.gate.numel(),
             cuda::Aligned(args.gate.raw(), args.up.raw(), args.dy.raw(),
                           results.dgate.raw(), results.dup.raw()),
             SwiGluGradMap<DeviceT<H>>{
                 cuda::Data<H>(args.gate), cuda::Data<H>(args.up),
                 cuda::Data<H>(args.dy), cuda::Data<H>(results.dgate),
                 cuda::Data<H>(results.dup)});
}

template <typename H>
absl::Status RunSigmoidGate(Context& ctx, const SigmoidGateArgs& args,
                            const Tensor& y) {
  return Map(
      ctx, y.numel(), cuda::Aligned(args.x.raw(), args.gate.raw(), y.raw()),
      SigmoidGateMap<DeviceT<H>>{cuda::Data<H>(args.x),
                                 cuda::Data<H>(args.gate), cuda::Data<H>(y)});
}

template <typename H>
absl::Status RunSigmoidGateGrad(Context& ctx, const SigmoidGateGradArgs& args,
                                const SigmoidGateGradResults& results) {
  return Map(ctx, args.x.numel(),
             cuda::Aligned(args.x.raw(), args.gate.raw(), args.dy.raw(),
                           results.dx.raw(), results.dgate.raw()),
             SigmoidGateGradMap<DeviceT<H>>{
                 cuda::Data<H>(args.x), cuda::Data<H>(args.gate),
                 cuda::Data<H>(args.dy), cuda::Data<H>(results.dx),
                 cuda::Data<H>(results.dgate)});
}

template <typename H>
absl::Status RunScaledAdd(Context& ctx, const ScaledAddArgs& args,
                          const Tensor& y) {
  const int64_t dim = args.a.dim(-1);
  const bool pack =
      cuda::CanPack(dim, args.a.raw(), args.b.raw(), args.rho.raw(), y.raw());
  return Map(ctx, y.numel(), pack,
             ScaledAddMap<DeviceT<H>>{
                 cuda::Data<H>(args.a), cuda::Data<H>(args.b),
                 cuda::Data<float>(args.rho), cuda::Data<H>(y), dim});
}

template <typename H, int V>
absl::Status RunScaledAddGrad(Context& ctx, const ScaledAddGradArgs& args,
                              const ScaledAddGradResults& results) {
  const int64_t rows = args.b.rows(), dim = args.b.dim(-1);
  const int64_t tiles = cuda::CeilDiv(dim, 32 * V);
  // About 1024 blocks when there is that much work.
  int64_t slabs = std::min<int64_t>(cuda::CeilDiv(rows, kRowThreads),
                                    cuda::CeilDiv(1024, tiles));
  const int64_t rows_per_slab = cuda::CeilDiv(rows, slabs);
  slabs = cuda::CeilDiv(rows, rows_per_slab);
  const Shape shape({slabs, dim});
  LT2_ASSIGN_OR_RETURN(Tensor partials, ctx.Empty(DType::kF32, shape));
  float* const sums = cuda::Data<float>(partials);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(slabs));
  ScaledAddGradKernel<DeviceT<H>, V>
      <<<grid, dim3(32, kRowThreads), 0, cuda::StreamOf(ctx)>>>(
          cuda::Data<H>(args.b), cuda::Data<float>(args.rho),
          cuda::Data<H>(args.dy), cuda::Data<H>(results.db), sums, rows, dim,
          rows_per_slab);
  LT2_RETURN_LAUNCH_ERROR("ScaledAddGradKernel");
  return cuda::ColumnSum(ctx, sums, slabs, dim,
                         cuda::Data<float>(results.drho));
}

bool IsBF16(const Tensor& t) { return t.dtype() == DType::kBF16; }

}  // namespace

absl::Status SwiGluCuda(Context& ctx, const SwiGluArgs& args, const Tensor& y) {
  return IsBF16(y) ? RunSwiGlu<BFloat16>(ctx, args, y)
                   : RunSwiGlu<float>(ctx, args, y);
}

absl::Status SwiGluGradCuda(Context& ctx, const SwiGluGradArgs& args,
                            const SwiGluGradResults& results) {
  return IsBF16(args.gate) ? RunSwiGluGrad<BFloat16>(ctx, args, results)
                           : RunSwiGluGrad<float>(ctx, args, results);
}

absl::Status SigmoidGateCuda(Context& ctx, const SigmoidGateArgs& args,
                             const Tensor& y) {
  return IsBF16(y) ? RunSigmoidGate<BFloat16>(ctx, args, y)
                   : RunSigmoidGate<float>(ctx, args, y);
}

absl::Status SigmoidGateGradCuda(Context& ctx, const SigmoidGateGradArgs& args,
                                 const SigmoidGateGradResults& results) {
  return IsBF16(args.x) ? RunSigmoidGateGrad<BFloat16>(ctx, args, results)
                        : RunSigmoidGateGrad<float>(ctx, args, results);
}

absl::Status ScaledAddCuda(Context& ctx, const ScaledAddArgs& args,
                           const Tensor& y) {
  return IsBF16(y) ? RunScaledAdd<BFloat16>(ctx, args, y)
                   : RunScaledAdd<float>(ctx, args, y);
}

absl::Status ScaledAddGradCuda(Context& ctx, const ScaledAddGradArgs& args,
                               const ScaledAddGradResults& results) {
  constexpr int V = cuda::kPackSize;
  const bool pack = cuda::CanPack(args.b.dim(-1), args.b.raw(), args.dy.raw(),
                                  args.rho.raw(), results.db.raw());
  if (IsBF16(args.b)) {
    return pack ? RunScaledAddGrad<BFloat16, V>(ctx, args, results)
                : RunScaledAddGrad<BFloat16, 1>(ctx, args, results);
  }
  return pack ? RunScaledAddGrad<float, V>(ctx, args, results)
              : RunScaledAddGrad<float, 1>(ctx, args, results);
}

}  // namespace lt2::kernels
