#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.cuh"

namespace lt2::kernels {
namespace {

template <typename T>
struct SiluMap {
  const T* x;
  T* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] *= cuda::Sigmoid(v[j]);
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename T>
struct SiluGradMap {
  const T *x, *dy;
  T* dx;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V], d[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      d[j] *= cuda::SiluSlope(v[j], cuda::Sigmoid(v[j]));
    }
    cuda::StorePack<V>(dx + i, d);
  }
};

template <typename T, typename U>
struct SigmoidMap {
  const T* x;
  U* y;
  float scale, slope;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) v[j] = scale * cuda::Sigmoid(slope * v[j]);
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename T, typename U>
struct SigmoidGradMap {
  const T* x;
  const U* dy;
  T* dx;
  float scale, slope;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V], d[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::LoadPack<V>(dy + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      const float s = cuda::Sigmoid(slope * v[j]);
      v[j] = d[j] * scale * (s * (1.0f - s));
    }
    cuda::StorePack<V>(dx + i, v);
  }
};

template <typename T>
struct AddMap {
  const T *a, *b;
  T* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float u[V], v[V];
    cuda::LoadPack<V>(a + i, u);
    cuda::LoadPack<V>(b + i, v);
#pragma unroll
    for (int j = 0; j < V; ++j) u[j] += v[j];
    cuda::StorePack<V>(y + i, u);
  }
};

template <typename T, typename U>
struct CastMap {
  const T* x;
  U* y;
  template <int V>
  __device__ void operator()(int64_t i) const {
    float v[V];
    cuda::LoadPack<V>(x + i, v);
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename H>
using DeviceT = typename cuda::DeviceType<H>::type;

template <typename H>
absl::Status RunSilu(Context& ctx, const SiluArgs& args, const Tensor& y) {
  return Map(ctx, y.numel(), cuda::Aligned(args.x.raw(), y.raw()),
             SiluMap<DeviceT<H>>{cuda::Data<H>(args.x), cuda::Data<H>(y)});
}

template <typename H>
absl::Status RunSiluGrad(Context& ctx, const SiluGradArgs& args,
                         const Tensor& dx) {
  return Map(
      ctx, dx.numel(), cuda::Aligned(args.x.raw(), args.dy.raw(), dx.raw()),
      SiluGradMap<DeviceT<H>>{cuda::Data<H>(args.x), cuda::Data<H>(args.dy),
                              cuda::Data<H>(dx)});
}

template <typename H, typename G>
absl::Status RunSigmoid(Context& ctx, const SigmoidArgs& args,
                        const Tensor& y) {
  return Map(
      ctx, y.numel(), cuda::Aligned(args.x.raw(), y.raw()),
      SigmoidMap<DeviceT<H>, DeviceT<G>>{
          cuda::Data<H>(args.x), cuda::Data<G>(y), args.scale, args.slope});
}

template <typename H, typename G>
absl::Status RunSigmoidGrad(Context& ctx, const SigmoidGradArgs& args,
                            const Tensor& dx) {
  return Map(ctx, dx.numel(),
             cuda::Aligned(args.x.raw(), args.dy.raw(), dx.raw()),
             SigmoidGradMap<DeviceT<H>, DeviceT<G>>{
                 cuda::Data<H>(args.x), cuda::Data<G>(args.dy),
                 cuda::Data<H>(dx), args.scale * args.slope, args.slope});
}

template <typename H>
absl::Status RunAdd(Context& ctx, const AddArgs& args, const Tensor& y) {
  return Map(ctx, y.numel(), cuda::Aligned(args.a.raw(), args.b.raw(), y.raw()),
             AddMap<DeviceT<H>>{cuda::Data<H>(args.a), cuda::Data<H>(args.b),
                                cuda::Data<H>(y)});
}

template <typename H, typename G>
absl::Status RunCast(Context& ctx, const CastArgs& args, const Tensor& y) {
  return Map(
      ctx, y.numel(), cuda::Aligned(args.x.raw(), y.raw()),
      CastMap<DeviceT<H>, DeviceT<G>>{cuda::Data<H>(args.x), cuda::Data<G>(y)});
}

bool IsBF16(const Tensor& t) { return t.dtype() == DType::kBF16; }

}  // namespace

absl::Status SiluCuda(Context& ctx, const SiluArgs& args, const Tensor& y) {
  return IsBF16(y) ? RunSilu<BFloat16>(ctx, args, y)
                   : RunSilu<float>(ctx, args, y);
}

absl::Status SiluGradCuda(Context& ctx, const SiluGradArgs& args,
                          const Tensor& dx) {
  return IsBF16(dx) ? RunSiluGrad<BFloat16>(ctx, args, dx)
                    : RunSiluGrad<float>(ctx, args, dx);
}

absl::Status SigmoidCuda(Context& ctx, const SigmoidArgs& args,
                         const Tensor& y) {
  if (IsBF16(args.x)) {
    return IsBF16(y) ? RunSigmoid<BFloat16, BFloat16>(ctx, args, y)
                     : RunSigmoid<BFloat16, float>(ctx, args, y);
  }
  return IsBF16(y) ? RunSigmoid<float, BFloat16>(ctx, args, y)
                   : RunSigmoid<float, float>(ctx, args, y);
}

absl::Status SigmoidGradCuda(Context& ctx, const SigmoidGradArgs& args,
                             const Tensor& dx) {
  if (IsBF16(args.x)) {
    return IsBF16(args.dy) ? RunSigmoidGrad<BFloat16, BFloat16>(ctx, args, dx)
                           : RunSigmoidGrad<BFloat16, float>(ctx, args, dx);
  }
  return IsBF16(args.dy) ? RunSigmoidGrad<float, BFloat16>(ctx, args, dx)
                         : RunSigmoidGrad<float, float>(ctx, args, dx);
}

absl::Status AddCuda(Context& ctx, const AddArgs& args, const Tensor& y) {
  return IsBF16(y) ? RunAdd<BFloat16>(ctx, args, y)
                   : RunAdd<float>(ctx, args, y);
}

absl::Status CastCuda(Context& ctx, const CastArgs& args, const Tensor& y) {
  return IsBF16(args.x) ? RunCast<BFloat16, float>(ctx, args, y)
                        : RunCast<float, BFloat16>(ctx, args, y);
}

}  // namespace lt2::kernels
