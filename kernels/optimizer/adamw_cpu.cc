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

struct Scalars {
  float beta1, beta2, eps, clip, bc1, bc2, rate, decay;
};

// __restrict: without it the compiler has to expect that the tensors overlap
// and does not vectorise.
void Update(const Scalars& s, int64_t n, const float* __restrict grad,
            float* __restrict value, float* __restrict m, float* __restrict v) {
  for (int64_t i = 0; i < n; ++i) {
    const float g = grad[i] * s.clip;
    const float first = s.beta1 * m[i] + (1.0f - s.beta1) * g;
    const float second = s.beta2 * v[i] + (1.0f - s.beta2) * g * g;
    const float step = (first / s.bc1) / (std::sqrt(second / s.bc2) + s.eps);
    m[i] = first;
    v[i] = second;
    value[i] -= s.rate * (step + s.decay * value[i]);
  }
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
  Scalars s;
  s.beta1 = options.beta1;
  s.beta2 = options.beta2;
  s.eps = options.eps;
  s.clip = 1.0f;
  if (options.max_grad_norm > 0) {
    const float ratio =
        options.max_grad_norm / (norm.data<float>()[0] + kClipEpsilon);
    s.clip = ratio >= 1.0f ? 1.0f : ratio;  // NaN stays NaN
  }
  s.bc1 = schedule.data<float>()[1];
  s.bc2 = schedule.data<float>()[2];
  for (const AdamWParameter& p : parameters) {
    if (p.value.numel() == 0) continue;
    s.rate = schedule.data<float>()[0] * p.lr_scale;
    s.decay = p.weight_decay;
    float* value = p.value.data<float>();
    const float* grad = p.grad.data<float>();
    float* m = p.m.data<float>();
    float* v = p.v.data<float>();
    BFloat16* compute =
        p.compute.defined() ? p.compute.data<BFloat16>() : nullptr;
    ctx.ParallelFor(p.value.numel(), 4096, [&](int64_t begin, int64_t end) {
      Update(s, end - begin, grad + begin, value + begin, m + begin, v + begin);
      if (compute == nullptr) return;
      for (int64_t i = begin; i < end; ++i) compute[i] = ToBFloat16(value[i]);
    });
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
