#include "gtest/gtest.h"
#include "kernels/rope/rope.h"
#include "kernels/rope/rope_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};
constexpr RopeLayout kLayouts[] = {RopeLayout::kInterleaved,
                                   RopeLayout::kHalfSplit};

TEST(RopeCuda, MeetsTheContractForAnyShape) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (RopeLayout layout : kLayouts) {
      for (int64_t dim : {16, 18, 34, 64, 96, 128}) {
        for (int64_t heads : {1, 3, 17}) {
          ExpectRopeContract(*ctx, dtype, {2, 37, heads, dim, layout, {0}});
        }
      }
      // Enough tokens for several heads per thread.
      for (int64_t heads : {1, 15, 16, 17}) {
        ExpectRopeContract(*ctx, dtype, {2, 1025, heads, 64, layout, {5}});
      }
    }
  }
}

TEST(RopeCuda, MeetsTheContractAtLongPositions) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (RopeLayout layout : kLayouts) {
    for (int64_t position : {1, 4095, 1000000, 16777217}) {
      ExpectRopeContract(*ctx, DType::kF32, {1, 9, 2, 64, layout, {position}});
      ExpectRopeContract(*ctx, DType::kF32,
                         {1, 9, 2, 64, layout, {position}, 500000.0f});
    }
  }
}

TEST(RopeCuda, EachBatchRowHasItsOwnPosition) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (RopeLayout layout : kLayouts) {
      ExpectRopeContract(*ctx, dtype, {3, 5, 2, 64, layout, {7, 0, 123456}});
    }
  }
}

TEST(RopeCuda, SameBitsEveryTime) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  RopeArgs args;
  args.x = testing::ToTensor(*ctx, DType::kBF16, {2, 51, 3, 16},
                             testing::Uniform(1, 2 * 51 * 3 * 16));
  Tensor one, two;
  ASSERT_TRUE(Rope(*ctx, args, &one).ok());
  ASSERT_TRUE(Rope(*ctx, args, &two).ok());
  EXPECT_EQ(testing::ToDoubles(*ctx, one), testing::ToDoubles(*ctx, two));
}

TEST(RopeCuda, EmptyInputsGiveEmptyResults) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Tensor y;
  EXPECT_TRUE(Rope(*ctx, {*ctx->Empty(DType::kBF16, {2, 0, 2, 4})}, &y).ok());
}

}  // namespace
}  // namespace lt2::kernels
