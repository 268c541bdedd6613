#include "kernels/optimizer/adamw.h"

#include <limits>

#include "gtest/gtest.h"
#include "kernels/optimizer/adamw_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

AdamWCase Small() {
  AdamWCase c;
  c.sizes = {1, 0, 7, 130, 1000};
  return c;
}

TEST(AdamW, MeetsContractOverSeveralSteps) {
  auto ctx = CpuContext();
  AdamWCase c = Small();
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "clipped";
  c.options.max_grad_norm = 0;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "not clipped";
  c.options.max_grad_norm = 1e4f;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "below the limit";
  c.grad_scale = 1e-12;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "tiny gradients";
  c.grad_scale = 1e8;
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "large gradients";
  c = Small();
  c.sizes = {20011};
  EXPECT_TRUE(MeetsAdamWContract(RunAdamW(*ctx, c), c)) << "many blocks";
}

TEST(AdamW, ContractRejectsWrongTwins) {
  auto ctx = CpuContext();
  const AdamWCase c = Small();
  AdamWCase twin = c;
  twin.options.max_grad_norm = 0;  // forgets to clip
  EXPECT_FALSE(MeetsAdamWContract(RunAdamW(*ctx, twin), c));
  twin = c;
  twin.options.eps = 1e-5f;
  EXPECT_FALSE(MeetsAdamWContract(RunAdamW(*ctx, twin), c));
  twin = c;
  twin.lr = 0.0101f;
  EXPECT_FALSE(MeetsAdamWContract(RunAdamW(*ctx, twin), c));
  twin = c;
  twin.sizes.pop_back();  // a norm over some of the tensors only
  EXPECT_FALSE(MeetsAdamWContract(RunAdamW(*ctx, twin), c));
}

TEST(AdamW, FirstStepMovesByTheLearningRateAgainstTheSign) {
  auto ctx = CpuContext();
  AdamWParameter p;
  p.value = ToTensor(*ctx, DType::kF32, {3}, {1, 1, 1});
  p.grad = ToTensor(*ctx, DType::kF32, {3}, {5, -1e-3, 0});
  p.m = *ctx->Zeros(DType::kF32, {3});
  p.v = *ctx->Zeros(DType::kF32, {3});
  const Tensor schedule = ToTensor(*ctx, DType::kF32, {3}, {.25, .1, .05});
  Tensor norm = *ctx->Zeros(DType::kF32, {1});
  ASSERT_TRUE(AdamWStep(*ctx, {p}, {}, schedule, norm).ok());
  const auto value = ToDoubles(*ctx, p.value);
  EXPECT_NEAR(value[0], 0.75, 1e-5);
  EXPECT_NEAR(value[1], 1.25, 1e-5);
  EXPECT_EQ(value[2], 1);
}

TEST(AdamW, DecayActsWithoutGradientsAndIsScaledByTheRate) {
  auto ctx = CpuContext();
  AdamWParameter p;
  p.value = ToTensor(*ctx, DType::kF32, {2}, {1, -2});
  p.grad = *ctx->Zeros(DType::kF32, {2});
  p.m = *ctx->Zeros(DType::kF32, {2});
  p.v = *ctx->Zeros(DType::kF32, {2});
  p.weight_decay = 0.5f;
  p.lr_scale = 0.25f;
  const Tensor schedule = ToTensor(*ctx, DType::kF32, {3}, {.5, 1, 1});
  Tensor norm = *ctx->Zeros(DType::kF32, {1});
  ASSERT_TRUE(AdamWStep(*ctx, {p}, {}, schedule, norm).ok());
  EXPECT_EQ(ToDoubles(*ctx, p.value), (std::vector<double>{0.9375, -1.875}));
}

TEST(AdamW, RefreshesTheComputeCopy) {
  auto ctx = CpuContext();
  AdamWCase c = Small();
  c.compute = true;
  const AdamWOutputs out = RunAdamW(*ctx, c);
  EXPECT_EQ(out.compute, Rounded(DType::kBF16, out.value));
}

