// One thread for each token: loops are few, and reads of a loop's logits are
// contiguous over tokens.

#include "kernels/core/cuda_util.cuh"
#include "kernels/exit_gate/exit_gate_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads)
    ExitGateKernel(const float* z, float* p, float* weight, int32_t* step,
                   int64_t loops, int64_t n, float threshold, bool weighted) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  float rest = 1.0f, sum = 0.0f;
  int64_t chosen = loops - 1;
  bool reached = false;
  for (int64_t t = 0; t < loops; ++t) {
    float share = rest;
    if (t + 1 < loops) {
      // No contraction to fma: the CPU's form has none.
      const float lam = 1.0f / (1.0f + expf(-z[t * n + i]));
      share = __fmul_rn(lam, rest);
      rest = __fmul_rn(rest, 1.0f - lam);
    }
    p[t * n + i] = share;
    sum = __fadd_rn(sum, share);
    if (!reached && sum >= threshold) {
      reached = true;
      chosen = t;
    }
  }
  step[i] = static_cast<int32_t>(chosen);
  for (int64_t t = 0; t < loops; ++t) {
    weight[t * n + i] = weighted ? p[t * n + i] : (t == chosen ? 1.0f : 0.0f);
  }
}

}  // namespace

absl::Status ExitGateCuda(Context& ctx, const ExitGateArgs& args,
                          const ExitGateResults& results) {
  const int64_t loops = args.logits.dim(0), n = args.logits.dim(1);
  ExitGateKernel<<<static_cast<unsigned>(cuda::CeilDiv(n, kThreads)), kThreads,
                   0, cuda::StreamOf(ctx)>>>(
      cuda::Data<float>(args.logits), cuda::Data<float>(results.probability),
      cuda::Data<float>(results.weight), results.step.data<int32_t>(), loops, n,
      args.threshold, args.kind == ExitWeight::kWeighted);
  LT2_RETURN_LAUNCH_ERROR("ExitGateKernel");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
