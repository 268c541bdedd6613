#include <vector>

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/groups.h"
#include "kernels/activation/map.h"
#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {

absl::Status SwiGluCpu(Context& ctx, const SwiGluArgs& args, const Tensor& y) {
  Map(ctx, y.numel(),
      [gate = args.gate.data<float>(), up = args.up.data<float>(),
       out = y.data<float>()](int64_t i) {
        out[i] = gate[i] * ::lt2::Sigmoid(gate[i]) * up[i];
      });
  return absl::OkStatus();
}

absl::Status SwiGluGradCpu(Context& ctx, const SwiGluGradArgs& args,
                           const SwiGluGradResults& results) {
  Map(ctx, args.gate.numel(),
      [gate = args.gate.data<float>(), up = args.up.data<float>(),
       dy = args.dy.data<float>(), dgate = results.dgate.data<float>(),
       dup = results.dup.data<float>()](int64_t i) {
        const float g = gate[i], u = up[i], d = dy[i];
        const float s = ::lt2::Sigmoid(g);
        dgate[i] = d * u * (s * (1.0f + g * (1.0f - s)));
        dup[i] = d * (g * s);
      });
  return absl::OkStatus();
}

absl::Status SigmoidGateCpu(Context& ctx, const SigmoidGateArgs& args,
                            const Tensor& y) {
  Map(ctx, y.numel(),
      [x = args.x.data<float>(), gate = args.gate.data<float>(),
       out = y.data<float>()](int64_t i) {
        out[i] = x[i] * ::lt2::Sigmoid(gate[i]);
      });
  return absl::OkStatus();
}

absl::Status SigmoidGateGradCpu(Context& ctx, const SigmoidGateGradArgs& args,
                                const SigmoidGateGradResults& results) {
  Map(ctx, args.x.numel(),
      [x = args.x.data<float>(), gate = args.gate.data<float>(),
       dy = args.dy.data<float>(), dx = results.dx.data<float>(),
       dgate = results.dgate.data<float>()](int64_t i) {
        const float v = x[i], d = dy[i];
        const float s = ::lt2::Sigmoid(gate[i]);
        dx[i] = d * s;
        dgate[i] = d * v * (s * (1.0f - s));
      });
  return absl::OkStatus();
}

absl::Status ScaledAddCpu(Context& ctx, const ScaledAddArgs& args,
                          const Tensor& y) {
  const int64_t dim = args.a.dim(-1);
  const std::vector<float> channels = PerChannel(args.rho, dim);
  const float* const rho = channels.data();
  ctx.ParallelFor(args.a.rows(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* const a = args.a.data<float>() + row * dim;
      const float* const b = args.b.data<float>() + row * dim;
      float* const out = y.data<float>() + row * dim;
#pragma GCC ivdep
      for (int64_t c = 0; c < dim; ++c) out[c] = a[c] + rho[c] * b[c];
    }
  });
  return absl::OkStatus();
}

absl::Status ScaledAddGradCpu(Context& ctx, const ScaledAddGradArgs& args,
                              const ScaledAddGradResults& results) {
  const int64_t dim = args.b.dim(-1);
  const std::vector<float> channels = PerChannel(args.rho, dim);
  const float* const rho = channels.data();
  std::vector<float> sums(dim);
  LT2_RETURN_IF_ERROR(SumOverSlabs(
      ctx, args.b.rows(), dim,
      [&](int64_t begin, int64_t end, float* drho) {
        for (int64_t row = begin; row < end; ++row) {
          const float* const b = args.b.data<float>() + row * dim;
          const float* const dy = args.dy.data<float>() + row * dim;
          float* const db = results.db.data<float>() + row * dim;
#pragma GCC ivdep
          for (int64_t c = 0; c < dim; ++c) {
            drho[c] += dy[c] * b[c];
            db[c] = rho[c] * dy[c];
          }
        }
      },
      sums.data()));
  SumGroups(sums.data(), dim, results.drho);
  return absl::OkStatus();
}

}  // namespace lt2::kernels
