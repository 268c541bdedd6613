#include <cmath>
#include <vector>

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/groups.h"
#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {
namespace {

// exp(a_log) of each channel's head.
std::vector<float> Rates(const Tensor& a_log, int64_t channels) {
  std::vector<float> rates = PerChannel(a_log, channels);
  for (float& rate : rates) rate = std::exp(rate);
  return rates;
}

}  // namespace

absl::Status DecayGateCpu(Context& ctx, const DecayGateArgs& args,
                          const Tensor& g) {
  const int64_t channels = args.a.dim(-1);
  const std::vector<float> rates = Rates(args.a_log, channels);
  const float* const bias = args.dt_bias.data<float>();
  ctx.ParallelFor(args.a.rows(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const a = args.a.data<float>() + row * channels;
      float* const out = g.data<float>() + row * channels;
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = -rates[c] * ::lt2::Softplus(a[c] + bias[c]);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status DecayGateGradCpu(Context& ctx, const DecayGateGradArgs& args,
                              const DecayGateGradResults& results) {
  const int64_t channels = args.a.dim(-1);
  const std::vector<float> rates = Rates(args.a_log, channels);
  const float* const bias = args.dt_bias.data<float>();
  std::vector<float> sums(2 * channels);  // da_log, then ddt_bias
  LT2_RETURN_IF_ERROR(SumOverSlabs(
      ctx, args.a.rows(), 2 * channels,
      [&](int64_t begin, int64_t end, float* partial) {
        for (int64_t row = begin; row < end; ++row) {
          const float* const a = args.a.data<float>() + row * channels;
          const float* const dg = args.dg.data<float>() + row * channels;
          float* const da = results.da.data<float>() + row * channels;
          for (int64_t c = 0; c < channels; ++c) {
            const float z = a[c] + bias[c];
            da[c] = -dg[c] * rates[c] * ::lt2::Sigmoid(z);
            partial[c] -= dg[c] * rates[c] * ::lt2::Softplus(z);
            partial[channels + c] += da[c];
          }
        }
      },
      sums.data()));
  SumGroups(sums.data(), channels, results.da_log);
  SumGroups(sums.data() + channels, channels, results.ddt_bias);
  return absl::OkStatus();
}

}  // namespace lt2::kernels
