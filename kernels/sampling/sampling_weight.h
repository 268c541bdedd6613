// The arithmetic of sampling that the CPU and the GPU share bit by bit.
//
// Every product and sum below is a fused multiply-add, an exact operation or a
// single rounded one, so there is nothing that a compiler for either side may
// contract or approximate.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_WEIGHT_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_WEIGHT_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/core/philox.h"

namespace lt2::kernels {

// The weight of the most likely token.
inline constexpr uint64_t kFullWeight = uint64_t{1} << 40;

// exp((logit - max) / temperature) times 2^40, rounded down. logit <= max.
LT2_HOST_DEVICE inline uint64_t TokenWeight(float logit, float max,
                                            float inverse_temperature) {
  if (logit == max) return kFullWeight;  // even if 1 / temperature overflows
  // 2^x = 2^n 2^f with n an integer and f in [-1/2, 1/2]. x is an explicit
  // multiply-add, as nvcc would merge a plain product into the subtraction.
  const float scaled = (logit - max) * inverse_temperature;
  const float x = fmaf(scaled, 1.44269504f, 0.0f);
  if (!(x > -41.0f)) return 0;  // also -infinity and NaN
  const float n = rintf(x);
  const float f = x - n;  // exact
  // Taylor's polynomial of 2^f: the remainder is below 2e-9.
  float p = 1.5252734e-5f;
  p = fmaf(p, f, 1.5403530e-4f);
  p = fmaf(p, f, 1.3333558e-3f);
  p = fmaf(p, f, 9.6181291e-3f);
  p = fmaf(p, f, 5.5504109e-2f);
  p = fmaf(p, f, 2.4022651e-1f);
  p = fmaf(p, f, 6.9314718e-1f);
  p = fmaf(p, f, 1.0f);
  // 2^(n + 40), which is at least 2^-1: a product without rounding.
  const uint32_t scale_bits =
      static_cast<uint32_t>(static_cast<int32_t>(n) + 40 + 127) << 23;
  float scale;
  memcpy(&scale, &scale_bits, sizeof(scale));
  return static_cast<uint64_t>(p * scale);
}

// The logit of a token that has been seen.
LT2_HOST_DEVICE inline float Penalized(float logit, float penalty) {
  // Multiply-add for the same reason as above; 0 stays 0.
  return logit > 0 ? logit / penalty : fmaf(logit, penalty, 0.0f);
}

// The least weight that min-p keeps.
LT2_HOST_DEVICE inline uint64_t MinWeight(float min_p) {
  return static_cast<uint64_t>(
      ceil(static_cast<double>(min_p) * static_cast<double>(kFullWeight)));
}

// Floats as integers of the same order; -0 and +0 become equal. Not for NaN.
LT2_HOST_DEVICE inline uint32_t OrderedBits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  if (bits == 0x80000000u) bits = 0;
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
LT2_HOST_DEVICE inline float FromOrderedBits(uint32_t ordered) {
  const uint32_t bits =
      ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered;
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

// The least sum of weights that makes up a fraction top_p of `total`.
LT2_HOST_DEVICE inline uint64_t NucleusWeight(float top_p, uint64_t total) {
  const double product =
      static_cast<double>(top_p) * static_cast<double>(total);
  const uint64_t target = static_cast<uint64_t>(ceil(product));
  return target < 1 ? 1 : (target > total ? total : target);
}

// 64 random bits, a pure function of (seed, step, row): the first two words of
// the stream Philox(seed, step, row).
LT2_HOST_DEVICE inline uint64_t DrawBits(uint64_t seed, int64_t step,
                                         int64_t row) {
  const uint64_t name = static_cast<uint64_t>(step);
  const uint32_t counter[4] = {0, static_cast<uint32_t>(name),
                               static_cast<uint32_t>(name >> 32),
                               static_cast<uint32_t>(row)};
  const PhiloxBlock block = Philox4x32(counter, seed);
  return block.word[0] | (static_cast<uint64_t>(block.word[1]) << 32);
}

// Uniform in {0, ..., total - 1} up to total / 2^64.
LT2_HOST_DEVICE inline uint64_t Below(uint64_t bits, uint64_t total) {
#ifdef __CUDA_ARCH__
  return __umul64hi(bits, total);
#else
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * total) >>
                               64);
#endif
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_WEIGHT_H_
