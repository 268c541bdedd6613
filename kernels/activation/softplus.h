// log(1 + e^x) on the CPU in a form that vectorises, as those of vector_math.h.

#ifndef LT2_KERNELS_ACTIVATION_SOFTPLUS_H_
#define LT2_KERNELS_ACTIVATION_SOFTPLUS_H_

#include "kernels/core/vector_math.h"

namespace lt2::kernels {

// max(x, 0) + log(1 + e) with e = e^-|x| in [0, 1], and
//   log(1 + e) = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ..),  s = e / (2 + e),
// where s <= 1/3: the first term left out is below 2e-9 of the sum. Within 3
// units in the last place for any x; infinities and NaN as in the formula.
inline float VectorSoftplus(float x) {
  const float e = Exp(-__builtin_fabsf(x));
  const float s = e / (2.0f + e);
  const float q = s * s;
  float p = 1.0f / 15;
  p = __builtin_fmaf(p, q, 1.0f / 13);
  p = __builtin_fmaf(p, q, 1.0f / 11);
  p = __builtin_fmaf(p, q, 1.0f / 9);
  p = __builtin_fmaf(p, q, 1.0f / 7);
  p = __builtin_fmaf(p, q, 1.0f / 5);
  p = __builtin_fmaf(p, q, 1.0f / 3);
  p = __builtin_fmaf(p, q * s, s);
  return (x > 0.0f ? x : 0.0f) + 2.0f * p;
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_SOFTPLUS_H_
