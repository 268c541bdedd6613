// What interleave_test.cc and activation_cuda_test.cc share: the definition,
// and the comparison of both operators with it. Copies are exact.

#ifndef LT2_KERNELS_ACTIVATION_INTERLEAVE_TESTING_H_
#define LT2_KERNELS_ACTIVATION_INTERLEAVE_TESTING_H_

#include <vector>

#include "gtest/gtest.h"
#include "kernels/activation/interleave.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {

// x [batch, seq, size] as [batch, seq n, size].
inline std::vector<double> InterleaveReference(const std::vector<double>& x,
                                               int64_t batch, int64_t seq,
                                               int64_t size, int64_t n,
                                               int64_t slot) {
  std::vector<double> y(x.size() * n);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < seq; ++t) {
      for (int64_t c = 0; c < size; ++c) {
        y[(b * seq * n + t * n + slot) * size + c] =
            x[(b * seq + t) * size + c];
      }
    }
  }
  return y;
}

// Interleave has the bits of the definition; TakeEvery of that slot undoes it,
// and of any other slot gives zeros. With `in_slice` x lies at an odd offset.
inline void ExpectInterleaves(Context& ctx, DType dtype, const Shape& shape,
                              int64_t n, bool in_slice = false) {
  const int64_t batch = shape.dim(0), seq = shape.dim(1);
  const int64_t numel = shape.numel();
  const int64_t size = numel == 0 ? 0 : numel / (batch * seq);
  std::vector<double> values =
      testing::Rounded(dtype, testing::Uniform(7, numel, -3, 3));
  std::vector<double> padded = values;
  padded.insert(padded.begin(), 0.0);
  const Tensor x = in_slice ? testing::ToTensor(ctx, dtype, {numel + 1}, padded)
                                  .Slice(1, numel + 1)
                                  .Reshape(shape)
                            : testing::ToTensor(ctx, dtype, shape, values);
  for (int64_t slot = 0; slot < n; ++slot) {
    SCOPED_TRACE(absl::StrCat(x.ToString(), " n ", n, " slot ", slot));
    Tensor y;
    LT2_CHECK_OK(Interleave(ctx, {x, n, slot}, &y));
    EXPECT_EQ(y.rank(), shape.rank());
    EXPECT_EQ(y.dim(1), seq * n);
    EXPECT_EQ(testing::ToDoubles(ctx, y),
              InterleaveReference(values, batch, seq, size, n, slot));
    for (int64_t other = 0; other < n; ++other) {
      Tensor back;
      LT2_CHECK_OK(TakeEvery(ctx, {y, n, other}, &back));
      EXPECT_EQ(back.shape().ToString(), shape.ToString());
      EXPECT_EQ(testing::ToDoubles(ctx, back),
                other == slot ? values : std::vector<double>(numel));
    }
  }
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_INTERLEAVE_TESTING_H_
