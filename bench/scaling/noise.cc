#include "bench/scaling/noise.h"

#include <algorithm>
#include <vector>

#include "kernels/core/philox.h"

namespace lt2::bench {
namespace {

constexpr int64_t kBlock = (1 << 20) - 3;

}  // namespace

absl::StatusOr<Tensor> Noise::Uniform(DType dtype, const Shape& shape,
                                      float low, float high) {
  Tensor& block = blocks_[{static_cast<int>(dtype), low, high}];
  if (!block.defined()) {
    Philox rng(7, 0);
    std::vector<float> f32(kBlock);
    for (float& x : f32) {
      x = low + (high - low) * rng.Uniform();
      if (rounded_) x = ToFloat(ToBFloat16(x));
    }
    if (dtype == DType::kBF16) {
      std::vector<BFloat16> bf16(kBlock);
      for (int64_t i = 0; i < kBlock; ++i) bf16[i] = ToBFloat16(f32[i]);
      LT2_ASSIGN_OR_RETURN(block, ctx_.FromHost<BFloat16>(bf16, {kBlock}));
    } else {
      LT2_ASSIGN_OR_RETURN(block, ctx_.FromHost<float>(f32, {kBlock}));
    }
  }
  LT2_ASSIGN_OR_RETURN(Tensor t, ctx_.Empty(dtype, shape));
  const Tensor flat = t.Reshape({t.numel()});
  for (int64_t at = 0; at < flat.numel();) {
    const int64_t from = place_ % kBlock;
    const int64_t n = std::min(kBlock - from, flat.numel() - at);
    Tensor to = flat.Slice(at, at + n);
    LT2_RETURN_IF_ERROR(ctx_.Copy(block.Slice(from, from + n), &to));
    at += n;
    place_ += n;
  }
  place_ += 77777;
  return t;
}

}  // namespace lt2::bench
