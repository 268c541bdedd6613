// The definition of rope.h, made runnable. Real = double is the reference;
// Real = float rotates in float by the cosine and sine of the exact angle (the
// plain formula that the error contract compares with).

#ifndef LT2_KERNELS_ROPE_ROPE_REFERENCE_H_
#define LT2_KERNELS_ROPE_ROPE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/rope/rope.h"

namespace lt2::kernels {

struct RopeReferenceInput {
  int64_t batch = 1, seq = 1, heads = 1, dim = 2;
  std::vector<double> x;           // [batch, seq, heads, dim]
  std::vector<int64_t> positions;  // [batch], of token 0
  double theta = 10000;
  RopeLayout layout = RopeLayout::kInterleaved;
};

template <typename Real>
std::vector<double> RopeReference(const RopeReferenceInput& in);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ROPE_ROPE_REFERENCE_H_
