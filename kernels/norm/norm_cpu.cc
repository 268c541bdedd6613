#include <cmath>
#include <vector>

#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"
#include "kernels/norm/norm_internal.h"

namespace lt2::kernels {
namespace {

float* DataOrNull(const Tensor& t) {
  return t.defined() ? t.data<float>() : nullptr;
}

// act(gate) for a row, and its derivative. Templates: a choice inside the loops
// would keep them from vectorising.
template <bool kSilu>
void Value(int64_t dim, const float* gate, float* value) {
#pragma GCC ivdep
  for (int64_t i = 0; i < dim; ++i) {
    const float s = ::lt2::Sigmoid(gate[i]);
    value[i] = kSilu ? gate[i] * s : s;
  }
}

template <bool kSilu>
void ValueAndSlope(int64_t dim, const float* gate, float* value, float* slope) {
#pragma GCC ivdep
  for (int64_t i = 0; i < dim; ++i) {
    const float g = gate[i];
    const float s = ::lt2::Sigmoid(g);
    value[i] = kSilu ? g * s : s;
    slope[i] = kSilu ? s * (1.0f + g * (1.0f - s)) : s * (1.0f - s);
  }
}

}  // namespace

absl::Status NormForwardCpu(Context& ctx, const NormForward& norm) {
  const int64_t dim = norm.x.dim(-1);
  const float* const weight = DataOrNull(norm.weight);
  const bool silu = norm.activation == GateActivation::kSilu;
  ctx.ParallelFor(norm.x.rows(), 16, [&](int64_t begin, int64_t end) {
    std::vector<float> act(norm.gate.defined() ? dim : 0);
    for (int64_t row = begin; row < end; ++row) {
      const float* const x = norm.x.data<float>() + row * dim;
      float* const y = norm.y.data<float>() + row * dim;
      const float sum = LaneSum(dim, [&](int64_t i) { return x[i] * x[i]; });
      const float rstd = 1.0f / std::sqrt(sum * norm.inv_count + norm.eps);
      norm.rstd.data<float>()[row] = rstd;
      if (weight == nullptr) {
#pragma GCC ivdep
        for (int64_t i = 0; i < dim; ++i) y[i] = x[i] * rstd;
      } else if (!norm.gate.defined()) {
#pragma GCC ivdep
        for (int64_t i = 0; i < dim; ++i) y[i] = x[i] * rstd * weight[i];
      } else {
        const float* const gate = norm.gate.data<float>() + row * dim;
        (silu ? Value<true> : Value<false>)(dim, gate, act.data());
#pragma GCC ivdep
        for (int64_t i = 0; i < dim; ++i) {
          y[i] = x[i] * rstd * weight[i] * act[i];
        }
      }
    }
  });
  return absl::OkStatus();
}

// With xhat = x rstd, v = dy act(gate) w:
//   dx = rstd (v - xhat inv_count sum(v xhat))
//   dgate = dy xhat w act'(gate),  dweight = sum over rows of dy act(gate) xhat
absl::Status NormBackwardCpu(Context& ctx, const NormBackward& norm) {
  const int64_t dim = norm.x.dim(-1);
  const float* const weight = DataOrNull(norm.weight);
  const bool silu = norm.activation == GateActivation::kSilu;
  const float* const gate_data = DataOrNull(norm.gate);
  float* const dgate_data = DataOrNull(norm.dgate);
  float* const dweight = DataOrNull(norm.dweight);

  auto rows = [&](int64_t begin, int64_t end, float* dweight_partial) {
    std::vector<float> xhat(dim), v(dim), act(dim), slope(dim);
    for (int64_t row = begin; row < end; ++row) {
      const float rstd = norm.rstd.data<float>()[row];
      const float scale = norm.x_is_normalized ? 1.0f : rstd;
      const float* const x = norm.x.data<float>() + row * dim;
      const float* const dy = norm.dy.data<float>() + row * dim;
      float* const dx = norm.dx.data<float>() + row * dim;
#pragma GCC ivdep
      for (int64_t i = 0; i < dim; ++i) {
        xhat[i] = x[i] * scale;
        v[i] = dy[i];
      }
      if (gate_data != nullptr) {
        float* const dgate = dgate_data + row * dim;
        (silu ? ValueAndSlope<true>
              : ValueAndSlope<false>)(dim, gate_data + row * dim, act.data(),
                                      slope.data());
#pragma GCC ivdep
        for (int64_t i = 0; i < dim; ++i) {
          dgate[i] = v[i] * xhat[i] * weight[i] * slope[i];
          v[i] *= act[i];
        }
      }
      if (weight != nullptr) {
#pragma GCC ivdep
        for (int64_t i = 0; i < dim; ++i) {
          dweight_partial[i] += v[i] * xhat[i];
          v[i] *= weight[i];
        }
      }
      const float dot =
          LaneSum(dim, [&](int64_t i) { return v[i] * xhat[i]; }) *
          norm.inv_count;
#pragma GCC ivdep
      for (int64_t i = 0; i < dim; ++i) {
        dx[i] = rstd * (v[i] - xhat[i] * dot);
      }
    }
  };

  if (dweight != nullptr) {
    return SumOverSlabs(ctx, norm.x.rows(), dim, rows, dweight);
  }
  ctx.ParallelFor(norm.x.rows(), 16, [&](int64_t begin, int64_t end) {
    rows(begin, end, nullptr);
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
