#include "kernels/activation/activation_internal.h"
#include "kernels/activation/columns.cuh"
#include "kernels/activation/map.cuh"

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
  int group;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float u[V], v[V], r[V];
    cuda::LoadPack<V>(a + i, u);
    cuda::LoadPack<V>(b + i, v);
    LoadGrouped<V>(rho, i % dim, group, r);
#pragma unroll
    for (int j = 0; j < V; ++j) u[j] += r[j] * v[j];
    cuda::StorePack<V>(y + i, u);
  }
};

template <typename T>
struct ScaledAddGradColumns {
  static constexpr int kSums = 1;  // drho
  const T *b, *dy;
  const float* rho;
  T* db;
  int group;
  template <int V>
  __device__ void Load(int64_t column, float (&p)[2][V]) const {
    LoadGrouped<V>(rho, column, group, p[0]);
  }
  template <int V>
  __device__ void Row(int64_t i, const float (&p)[2][V],
                      float (&sums)[1][V]) const {
    float u[V], d[V];
    cuda::LoadPack<V>(b + i, u);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      sums[0][j] += d[j] * u[j];
      d[j] *= p[0][j];
    }
    cuda::StorePack<V>(db + i, d);
  }
};

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
  return Map(
      ctx, y.numel(), pack,
      ScaledAddMap<DeviceT<H>>{cuda::Data<H>(args.a), cuda::Data<H>(args.b),
                               cuda::Data<float>(args.rho), cuda::Data<H>(y),
                               dim, static_cast<int>(dim / args.rho.numel())});
}

template <typename H>
absl::Status RunScaledAddGrad(Context& ctx, const ScaledAddGradArgs& args,
                              const ScaledAddGradResults& results) {
  const int64_t dim = args.b.dim(-1);
  const bool pack = cuda::CanPack(dim, args.b.raw(), args.dy.raw(),
                                  args.rho.raw(), results.db.raw());
  return ColumnMap(ctx, args.b.rows(), dim, ManySlabs(dim, pack), pack,
                   ScaledAddGradColumns<DeviceT<H>>{
                       cuda::Data<H>(args.b), cuda::Data<H>(args.dy),
                       cuda::Data<float>(args.rho), cuda::Data<H>(results.db),
                       static_cast<int>(dim / args.rho.numel())},
                   {results.drho});
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
  return IsBF16(args.b) ? RunScaledAddGrad<BFloat16>(ctx, args, results)
                        : RunScaledAddGrad<float>(ctx, args, results);
}

}  // namespace lt2::kernels
