#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.cuh"

namespace lt2::kernels {
namespace {

constexpr int kWarps = 8;

template <typename T>
struct MultiplyMap {
  const T *a, *b;
  T* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float u[V], v[V];
    cuda::LoadPack<V>(a + i, u);
    cuda::LoadPack<V>(b + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) u[j] *= v[j];
    cuda::StorePack<V>(y + i, u);
  }
};

template <typename T>
struct MultiplyGradMap {
  const T *a, *b, *dy;
  T *da, *db;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float u[V], v[V], d[V];
    cuda::LoadPack<V>(a + i, u);
    cuda::LoadPack<V>(b + i, v);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      u[j] *= d[j];
      v[j] *= d[j];
    }
    cuda::StorePack<V>(da + i, v);
    cuda::StorePack<V>(db + i, u);
  }
};

// Runs in packs only where dim is a multiple of the pack: one row per pack.
template <typename T>
struct ScaleRowsMap {
  const T* x;
  const float* s;
  T* y;
  int64_t dim;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
    const float scale = s[i / dim];
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] *= scale;
    cuda::StorePack<V>(y + i, v);
  }
};

// A warp per row.
template <typename T, int V>
__global__ void __launch_bounds__(32 * kWarps)
    ScaleRowsGradKernel(const T* x, const float* s, const T* dy, T* dx,
                        float* ds, int64_t rows, int64_t dim) {
  const int lane = threadIdx.x % 32;
  const int64_t row = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp
  const float scale = s[row];
  float sum = 0.0f;
  for (int64_t c = int64_t{lane} * V; c < dim; c += 32 * V) {
    float v[V], d[V];
    cuda::LoadPack<V>(x + row * dim + c, v);
    cuda::LoadPack<V>(dy + row * dim + c, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      sum += d[j] * v[j];
      d[j] *= scale;
    }
    cuda::StorePack<V>(dx + row * dim + c, d);
  }
  sum = cuda::WarpSum(sum);
  if (lane == 0) ds[row] = sum;
}

template <typename H>
using DeviceT = typename cuda::DeviceType<H>::type;

template <typename H, int V>
absl::Status RunScaleRowsGrad(Context& ctx, const ScaleRowsGradArgs& args,
                              const ScaleRowsGradResults& results) {
  const int64_t rows = args.x.rows();
  ScaleRowsGradKernel<DeviceT<H>, V>
      <<<static_cast<unsigned>(cuda::CeilDiv(rows, kWarps)), 32 * kWarps, 0,
         cuda::StreamOf(ctx)>>>(
          cuda::Data<H>(args.x), cuda::Data<float>(args.s),
          cuda::Data<H>(args.dy), cuda::Data<H>(results.dx),
          cuda::Data<float>(results.ds), rows, args.x.dim(-1));
  LT2_RETURN_LAUNCH_ERROR("ScaleRowsGradKernel");
  return absl::OkStatus();
}

}  // namespace

absl::Status MultiplyCuda(Context& ctx, const MultiplyArgs& args,
                          const Tensor& y) {
  const bool pack = cuda::Aligned(args.a.raw(), args.b.raw(), y.raw());
  return cuda::VisitFloat(y.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(
        ctx, y.numel(), pack,
        MultiplyMap<DeviceT<H>>{cuda::Data<H>(args.a), cuda::Data<H>(args.b),
                                cuda::Data<H>(y)});
  });
}

absl::Status MultiplyGradCuda(Context& ctx, const MultiplyGradArgs& args,
                              const MultiplyGradResults& results) {
  const bool pack = cuda::Aligned(args.a.raw(), args.b.raw(), args.dy.raw(),
                                  results.da.raw(), results.db.raw());
  return cuda::VisitFloat(args.a.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(ctx, args.a.numel(), pack,
               MultiplyGradMap<DeviceT<H>>{
                   cuda::Data<H>(args.a), cuda::Data<H>(args.b),
                   cuda::Data<H>(args.dy), cuda::Data<H>(results.da),
                   cuda::Data<H>(results.db)});
  });
}

absl::Status ScaleRowsCuda(Context& ctx, const ScaleRowsArgs& args,
                           const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  const bool pack = cuda::CanPack(dim, args.x.raw(), y.raw());
  return cuda::VisitFloat(y.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(ctx, y.numel(), pack,
               ScaleRowsMap<DeviceT<H>>{cuda::Data<H>(args.x),
                                        cuda::Data<float>(args.s),
                                        cuda::Data<H>(y), dim});
  });
}

absl::Status ScaleRowsGradCuda(Context& ctx, const ScaleRowsGradArgs& args,
                               const ScaleRowsGradResults& results) {
  const bool pack = cuda::CanPack(args.x.dim(-1), args.x.raw(), args.dy.raw(),
                                  results.dx.raw());
  return cuda::VisitFloat(args.x.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return pack ? RunScaleRowsGrad<H, cuda::kPackSize>(ctx, args, results)
                : RunScaleRowsGrad<H, 1>(ctx, args, results);
  });
}

}  // namespace lt2::kernels
