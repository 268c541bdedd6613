#include <algorithm>
#include <cmath>

#include "kernels/optimizer/adamw_internal.h"

namespace lt2::kernels {
namespace {

// Elements per partial sum: the partials are cut by position alone, so that
// the norm does not depend on the number of threads.
constexpr int64_t kBlock = 8192;

double SumOfSquares(const float* x, int64_t n) {
  constexpr int kLanes = 8;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const double value = x[i + l];
      lanes[l] += value * value;
    }
  }
  double sum = 0;
  for (; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  for (double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

absl::Status GlobalNormCpu(Context& ctx, absl::Span<const Tensor> tensors,
                           Tensor* norm) {
  double total = 0;
  std::vector<double> partial;
  for (const Tensor& t : tensors) {
    const int64_t n = t.numel();
    if (n == 0) continue;
    const float* x = t.data<float>();
    partial.assign((n + kBlock - 1) / kBlock, 0.0);
    ctx.ParallelFor(partial.size(), 4, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        partial[b] =
            SumOfSquares(x + b * kBlock, std::min(kBlock, n - b * kBlock));
      }
    });
    for (double p : partial) total += p;
  }
  norm->data<float>()[0] = static_cast<float>(std::sqrt(total));
  return absl::OkStatus();
}

absl::Status AdamWStepCpu(Context& ctx,
                          absl::Span<const AdamWParameter> parameters,
                          const AdamWOptions& options, const Tensor& schedule,
                          const Tensor& norm) {
  const float lr = schedule.data<float>()[0];
  const float bc1 = schedule.data<float>()[1];
  const float bc2 = schedule.data<float>()[2];
  float clip = 1.0f;
  if (options.max_grad_norm > 0) {
    const float ratio =
        options.max_grad_norm / (norm.data<float>()[0] + kClipEpsilon);
    clip = ratio >= 1.0f ? 1.0f : ratio;  // NaN stays NaN
  }
  const float beta1 = options.beta1, beta2 = options.beta2, eps = options.eps;
  for (const AdamWParameter& p : parameters) {
    if (p.value.numel() == 0) continue;
    float* value = p.value.data<float>();
    const float* grad = p.grad.data<float>();
    float* m = p.m.data<float>();
    float* v = p.v.data<float>();
    BFloat16* compute =
        p.compute.defined() ? p.compute.data<BFloat16>() : nullptr;
    const float rate = lr * p.lr_scale, decay = p.weight_decay;
    ctx.ParallelFor(p.value.numel(), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float g = grad[i] * clip;
        m[i] = beta1 * m[i] + (1.0f - beta1) * g;
        v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
        const float step = (m[i] / bc1) / (std::sqrt(v[i] / bc2) + eps);
        value[i] -= rate * (step + decay * value[i]);
      }
      if (compute == nullptr) return;
      for (int64_t i = begin; i < end; ++i) compute[i] = ToBFloat16(value[i]);
    });
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
