#include <cmath>

#include "kernels/exit_gate/exit_gate_internal.h"

namespace lt2::kernels {

absl::Status ExitGateCpu(Context& ctx, const ExitGateArgs& args,
                         const ExitGateResults& results) {
  const int64_t loops = args.logits.dim(0), n = args.logits.dim(1);
  const float* z = args.logits.data<float>();
  float* p = results.probability.data<float>();
  float* weight = results.weight.data<float>();
  int32_t* step = results.step.data<int32_t>();
  ctx.ParallelFor(n, 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float rest = 1, sum = 0;
      int64_t chosen = loops - 1;
      bool reached = false;
      for (int64_t t = 0; t < loops; ++t) {
        float share = rest;
        if (t + 1 < loops) {
          const float lam = 1.0f / (1.0f + std::exp(-z[t * n + i]));
          share = lam * rest;
          rest = rest * (1.0f - lam);
        }
        p[t * n + i] = share;
        sum += share;
        if (!reached && sum >= args.threshold) {
          reached = true;
          chosen = t;
        }
      }
      step[i] = static_cast<int32_t>(chosen);
      for (int64_t t = 0; t < loops; ++t) {
        weight[t * n + i] = args.kind == ExitWeight::kWeighted ? p[t * n + i]
                            : t == chosen                      ? 1.0f
                                                               : 0.0f;
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
