#include "kernels/activation/activation_internal.h"
#include "kernels/activation/map.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {

absl::Status MultiplyCpu(Context& ctx, const MultiplyArgs& args,
                         const Tensor& y) {
  Map(ctx, y.numel(),
      [a = args.a.data<float>(), b = args.b.data<float>(),
       out = y.data<float>()](int64_t i) { out[i] = a[i] * b[i]; });
  return absl::OkStatus();
}

absl::Status MultiplyGradCpu(Context& ctx, const MultiplyGradArgs& args,
                             const MultiplyGradResults& results) {
  Map(ctx, args.a.numel(),
      [a = args.a.data<float>(), b = args.b.data<float>(),
       dy = args.dy.data<float>(), da = results.da.data<float>(),
       db = results.db.data<float>()](int64_t i) {
        const float u = a[i], v = b[i], d = dy[i];
        da[i] = d * v;
        db[i] = d * u;
      });
  return absl::OkStatus();
}

absl::Status ScaleRowsCpu(Context& ctx, const ScaleRowsArgs& args,
                          const Tensor& y) {
  const int64_t dim = args.x.dim(-1);
  ctx.ParallelFor(args.x.rows(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float s = args.s.data<float>()[row];
      const float* const x = args.x.data<float>() + row * dim;
      float* const out = y.data<float>() + row * dim;
#pragma GCC ivdep
      for (int64_t c = 0; c < dim; ++c) out[c] = s * x[c];
    }
  });
  return absl::OkStatus();
}

absl::Status ScaleRowsGradCpu(Context& ctx, const ScaleRowsGradArgs& args,
                              const ScaleRowsGradResults& results) {
  const int64_t dim = args.x.dim(-1);
  ctx.ParallelFor(args.x.rows(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float s = args.s.data<float>()[row];
      const float* const x = args.x.data<float>() + row * dim;
      const float* const dy = args.dy.data<float>() + row * dim;
      float* const dx = results.dx.data<float>() + row * dim;
      results.ds.data<float>()[row] =
          LaneSum(dim, [&](int64_t c) { return dy[c] * x[c]; });
#pragma GCC ivdep
      for (int64_t c = 0; c < dim; ++c) dx[c] = s * dy[c];
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
