// Batch and sequence are one dimension: row r of the shorter sequence is row
// r n + slot of the longer one. Packs only where rows are multiples of them.

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.cuh"

namespace lt2::kernels {
namespace {

template <typename T>
struct InterleaveMap {
  const T* x;
  T* y;
  int64_t size, n, slot;
  template <int V>
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / size, column = i % size;
    float v[V];
    if (row % n == slot) {
      cuda::LoadPack<V>(x + row / n * size + column, v);
    } else {
#pragma unroll
      for (int j = 0; j < V; ++j) v[j] = 0.0f;
    }
    cuda::StorePack<V>(y + i, v);
  }
};

template <typename T>
struct TakeEveryMap {
  const T* x;
  T* y;
  int64_t size, n, slot;
  template <int V>
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / size, column = i % size;
    float v[V];
    cuda::LoadPack<V>(x + (row * n + slot) * size + column, v);
    cuda::StorePack<V>(y + i, v);
  }
};

template <template <typename> class F, typename Args>
absl::Status Run(Context& ctx, const Args& args, const Tensor& y) {
  const int64_t size = y.numel() / (y.dim(0) * y.dim(1));
  const bool pack = cuda::CanPack(size, args.x.raw(), y.raw());
  return cuda::VisitFloat(y.dtype(), [&](auto zero) {
    using H = decltype(zero);
    using T = typename cuda::DeviceType<H>::type;
    return Map(
        ctx, y.numel(), pack,
        F<T>{cuda::Data<H>(args.x), cuda::Data<H>(y), size, args.n, args.slot});
  });
}

}  // namespace

absl::Status InterleaveCuda(Context& ctx, const InterleaveArgs& args,
                            const Tensor& y) {
  return Run<InterleaveMap>(ctx, args, y);
}

absl::Status TakeEveryCuda(Context& ctx, const TakeEveryArgs& args,
                           const Tensor& y) {
  return Run<TakeEveryMap>(ctx, args, y);
}

}  // namespace lt2::kernels
