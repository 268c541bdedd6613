// MapKernel: the loop of elementwise operators on the GPU.
//
// A functor has
//   template <int V> __device__ void operator()(int64_t i) const
// which does elements [i, i + V); it reads them all before it writes, so that
// outputs may be inputs.

#ifndef LT2_KERNELS_ACTIVATION_MAP_CUH_
#define LT2_KERNELS_ACTIVATION_MAP_CUH_

#include "kernels/core/math.cuh"
#include "kernels/core/pack.cuh"

namespace lt2::kernels {

inline constexpr int kMapThreads = 256;

template <typename F>
__global__ void __launch_bounds__(kMapThreads)
    MapKernel(int64_t n, bool pack, const F f) {
  constexpr int V = cuda::kPackSize;
  const int64_t first = (int64_t{blockIdx.x} * kMapThreads + threadIdx.x) * V;
  if (pack && first + V <= n) {
    f.template operator()<V>(first);
  } else {
    for (int64_t i = first; i < n && i < first + V; ++i) {
      f.template operator()<1>(i);
    }
  }
}

// `pack`: all addresses that f uses are aligned to 16 bytes.
template <typename F>
absl::Status Map(Context& ctx, int64_t n, bool pack, const F& f) {
  const int64_t blocks =
      cuda::CeilDiv(n, int64_t{kMapThreads} * cuda::kPackSize);
  MapKernel<<<static_cast<unsigned>(blocks), kMapThreads, 0,
              cuda::StreamOf(ctx)>>>(n, pack, f);
  LT2_RETURN_LAUNCH_ERROR("MapKernel");
  return absl::OkStatus();
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_MAP_CUH_