TEST(AdamW, NaNNormPropagates) {
  auto ctx = CpuContext();
  AdamWParameter p;
  p.value = ToTensor(*ctx, DType::kF32, {2}, {1, 2});
  p.grad = ToTensor(*ctx, DType::kF32, {2},
                    {std::numeric_limits<double>::quiet_NaN(), 1});
  p.m = *ctx->Zeros(DType::kF32, {2});
  p.v = *ctx->Zeros(DType::kF32, {2});
  Tensor norm;
  ASSERT_TRUE(GlobalNorm(*ctx, {p.grad}, &norm).ok());
  EXPECT_TRUE(std::isnan(ToDoubles(*ctx, norm)[0]));
  const Tensor schedule = ToTensor(*ctx, DType::kF32, {3}, {.5, 1, 1});
  ASSERT_TRUE(AdamWStep(*ctx, {p}, {}, schedule, norm).ok());
  for (double x : ToDoubles(*ctx, p.value)) EXPECT_TRUE(std::isnan(x));
}

TEST(GlobalNorm, OfNothingIsZero) {
  auto ctx = CpuContext();
  Tensor norm;
  ASSERT_TRUE(GlobalNorm(*ctx, {}, &norm).ok());
  EXPECT_EQ(ToDoubles(*ctx, norm)[0], 0);
  ASSERT_TRUE(GlobalNorm(*ctx, {*ctx->Zeros(DType::kF32, {0, 3})}, &norm).ok());
  EXPECT_EQ(ToDoubles(*ctx, norm)[0], 0);
}

TEST(AdamW, BitsDoNotDependOnThreadsOrRepetition) {
  auto one = CpuContext(1);
  auto three = CpuContext(3);
  AdamWCase c = Small();
  c.sizes = {100003, 17, 8193};
  const AdamWOutputs a = RunAdamW(*one, c);
  for (Context* ctx : {one.get(), three.get()}) {
    const AdamWOutputs b = RunAdamW(*ctx, c);
    EXPECT_EQ(a.norm, b.norm);
    EXPECT_EQ(a.value, b.value);
    EXPECT_EQ(a.v, b.v);
  }
}

TEST(AdamW, RejectsWhatDoesNotFit) {
  auto ctx = CpuContext();
  AdamWParameter p;
  p.value = *ctx->Zeros(DType::kF32, {2, 3});
  p.grad = p.m = p.v = *ctx->Zeros(DType::kF32, {2, 3});
  EXPECT_TRUE(AdamWSupports({p}, {}, Device::kCPU).ok());
  EXPECT_FALSE(AdamWSupports({p}, {}, Device::kCUDA).ok());
  AdamWParameter wrong = p;
  wrong.grad = *ctx->Zeros(DType::kF32, {6});
  const absl::Status status = AdamWSupports({p, wrong}, {}, Device::kCPU);
  EXPECT_NE(status.message().find("grad of parameter 1"),
            absl::string_view::npos)
      << status;
  wrong = p;
  wrong.compute = *ctx->Zeros(DType::kF32, {2, 3});
  EXPECT_FALSE(AdamWSupports({wrong}, {}, Device::kCPU).ok());
  AdamWOptions options;
  options.beta2 = 1.0f;
  EXPECT_FALSE(AdamWSupports({p}, options, Device::kCPU).ok());
  options.beta2 = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(AdamWSupports({p}, options, Device::kCPU).ok());
  Tensor norm = *ctx->Zeros(DType::kF32, {2});
  EXPECT_FALSE(GlobalNorm(*ctx, {p.grad}, &norm).ok());
  EXPECT_FALSE(AdamWStep(*ctx, {p}, {}, norm, norm).ok());
}

}  // namespace
}  // namespace lt2::kernels
