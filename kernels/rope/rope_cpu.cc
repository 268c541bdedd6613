#include <cmath>
#include <vector>

#include "kernels/rope/rope_internal.h"

namespace lt2::kernels {
namespace {

// One head. A pair is read before it is written, so y may be x.
void RotateInterleaved(int64_t pairs, const float* cosine, const float* sine,
                       const float* x, float* y) {
#pragma GCC ivdep
  for (int64_t i = 0; i < pairs; ++i) {
    const float x1 = x[2 * i], x2 = x[2 * i + 1];
    y[2 * i] = x1 * cosine[i] - x2 * sine[i];
    y[2 * i + 1] = x1 * sine[i] + x2 * cosine[i];
  }
}

void RotateHalfSplit(int64_t pairs, const float* cosine, const float* sine,
                     const float* x, float* y) {
#pragma GCC ivdep
  for (int64_t i = 0; i < pairs; ++i) {
    const float x1 = x[i], x2 = x[i + pairs];
    y[i] = x1 * cosine[i] - x2 * sine[i];
    y[i + pairs] = x1 * sine[i] + x2 * cosine[i];
  }
}

}  // namespace

// Sines cost more than the rotation, so they are tabulated first: once per
// token, or once per position when the rows of the batch share their positions.
absl::Status RopeCpu(Context& ctx, const RopeArgs& args, const Tensor& y) {
  const int64_t batch = args.x.dim(0), seq = args.x.dim(1);
  const int64_t heads = args.x.dim(2), dim = args.x.dim(3), pairs = dim / 2;
  const int32_t* const positions =
      args.positions.defined() ? args.positions.data<int32_t>() : nullptr;
  std::vector<double> frequency(pairs);
  for (int64_t i = 0; i < pairs; ++i) {
    frequency[i] = std::pow(static_cast<double>(args.theta),
                            -2.0 * static_cast<double>(i) / dim);
  }

  const int64_t table_rows = positions != nullptr ? batch * seq : seq;
  LT2_ASSIGN_OR_RETURN(Tensor cosines,
                       ctx.Empty(DType::kF32, {table_rows, pairs}));
  LT2_ASSIGN_OR_RETURN(Tensor sines,
                       ctx.Empty(DType::kF32, {table_rows, pairs}));
  float* const cosine = cosines.data<float>();
  float* const sine = sines.data<float>();
  const double sign = args.inverse ? -1.0 : 1.0;
  ctx.ParallelFor(table_rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first =
          positions != nullptr ? positions[row / seq] : args.position;
      const double position = static_cast<double>(first + row % seq);
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = position * frequency[i];
        cosine[row * pairs + i] = static_cast<float>(std::cos(angle));
        sine[row * pairs + i] = static_cast<float>(sign * std::sin(angle));
      }
    }
  });

  const float* const x_data = args.x.data<float>();
  float* const y_data = y.data<float>();
  ctx.ParallelFor(batch * seq, 4, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const int64_t row = positions != nullptr ? token : token % seq;
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t offset = (token * heads + head) * dim;
        if (args.layout == RopeLayout::kInterleaved) {
          RotateInterleaved(pairs, cosine + row * pairs, sine + row * pairs,
                            x_data + offset, y_data + offset);
        } else {
          RotateHalfSplit(pairs, cosine + row * pairs, sine + row * pairs,
                          x_data + offset, y_data + offset);
        }
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
