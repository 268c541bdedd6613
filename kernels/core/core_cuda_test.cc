#include "gtest/gtest.h"
#include "kernels/core/context.h"
#include "kernels/core/testing.h"

namespace lt2 {
namespace {

TEST(CudaContext, CopiesThereAndBack) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = testing::CudaContext();
  const std::vector<double> values = testing::Uniform(1, 1000);
  Tensor a = testing::ToTensor(*ctx, DType::kF32, {10, 100}, values);
  Tensor b = *ctx->Empty(DType::kF32, {10, 100});
  ASSERT_TRUE(ctx->Copy(a, &b).ok());
  EXPECT_EQ(testing::ToDoubles(*ctx, b), testing::Rounded(DType::kF32, values));
}

TEST(CudaGraph, ReplaysItsWork) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = testing::CudaContext();
  Tensor a = testing::ToTensor(*ctx, DType::kF32, {4}, {1, 2, 3, 4});
  Tensor b = *ctx->Zeros(DType::kF32, {4});
  ASSERT_TRUE(ctx->Synchronize().ok());
  auto graph = CudaGraph::Capture(*ctx, [&] { return ctx->Copy(a, &b); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(testing::ToDoubles(*ctx, b)[3], 0);
  ASSERT_TRUE((*graph)->Launch().ok());
  EXPECT_EQ(testing::ToDoubles(*ctx, b)[3], 4);
}

TEST(CudaContext, MissingDeviceIsAClearError) {
  if (CudaAvailable()) GTEST_SKIP() << "there is a device";
  const auto ctx = Context::Create(Device::kCUDA);
  EXPECT_EQ(ctx.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(ctx.status().message().find("--device=cpu"), std::string::npos);
}

}  // namespace
}  // namespace lt2
