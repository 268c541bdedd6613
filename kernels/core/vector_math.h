// Elementary functions and sums that the compiler vectorises.
//
// A call of std::exp in a loop keeps the whole loop scalar; these are inline
// and free of branches, so a loop over them becomes SIMD code. Sums in a plain
// loop stay scalar too, as the compiler may not reorder them; LaneSum fixes an
// order that suits SIMD.
//
//   for (int64_t i = 0; i < n; ++i) y[i] = x[i] * Sigmoid(x[i]);
//   const float sum = LaneSum(n, [&](int64_t i) { return x[i] * x[i]; });
//
// Compile the file that has the loop with -O3 (copts of its target): gcc's -O2
// vectorises only loops whose trip count it knows. The results do not depend on
// that: same bits for scalar and SIMD code. CPU only.

#ifndef LT2_KERNELS_CORE_VECTOR_MATH_H_
#define LT2_KERNELS_CORE_VECTOR_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>

namespace lt2 {

// e^x within 2 units in the last place, everywhere: underflow (including
// subnormal results), overflow to infinity, infinities and NaN are those of
// std::exp.
//
// x = n ln 2 + r with |r| <= ln(2)/2; e^r by a polynomial; times 2^n in two
// factors, as 2^n itself may be outside the range of float while e^x is not.
inline float Exp(float x) {
  // Beyond these e^x is 0 or infinite. Written so that NaN passes through.
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits.
  constexpr float kShift = 12582912.0f;
  const float shifted = __builtin_fmaf(x, 1.44269504f, kShift);
  const float n = shifted - kShift;
  float r = __builtin_fmaf(n, -0.693145751953125f, x);
  r = __builtin_fmaf(n, -1.42860676533018e-06f, r);
  // Taylor's coefficients up to r^7 / 7!: the remainder is below 6e-9.
  float p = 1.98412698e-4f;
  p = __builtin_fmaf(p, r, 1.38888889e-3f);
  p = __builtin_fmaf(p, r, 8.33333333e-3f);
  p = __builtin_fmaf(p, r, 4.16666667e-2f);
  p = __builtin_fmaf(p, r, 1.66666667e-1f);
  p = __builtin_fmaf(p, r, 0.5f);
  p = __builtin_fmaf(p, r * r, r) + 1.0f;
  int32_t bits, shift_bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  std::memcpy(&shift_bits, &kShift, sizeof(shift_bits));
  const int32_t exponent = bits - shift_bits;
  const int32_t half = exponent >> 1;
  const int32_t low_bits =
      static_cast<int32_t>(static_cast<uint32_t>(half + 127) << 23);
  const int32_t high_bits =
      static_cast<int32_t>(static_cast<uint32_t>(exponent - half + 127) << 23);
  float low, high;
  std::memcpy(&low, &low_bits, sizeof(low));
  std::memcpy(&high, &high_bits, sizeof(high));
  return p * low * high;
}

// 1 / (1 + e^-x), without overflow and with full relative precision in both
// tails.
inline float Sigmoid(float x) {
  const float e = Exp(-__builtin_fabsf(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

// log(1 + e^x) in a form that neither overflows nor cancels. Scalar.
inline float Softplus(float x) {
  return (x > 0.0f ? x : 0.0f) + std::log1p(std::exp(-std::fabs(x)));
}

// term(0) + ... + term(n-1) in 16 interleaved partial sums.
template <typename F>
inline float LaneSum(int64_t n, F&& term) {
  constexpr int kLanes = 16;
  float lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) lane[l] += term(i + l);
  }
  for (int l = 0; i + l < n; ++l) lane[l] += term(i + l);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
  }
  return lane[0];
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_VECTOR_MATH_H_
