#include "kernels/activation/activation_internal.h"
#include "kernels/activation/columns.cuh"
#include "kernels/activation/map.cuh"

namespace lt2::kernels {
namespace {

constexpr int64_t kMaxSlabs = 512;
// Below, a thread per column: packs would leave most threads without work.
constexpr int64_t kPackMinChannels = 256;

template <typename T>
struct DecayGateMap {
  const T* a;
  const float *a_log, *dt_bias;
  float* g;
  int64_t channels;
  int group;
  template <int V>
  __device__ void operator()(int64_t i) const {
    const int64_t column = i % channels;
    float z[V], rate[V], bias[V];
    cuda::LoadPack<V>(a + i, z);
    LoadGrouped<V>(a_log, column, group, rate);
    cuda::LoadPack<V>(dt_bias + column, bias);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      z[j] = -expf(rate[j]) * cuda::Softplus(z[j] + bias[j]);
    }
    cuda::StorePack<V>(g + i, z);
  }
};

template <typename T>
struct DecayGateGradColumns {
  static constexpr int kSums = 2;  // da_log, ddt_bias
  const T* a;
  const float *a_log, *dt_bias, *dg;
  T* da;
  int group;
  template <int V>
  __device__ void Load(int64_t column, float (&p)[2][V]) const {
    LoadGrouped<V>(a_log, column, group, p[0]);
#pragma unroll
    for (int j = 0; j < V; ++j) p[0][j] = expf(p[0][j]);
    cuda::LoadPack<V>(dt_bias + column, p[1]);
  }
  template <int V>
  __device__ void Row(int64_t i, const float (&p)[2][V],
                      float (&sums)[2][V]) const {
    float z[V], d[V];
    cuda::LoadPack<V>(a + i, z);
    cuda::LoadPack<V>(dg + i, d);
#pragma unroll
    for (int j = 0; j < V; ++j) {
      z[j] += p[1][j];
      d[j] = -d[j] * p[0][j];
      const float slope = d[j] * cuda::Sigmoid(z[j]);
      sums[0][j] += d[j] * cuda::Softplus(z[j]);
      sums[1][j] += slope;
      d[j] = slope;
    }
    cuda::StorePack<V>(da + i, d);
  }
};

template <typename H>
using DeviceT = typename cuda::DeviceType<H>::type;

}  // namespace

absl::Status DecayGateCuda(Context& ctx, const DecayGateArgs& args,
                           const Tensor& g) {
  const int64_t channels = args.a.dim(-1);
  const bool pack = cuda::CanPack(channels, args.a.raw(), args.a_log.raw(),
                                  args.dt_bias.raw(), g.raw());
  return cuda::VisitFloat(args.a.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return Map(ctx, g.numel(), pack,
               DecayGateMap<DeviceT<H>>{
                   cuda::Data<H>(args.a), cuda::Data<float>(args.a_log),
                   cuda::Data<float>(args.dt_bias), cuda::Data<float>(g),
                   channels, static_cast<int>(channels / args.a_log.numel())});
  });
}

absl::Status DecayGateGradCuda(Context& ctx, const DecayGateGradArgs& args,
                               const DecayGateGradResults& results) {
  const int64_t channels = args.a.dim(-1);
  const bool pack =
      channels >= kPackMinChannels &&
      cuda::CanPack(channels, args.a.raw(), args.a_log.raw(),
                    args.dt_bias.raw(), args.dg.raw(), results.da.raw());
  return cuda::VisitFloat(args.a.dtype(), [&](auto zero) {
    using H = decltype(zero);
    return ColumnMap(ctx, args.a.rows(), channels, kMaxSlabs, pack,
                     DecayGateGradColumns<DeviceT<H>>{
                         cuda::Data<H>(args.a), cuda::Data<float>(args.a_log),
                         cuda::Data<float>(args.dt_bias),
                         cuda::Data<float>(args.dg), cuda::Data<H>(results.da),
                         static_cast<int>(channels / args.a_log.numel())},
                     {results.da_log, results.ddt_bias});
  });
}

}  // namespace lt2::kernels
