#include <algorithm>
#include <vector>

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/softplus.h"
#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {
namespace {

// The bias, or zeros without one.
std::vector<float> BiasOrZeros(const SoftplusArgs& args) {
  std::vector<float> bias(args.x.dim(-1));
  if (args.bias.defined()) {
    const float* const data = args.bias.data<float>();
    bias.assign(data, data + args.bias.numel());
  }
  return bias;
}

}  // namespace

absl::Status AddBiasCpu(Context& ctx, const AddBiasArgs& args,
                        const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  const float* const bias = args.bias.data<float>();
  ctx.ParallelFor(args.x.rows(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const x = args.x.data<float>() + row * dim;
      float* const out = y.data<float>() + row * dim;
#pragma GCC ivdep
      for (int64_t c = 0; c < dim; ++c) out[c] = x[c] + bias[c];
    }
  });
  return absl::OkStatus();
}

absl::Status AddBiasGradCpu(Context& ctx, const AddBiasGradArgs& args,
                            const Tensor& dbias) {
  const int64_t dim = args.dy.dim(-1);
  return SumOverSlabs(
      ctx, args.dy.rows(), dim,
      [&](int64_t begin, int64_t end, float* sums) {
        for (int64_t row = begin; row < end; ++row) {
          const float* const dy = args.dy.data<float>() + row * dim;
#pragma GCC ivdep
          for (int64_t c = 0; c < dim; ++c) sums[c] += dy[c];
        }
      },
      dbias.data<float>());
}

absl::Status SoftplusCpu(Context& ctx, const SoftplusArgs& args,
                         const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  const std::vector<float> bias_or_zeros = BiasOrZeros(args);
  ctx.ParallelFor(args.x.rows(), 16, [&](int64_t begin, int64_t end) {
    const float slope = args.slope, scale = args.scale;
    const float* const bias = bias_or_zeros.data();
    for (int64_t row = begin; row < end; ++row) {
      const float* const x = args.x.data<float>() + row * dim;
      float* const out = y.data<float>() + row * dim;
#pragma GCC ivdep
      for (int64_t c = 0; c < dim; ++c) {
        out[c] = scale * VectorSoftplus(slope * (x[c] + bias[c]));
      }
    }
  });
  return absl::OkStatus();
}

absl::Status SoftplusGradCpu(Context& ctx, const SoftplusGradArgs& args,
                             const SoftplusGradResults& results) {
  const SoftplusArgs& forward = args.forward;
  const int64_t dim = forward.x.dim(-1);
  const std::vector<float> bias_or_zeros = BiasOrZeros(forward);
  std::vector<float> sums(dim);
  LT2_RETURN_IF_ERROR(SumOverSlabs(
      ctx, forward.x.rows(), dim,
      [&](int64_t begin, int64_t end, float* partial) {
        const float slope = forward.slope, scale = forward.scale * slope;
        const float* const bias = bias_or_zeros.data();
        for (int64_t row = begin; row < end; ++row) {
          const float* const x = forward.x.data<float>() + row * dim;
          const float* const dy = args.dy.data<float>() + row * dim;
          float* const dx = results.dx.data<float>() + row * dim;
#pragma GCC ivdep
          for (int64_t c = 0; c < dim; ++c) {
            const float z = slope * (x[c] + bias[c]);
            const float d = dy[c] * scale * ::lt2::Sigmoid(z);
            dx[c] = d;
            partial[c] += d;
          }
        }
      },
      sums.data()));
  if (!results.dbias.defined()) return absl::OkStatus();
  std::copy(sums.begin(), sums.end(), results.dbias.data<float>());
  return absl::OkStatus();
}

}  // namespace lt2::kernels
