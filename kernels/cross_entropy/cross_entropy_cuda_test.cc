#include <cmath>

#include "gtest/gtest.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/cross_entropy/cross_entropy_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;
using ::lt2::testing::MeetsContract;

TEST(CrossEntropyCuda, MeetsContractForManySizes) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  // Enough rows for an RMS error to mean something.
  const int64_t sizes[][2] = {{1, 1},     {30, 2},     {37, 15},   {64, 16},
                              {40, 33},   {20, 2048},  {20, 2049}, {20, 2052},
                              {16, 4099}, {12, 50257}, {8, 65536}, {20000, 3},
                              {8193, 4}};
  for (const DType out : {DType::kF32, DType::kBF16}) {
    for (const auto& size : sizes) {
      const auto in = MakeCrossEntropyInputs(size[0], size[1]);
      ExpectCrossEntropyContract(RunCrossEntropy(*ctx, in, out), in, out);
    }
    const auto wide = MakeCrossEntropyInputs(20, 300, 80);
    ExpectCrossEntropyContract(RunCrossEntropy(*ctx, wide, out), wide, out);
  }
}

TEST(CrossEntropyCuda, ContractRejectsWrongTwin) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto in = MakeCrossEntropyInputs(20, 30);
  const auto plain =
      CrossEntropyGradReference<float>(in.logits, in.targets, in.vocab);
  const auto fp64 =
      CrossEntropyGradReference<double>(in.logits, in.targets, in.vocab);
  for (int32_t& t : in.targets) t = t == kIgnoreTarget ? 0 : t;
  EXPECT_FALSE(MeetsContract(RunCrossEntropy(*ctx, in).gradient, plain, fp64,
                             DType::kF32));
}

TEST(CrossEntropyCuda, MaskedHugeAndTiedLogits) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const int64_t vocab : {6, 16, 37, 4000, 4001}) {
    SCOPED_TRACE(vocab);
    ExpectExtremeRows(*ctx, vocab);
  }
}

TEST(CrossEntropyCuda, NoCountedRowGivesZero) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const int64_t n : {0, 3}) {
    auto in = MakeCrossEntropyInputs(n, 4);
    in.targets.assign(n, kIgnoreTarget);
    const auto out = RunCrossEntropy(*ctx, in);
    EXPECT_EQ(out.mean[0], 0);
    EXPECT_EQ(out.count[0], 0);
    EXPECT_EQ(out.gradient, std::vector<double>(n * 4, 0.0));
  }
}

TEST(CrossEntropyCuda, BadTargetsAndNaNLogitsGiveNaNRows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const int64_t vocab : {40, 4096}) {
    auto in = MakeCrossEntropyInputs(5, vocab);
    in.targets[1] = static_cast<int32_t>(vocab);
    in.targets[2] = -1;
    in.logits[3 * vocab + 7] = std::nan("");
    const auto out = RunCrossEntropy(*ctx, in);
    for (int64_t i = 0; i < 5; ++i) {
      const bool bad = i >= 1 && i <= 3;
      EXPECT_EQ(std::isnan(out.loss[i]), bad) << "row " << i;
      EXPECT_EQ(std::isnan(out.gradient[i * vocab]), bad) << "row " << i;
    }
  }
}

TEST(CrossEntropyCuda, GradientMayReplaceTheLogits) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const auto in = MakeCrossEntropyInputs(9, 2100);
  const auto expected = RunCrossEntropy(*ctx, in).gradient;
  Tensor logits = testing::ToTensor(*ctx, DType::kF32, {9, 2100}, in.logits);
  const Tensor targets = *ctx->FromHost<int32_t>(in.targets, {9});
  CrossEntropyResults results;
  ASSERT_TRUE(CrossEntropy(*ctx, {logits, targets}, &results).ok());
  ASSERT_TRUE(CrossEntropyGrad(
                  *ctx, {logits, targets, results.lse, results.count}, &logits)
                  .ok());
  EXPECT_EQ(testing::ToDoubles(*ctx, logits), expected);
}

TEST(CrossEntropyCuda, SameBitsEveryRun) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const int64_t vocab : {100, 5000}) {
    const auto in = MakeCrossEntropyInputs(1000, vocab);
    const auto a = RunCrossEntropy(*ctx, in);
    for (int repeat = 0; repeat < 3; ++repeat) {
      const auto b = RunCrossEntropy(*ctx, in);
      EXPECT_EQ(a.loss, b.loss);
      EXPECT_EQ(a.mean, b.mean);
      EXPECT_EQ(a.gradient, b.gradient);
    }
  }
}

}  // namespace
}  // namespace lt2::kernels
