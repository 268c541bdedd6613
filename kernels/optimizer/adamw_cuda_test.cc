#include "gtest/gtest.h"
#include "kernels/optimizer/adamw.h"
#include "kernels/optimizer/adamw_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

// More tensors than one table holds, with sizes around the block's.
AdamWCase Many() {
  AdamWCase c;
  for (int64_t i = 0; i < 130; ++i) c.sizes.push_back(i % 11 * 13);
  for (const int64_t n : {8191, 8192, 8193, 20000}) c.sizes.push_back(n);
  return c;
}

TEST(AdamWCuda, MeetsContractOverSeveralSteps) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AdamWCase c = Many();
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "clipped";
  c.offset = 3;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "unaligned";
  c.offset = 0;
  c.options.max_grad_norm = 0;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "not clipped";
  c.sizes = {1};
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "one element";
  c.sizes.assign(112, 5);  // exactly one table of norms
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "a full table";
  c.sizes.assign(48, 5);  // exactly one table of steps
  c.sizes.push_back(0);
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "then an empty one";
}

TEST(AdamWCuda, ContractRejectsWrongTwin) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const AdamWCase c = Many();
  AdamWCase twin = c;
  twin.options.max_grad_norm = 0;
  EXPECT_FALSE(MeetsAdamWContract(RunAdamW(*ctx, twin), c));
}

TEST(AdamWCuda, RefreshesTheComputeCopy) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AdamWCase c = Many();
  c.compute = true;
  const AdamWOutputs out = RunAdamW(*ctx, c);
  EXPECT_EQ(out.compute, Rounded(DType::kBF16, out.value));
}

TEST(AdamWCuda, SameBitsEveryRun) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AdamWCase c = Many();
  c.sizes.push_back(3000001);
  const AdamWOutputs a = RunAdamW(*ctx, c), b = RunAdamW(*ctx, c);
  EXPECT_EQ(a.norm, b.norm);
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(a.v, b.v);
}

TEST(AdamWCuda, NormOfNothingIsZero) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Tensor norm;
  ASSERT_TRUE(GlobalNorm(*ctx, {}, &norm).ok());
  EXPECT_EQ(ToDoubles(*ctx, norm)[0], 0);
}

TEST(AdamWCuda, CapturedStepReadsTheScheduleAnew) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AdamWParameter p;
  p.value = ToTensor(*ctx, DType::kF32, {2}, {1, 1});
  p.grad = *ctx->Zeros(DType::kF32, {2});
  p.m = *ctx->Zeros(DType::kF32, {2});
  p.v = *ctx->Zeros(DType::kF32, {2});
  p.weight_decay = 1;
  Tensor schedule = ToTensor(*ctx, DType::kF32, {3}, {0, 1, 1});
  Tensor norm;
  auto step = [&]() -> absl::Status {
    LT2_RETURN_IF_ERROR(GlobalNorm(*ctx, {p.grad}, &norm));
    return AdamWStep(*ctx, {p}, {}, schedule, norm);
  };
  ASSERT_TRUE(step().ok());
  auto graph = CudaGraph::Capture(*ctx, step);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const float next[3] = {0.5f, 1, 1};
  ASSERT_TRUE(ctx->CopyFromHost(next, &schedule).ok());
  ASSERT_TRUE((*graph)->Launch().ok());
  EXPECT_EQ(ToDoubles(*ctx, p.value), (std::vector<double>{0.5, 0.5}));
}

}  // namespace
}  // namespace lt2::kernels
