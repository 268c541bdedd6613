// What rope_test.cc and rope_cuda_test.cc share.

#ifndef LT2_KERNELS_ROPE_ROPE_TESTING_H_
#define LT2_KERNELS_ROPE_ROPE_TESTING_H_

#include <vector>

#include "kernels/core/testing.h"
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_reference.h"

namespace lt2::kernels {

struct RopeCase {
  int64_t batch = 1, seq = 1, heads = 1, dim = 2;
  RopeLayout layout = RopeLayout::kInterleaved;
  std::vector<int64_t> positions = {0};  // one for all, or one per batch row
  float theta = 10000;
};

// The operator, the plain formula and the reference agree within the contract.
inline void ExpectRopeContract(Context& ctx, DType dtype, const RopeCase& c) {
  SCOPED_TRACE(absl::StrCat(
      Name(dtype), " [", c.batch, ", ", c.seq, ", ", c.heads, ", ", c.dim, "] ",
      c.layout == RopeLayout::kInterleaved ? "interleaved" : "half split",
      " from ", c.positions[0]));
  RopeReferenceInput in;
  in.batch = c.batch;
  in.seq = c.seq;
  in.heads = c.heads;
  in.dim = c.dim;
  in.layout = c.layout;
  in.theta = c.theta;
  in.positions = c.positions;
  in.positions.resize(c.batch, c.positions[0]);
  in.x = testing::Rounded(
      dtype, testing::Uniform(1, c.batch * c.seq * c.heads * c.dim));

  RopeArgs args;
  args.x =
      testing::ToTensor(ctx, dtype, {c.batch, c.seq, c.heads, c.dim}, in.x);
  args.theta = c.theta;
  args.layout = c.layout;
  if (c.positions.size() > 1) {
    args.positions = testing::ToTensor(
        ctx, DType::kI32, {c.batch},
        std::vector<double>(c.positions.begin(), c.positions.end()));
  } else {
    args.position = c.positions[0];
  }
  Tensor y, back;
  ASSERT_TRUE(Rope(ctx, args, &y).ok());
  const std::vector<double> exact = RopeReference<double>(in);
  EXPECT_TRUE(testing::MeetsContract(
      testing::ToDoubles(ctx, y),
      testing::Rounded(dtype, RopeReference<float>(in)), exact, dtype));

  // The inverse turns back; in place, as gradients do.
  args.x = y;
  args.inverse = true;
  ASSERT_TRUE(Rope(ctx, args, &y).ok());
  // Two roundings of each value at worst, four where those of cosine and sine
  // are not far smaller.
  const double limit = dtype == DType::kBF16 ? 2 * 0x1p-9 : 4 * 0x1p-24;
  EXPECT_TRUE(testing::Near(testing::ToDoubles(ctx, y), in.x, limit));
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ROPE_ROPE_TESTING_H_
