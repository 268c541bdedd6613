#include "kernels/activation/interleave.h"

#include "gtest/gtest.h"
#include "kernels/activation/interleave_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

TEST(Interleave, HasTheBitsOfTheDefinitionAndTakeEveryUndoesIt) {
  auto ctx = CpuContext(3);
  for (int64_t n : {1, 2, 3, 5}) {
    for (const Shape& shape :
         {Shape{1, 1}, Shape{2, 5}, Shape{2, 3, 1}, Shape{3, 70, 8},
          Shape{1, 7, 3, 5}, Shape{0, 4, 2}, Shape{2, 0, 2}, Shape{2, 4, 0}}) {
      ExpectInterleaves(*ctx, DType::kF32, shape, n);
    }
  }
}

// The transpose: <Interleave(x), z> = <x, TakeEvery(z)>.
TEST(Interleave, IsTheGradientOfTakeEvery) {
  auto ctx = CpuContext();
  const auto x = testing::Uniform(1, 2 * 3 * 4, -1, 1);
  const auto z = testing::Uniform(2, 2 * 9 * 4, -1, 1);
  Tensor y, w;
  ASSERT_TRUE(
      Interleave(*ctx, {ToTensor(*ctx, DType::kF32, {2, 3, 4}, x), 3, 1}, &y)
          .ok());
  ASSERT_TRUE(
      TakeEvery(*ctx, {ToTensor(*ctx, DType::kF32, {2, 9, 4}, z), 3, 1}, &w)
          .ok());
  auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  EXPECT_NEAR(dot(ToDoubles(*ctx, y), z), dot(x, ToDoubles(*ctx, w)), 1e-6);
}

// The gates of NSA's three branches, which are neighbours: [.., heads, 3].
TEST(TakeEvery, PicksOneOfInterleavedChannels) {
  auto ctx = CpuContext();
  const Tensor x =
      ToTensor(*ctx, DType::kF32, {1, 6, 1}, {0, 1, 2, 10, 11, 12});
  Tensor y;
  ASSERT_TRUE(TakeEvery(*ctx, {x, 3, 2}, &y).ok());
  EXPECT_EQ(ToDoubles(*ctx, y), (std::vector<double>{2, 12}));
}

TEST(Interleave, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {2, 4});
  Tensor y;
  EXPECT_EQ(Interleave(*ctx, {x, 2, 2}, &y).message(),
            "Interleave: slot: expected 0 to 1, got 2");
  EXPECT_FALSE(InterleaveSupports({x, 0, 0}).ok());
  EXPECT_FALSE(InterleaveSupports({x, 2, -1}).ok());
  EXPECT_FALSE(InterleaveSupports({Tensor(), 2, 0}).ok());
  EXPECT_FALSE(InterleaveSupports({x.Reshape({8}), 2, 0}).ok());
  EXPECT_EQ(TakeEvery(*ctx, {x, 3, 0}, &y).message(),
            "TakeEvery: x: expected a length that is a multiple of 3, got "
            "f32[2, 4]@cpu");
}

}  // namespace
}  // namespace lt2::kernels
