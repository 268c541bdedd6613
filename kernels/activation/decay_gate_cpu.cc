#include <cmath>
#include <vector>

#include "kernels/activation/activation_internal.h"
#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {
namespace {

std::vector<float> Rates(const Tensor& a_log) {
  std::vector<float> rates(a_log.numel());
  for (size_t h = 0; h < rates.size(); ++h) {
    rates[h] = std::exp(a_log.data<float>()[h]);
  }
  return rates;
}

}  // namespace

absl::Status DecayGateCpu(Context& ctx, const DecayGateArgs& args,
                          const Tensor& g) {
  const int64_t heads = args.a.dim(-1);
  const std::vector<float> rates = Rates(args.a_log);
  const float* const bias = args.dt_bias.data<float>();
  ctx.ParallelFor(args.a.rows(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const a = args.a.data<float>() + row * heads;
      float* const out = g.data<float>() + row * heads;
      for (int64_t h = 0; h < heads; ++h) {
        out[h] = -rates[h] * ::lt2::Softplus(a[h] + bias[h]);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status DecayGateGradCpu(Context& ctx, const DecayGateGradArgs& args,
                              const DecayGateGradResults& results) {
  const int64_t heads = args.a.dim(-1);
  const std::vector<float> rates = Rates(args.a_log);
  const float* const bias = args.dt_bias.data<float>();
  std::vector<float> sums(2 * heads);  // da_log, then ddt_bias
  LT2_RETURN_IF_ERROR(SumOverSlabs(
      ctx, args.a.rows(), 2 * heads,
      [&](int64_t begin, int64_t end, float* partial) {
        for (int64_t row = begin; row < end; ++row) {
          const float* const a = args.a.data<float>() + row * heads;
          const float* const dg = args.dg.data<float>() + row * heads;
          float* const da = results.da.data<float>() + row * heads;
          for (int64_t h = 0; h < heads; ++h) {
            const float z = a[h] + bias[h];
            da[h] = -dg[h] * rates[h] * ::lt2::Sigmoid(z);
            partial[h] -= dg[h] * rates[h] * ::lt2::Softplus(z);
            partial[heads + h] += da[h];
          }
        }
      },
      sums.data()));
  for (int64_t h = 0; h < heads; ++h) {
    results.da_log.data<float>()[h] = sums[h];
    results.ddt_bias.data<float>()[h] = sums[heads + h];
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
