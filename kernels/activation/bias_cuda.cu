#include "kernels/activation/activation_internal.h"
#include "kernels/activation/columns.cuh"
#include "kernels/activation/map.cuh"

namespace lt2::kernels {
namespace {

// The maps run in packs only where dim is a multiple of the pack, so that a
// pack of x meets a pack of the bias.
template <typename T>
struct AddBiasMap {
  const T* x;
  const float* bias;
  T* y;
  int64_t dim;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V], b[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::LoadPack<V>(bias + i % dim, b);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] += b[j];
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename T>
struct AddBiasGradColumns {
  static constexpr int kSums = 1;  // dbias
  const T* dy;
  template <int V>
  __device__ void Load(int64_t, float (&)[2][V]) const {}
  template <int V>
  __device__ void Row(int64_t i, const float (&)[2][V],
                      float (&sums)[1][V]) const {
    float d[V];
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) sums[0][j] += d[j];
  }
};

// bias[column + j], or 0 without a bias.
template <int V>
__device__ __forceinline__ void LoadBias(const float* bias, int64_t column,
                                         float (&b)[V]) {
  if (bias != nullptr) {
    cuda::LoadPack<V>(bias + column, b);
  } else {
#pragma unroll
    for (int j = 0; j < V; ++j) b[j] = 0.0f;
  }
}

template <typename T>
struct SoftplusMap {
  const T* x;
  const float* bias;
  float* y;
  int64_t dim;
  float slope, scale;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float z[V], b[V];
    cuda::LoadPack<V>(x + i, z);
    LoadBias<V>(bias, i % dim, b);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      z[j] = scale * cuda::Softplus(slope * (z[j] + b[j]));
    }
    cuda::StorePack<V>(y + i, z);
  }
};

template <typename T>
struct SoftplusGradColumns {
  static constexpr int kSums = 1;  // dbias
  const T* x;
  const float *bias, *dy;
  T* dx;
  float slope, scale;  // scale: the forward's times slope
  template <int V>
  __device__ void Load(int64_t column, float (&p)[2][V]) const {
    LoadBias<V>(bias, column, p[0]);
  }
  template <int V>
  __device__ void Row(int64_t i, const float (&p)[2][V],
                      float (&sums)[1][V]) const {
    float z[V], d[V];
    cuda::LoadPack<V>(x + i, z);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      d[j] *= scale * cuda::Sigmoid(slope * (z[j] + p[0][j]));
      sums[0][j] += d[j];
    }
    cuda::StorePack<V>(dx + i, d);
  }
};

template <typename H>
using DeviceT = typename cuda::DeviceType<H>::type;

const void* Address(const Tensor& t) { return t.defined() ? t.raw() : nullptr; }

}  // namespace

absl::Status AddBiasCuda(Context& ctx, const AddBiasArgs& args,
                         const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  const bool pack = cuda::CanPack(dim, args.x.raw(), args.bias.raw(), y.raw());
  return cuda::VisitFloat(y.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(ctx, y.numel(), pack,
               AddBiasMap<DeviceT<H>>{cuda::Data<H>(args.x),
                                      cuda::Data<float>(args.bias),
                                      cuda::Data<H>(y), dim});
  });
}

absl::Status AddBiasGradCuda(Context& ctx, const AddBiasGradArgs& args,
                             const Tensor& dbias) {
  const int64_t dim = args.dy.dim(-1);
  const bool pack = cuda::CanPack(dim, args.dy.raw());
  return cuda::VisitFloat(args.dy.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return ColumnMap(ctx, args.dy.rows(), dim, ManySlabs(dim, pack), pack,
                     AddBiasGradColumns<DeviceT<H>>{cuda::Data<H>(args.dy)},
                     {dbias});
  });
}

absl::Status SoftplusCuda(Context& ctx, const SoftplusArgs& args,
                          const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  const bool pack =
      cuda::CanPack(dim, args.x.raw(), Address(args.bias), y.raw());
  return cuda::VisitFloat(args.x.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(ctx, y.numel(), pack,
               SoftplusMap<DeviceT<H>>{
                   cuda::Data<H>(args.x), cuda::Data<float>(args.bias),
                   cuda::Data<float>(y), dim, args.slope, args.scale});
  });
}

absl::Status SoftplusGradCuda(Context& ctx, const SoftplusGradArgs& args,
                              const SoftplusGradResults& results) {
  const SoftplusArgs& forward = args.forward;
  const int64_t dim = forward.x.dim(-1);
  const bool pack = cuda::CanPack(dim, forward.x.raw(), Address(forward.bias),
                                  args.dy.raw(), results.dx.raw());
  return cuda::VisitFloat(forward.x.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return ColumnMap(
        ctx, forward.x.rows(), dim, ManySlabs(dim, pack), pack,
        SoftplusGradColumns<DeviceT<H>>{
            cuda::Data<H>(forward.x), cuda::Data<float>(forward.bias),
            cuda::Data<float>(args.dy), cuda::Data<H>(results.dx),
            forward.slope, forward.scale * forward.slope},
        {results.dbias});
  });
}

}  // namespace lt2::kernels
