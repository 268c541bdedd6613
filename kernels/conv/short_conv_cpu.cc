// Row by row: a row is all channels of one time step, and the loops run over
// channels, which are contiguous.

#include <algorithm>
#include <vector>

#include "kernels/conv/short_conv_internal.h"
#include "kernels/core/slabs.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels {
namespace {

// out[c] = sum_j taps[j][c] rows[j][c], with j ascending.
template <int kWidth>
void WeightedSum(const float* const* rows, const float* taps, int64_t channels,
                 float* out) {
  const float* row[kWidth];
  for (int j = 0; j < kWidth; ++j) row[j] = rows[j];
#pragma GCC ivdep
  for (int64_t c = 0; c < channels; ++c) {
    float sum = taps[c] * row[0][c];
    for (int j = 1; j < kWidth; ++j) sum += taps[j * channels + c] * row[j][c];
    out[c] = sum;
  }
}

using WeightedSumFunction = void (*)(const float* const*, const float*, int64_t,
                                     float*);
WeightedSumFunction WeightedSumOfWidth(int64_t width) {
  static constexpr WeightedSumFunction kTable[kShortConvMaxWidth] = {
      WeightedSum<1>, WeightedSum<2>, WeightedSum<3>, WeightedSum<4>,
      WeightedSum<5>, WeightedSum<6>, WeightedSum<7>, WeightedSum<8>};
  return kTable[width - 1];
}

// [channels, width] as [width, channels].
std::vector<float> Transposed(const Tensor& weight) {
  const int64_t channels = weight.dim(0), width = weight.dim(1);
  std::vector<float> taps(weight.numel());
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t j = 0; j < width; ++j) {
      taps[j * channels + c] = weight.data<float>()[c * width + j];
    }
  }
  return taps;
}

void AddBias(const Tensor& bias, int64_t channels, float* out) {
  if (!bias.defined()) return;
  const float* const b = bias.data<float>();
#pragma GCC ivdep
  for (int64_t c = 0; c < channels; ++c) out[c] += b[c];
}

// Rows of the input, including those before t = 0.
class Input {
 public:
  Input(const Tensor& x, const Tensor& state, int64_t width)
      : x_(x.data<float>()),
        state_(state.defined() ? state.data<float>() : nullptr),
        seq_(x.dim(1)),
        channels_(x.dim(2)),
        width_(width),
        zeros_(channels_) {}

  // x[b, t, :] for t >= -(width - 1).
  const float* Row(int64_t b, int64_t t) const {
    if (t >= 0) return x_ + (b * seq_ + t) * channels_;
    if (state_ == nullptr) return zeros_.data();
    return state_ + (b * (width_ - 1) + width_ - 1 + t) * channels_;
  }

  // The rows that output t of batch row b is made of.
  void Window(int64_t b, int64_t t, const float** rows) const {
    for (int64_t j = 0; j < width_; ++j) rows[j] = Row(b, t - width_ + 1 + j);
  }

  const float* zeros() const { return zeros_.data(); }

 private:
  const float* x_;
  const float* state_;
  int64_t seq_, channels_, width_;
  std::vector<float> zeros_;
};

}  // namespace

absl::Status ShortConvCpu(Context& ctx, const ShortConvArgs& args,
                          const ShortConvResults& results) {
  const int64_t batch = args.x.dim(0), seq = args.x.dim(1);
  const int64_t channels = args.x.dim(2), width = args.weight.dim(1);
  const std::vector<float> taps = Transposed(args.weight);
  const Input input(args.x, args.initial_state, width);
  const WeightedSumFunction sum = WeightedSumOfWidth(width);
  ctx.ParallelFor(batch * seq, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* rows[kShortConvMaxWidth];
      input.Window(row / seq, row % seq, rows);
      float* const y = results.y.data<float>() + row * channels;
      sum(rows, taps.data(), channels, y);
      AddBias(args.bias, channels, y);
      if (!args.silu) continue;
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) y[c] *= ::lt2::Sigmoid(y[c]);
    }
  });
  // Ascending, so that a state which is updated in place is read first.
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < width - 1; ++i) {
      const float* const from = input.Row(b, seq - width + 1 + i);
      float* const to =
          results.final_state.data<float>() + (b * (width - 1) + i) * channels;
      for (int64_t c = 0; c < channels; ++c) to[c] = from[c];
    }
  }
  return absl::OkStatus();
}

// dpre = dy act'(pre); then
//   dweight[c,j] = sum_t dpre[t] x[t-K+1+j],  dx[t] = sum_j w[j] dpre[t+K-1-j]
//   dbias[c] = sum_t dpre[t]
absl::Status ShortConvGradCpu(Context& ctx, const ShortConvGradArgs& args,
                              const ShortConvGradResults& results) {
  const int64_t batch = args.x.dim(0), seq = args.x.dim(1);
  const int64_t channels = args.x.dim(2), width = args.weight.dim(1);
  const std::vector<float> taps = Transposed(args.weight);
  const Input input(args.x, args.initial_state, width);
  const WeightedSumFunction sum = WeightedSumOfWidth(width);
  LT2_ASSIGN_OR_RETURN(Tensor dpre_tensor,
                       ctx.Empty(DType::kF32, args.x.shape()));
  float* const dpre_data = dpre_tensor.data<float>();

  // Gradients of the taps, [width, channels], then of the bias.
  const bool has_bias = args.bias.defined();
  std::vector<float> dtaps((width + (has_bias ? 1 : 0)) * channels);
  auto slab = [&](int64_t begin, int64_t end, float* partial) {
    for (int64_t row = begin; row < end; ++row) {
      const float* rows[kShortConvMaxWidth];
      input.Window(row / seq, row % seq, rows);
      const float* const dy = args.dy.data<float>() + row * channels;
      float* const dpre = dpre_data + row * channels;
      if (args.silu) {
        sum(rows, taps.data(), channels, dpre);
        AddBias(args.bias, channels, dpre);
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
          const float s = ::lt2::Sigmoid(dpre[c]);
          dpre[c] = dy[c] * (s * (1.0f + dpre[c] * (1.0f - s)));
        }
      } else {
        for (int64_t c = 0; c < channels; ++c) dpre[c] = dy[c];
      }
      for (int64_t j = 0; j < width; ++j) {
        const float* const x = rows[j];
        float* const out = partial + j * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) out[c] += dpre[c] * x[c];
      }
      if (!has_bias) continue;
      float* const out = partial + width * channels;
#pragma GCC ivdep
      for (int64_t c = 0; c < channels; ++c) out[c] += dpre[c];
    }
  };
  LT2_RETURN_IF_ERROR(SumOverSlabs(ctx, batch * seq,
                                   static_cast<int64_t>(dtaps.size()), slab,
                                   dtaps.data()));
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t j = 0; j < width; ++j) {
      results.dweight.data<float>()[c * width + j] = dtaps[j * channels + c];
    }
  }
  if (has_bias) {
    std::copy_n(dtaps.begin() + width * channels, channels,
                results.dbias.data<float>());
  }

  ctx.ParallelFor(batch * seq, 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* rows[kShortConvMaxWidth];
      for (int64_t j = 0; j < width; ++j) {
        const int64_t later = width - 1 - j;
        rows[j] = row % seq + later < seq ? dpre_data + (row + later) * channels
                                          : input.zeros();
      }
      sum(rows, taps.data(), channels,
          results.dx.data<float>() + row * channels);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
