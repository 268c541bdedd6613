// Random tensors, made once and copied: uniform values, never all zero (zeros
// draw less power, and flatter the clock).

#ifndef LT2_BENCH_SCALING_NOISE_H_
#define LT2_BENCH_SCALING_NOISE_H_

#include <map>
#include <tuple>

#include "kernels/core/context.h"

namespace lt2::bench {

class Noise {
 public:
  // `rounded`: f32 values are bf16's too, for comparisons.
  explicit Noise(Context& ctx, bool rounded = false)
      : ctx_(ctx), rounded_(rounded) {}

  // Uniform in [low, high). A block of 2^20 - 3 random values in turn, from a
  // place that differs from tensor to tensor; the n-th tensor of a Noise is
  // the same in every run, and on every device up to the rounding of `dtype`.
  absl::StatusOr<Tensor> Uniform(DType dtype, const Shape& shape, float low,
                                 float high);

 private:
  Context& ctx_;
  const bool rounded_;
  std::map<std::tuple<int, float, float>, Tensor> blocks_;
  int64_t place_ = 0;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_NOISE_H_
