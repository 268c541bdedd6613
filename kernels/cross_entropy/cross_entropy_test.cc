#include "kernels/cross_entropy/cross_entropy.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/cross_entropy/cross_entropy_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::MeetsContract;

TEST(CrossEntropy, MeetsContractForManySizes) {
  auto ctx = CpuContext();
  const int64_t sizes[][2] = {{1, 1},   {3, 2},    {37, 15},  {64, 16},
                              {10, 17}, {100, 97}, {2, 4099}, {7, 50257}};
  for (const auto& size : sizes) {
    const auto in = MakeCrossEntropyInputs(size[0], size[1]);
    ExpectCrossEntropyContract(RunCrossEntropy(*ctx, in), in);
  }
  const auto wide = MakeCrossEntropyInputs(20, 300, 80);
  ExpectCrossEntropyContract(RunCrossEntropy(*ctx, wide), wide);
}

TEST(CrossEntropy, ContractRejectsWrongTwins) {
  auto ctx = CpuContext();
  auto in = MakeCrossEntropyInputs(20, 30);
  const auto plain =
      CrossEntropyGradReference<float>(in.logits, in.targets, in.vocab);
  const auto fp64 =
      CrossEntropyGradReference<double>(in.logits, in.targets, in.vocab);
  const auto plain_loss =
      CrossEntropyReference<float>(in.logits, in.targets, in.vocab).loss;
  const auto loss =
      CrossEntropyReference<double>(in.logits, in.targets, in.vocab).loss;
  // The sum leaves out the last token.
  auto short_sum = in;
  for (int64_t i = 0; i < in.n; ++i) {
    short_sum.logits[i * in.vocab + in.vocab - 1] = -1e4;
    if (short_sum.targets[i] == in.vocab - 1) short_sum.targets[i] = 0;
  }
  EXPECT_FALSE(MeetsContract(RunCrossEntropy(*ctx, short_sum).loss, plain_loss,
                             loss, DType::kF32));
  // Divides by the number of rows, ignored ones too.
  auto twin = RunCrossEntropy(*ctx, in).gradient;
  for (double& g : twin) g *= 16.0 / 20.0;
  EXPECT_FALSE(MeetsContract(twin, plain, fp64, DType::kF32));
  // Counts an ignored row.
  for (int32_t& t : in.targets) t = t == kIgnoreTarget ? 0 : t;
  EXPECT_FALSE(MeetsContract(RunCrossEntropy(*ctx, in).gradient, plain, fp64,
                             DType::kF32));
}

TEST(CrossEntropy, ReferenceGradientMatchesFiniteDifferences) {
  const auto in = MakeCrossEntropyInputs(6, 5, 2);
  auto mean = [&](const std::vector<double>& logits) {
    return CrossEntropyReference<double>(logits, in.targets, in.vocab).mean;
  };
  EXPECT_TRUE(testing::Near(
      CrossEntropyGradReference<double>(in.logits, in.targets, in.vocab),
      testing::FiniteDifferences(mean, in.logits), 1e-8));
}

TEST(CrossEntropy, MaskedHugeAndTiedLogits) {
  auto ctx = CpuContext();
  ExpectExtremeRows(*ctx, 6);
  ExpectExtremeRows(*ctx, 16);
  ExpectExtremeRows(*ctx, 37);
}

TEST(CrossEntropy, NoCountedRowGivesZero) {
  auto ctx = CpuContext();
  for (const int64_t n : {0, 3}) {
    auto in = MakeCrossEntropyInputs(n, 4);
    in.targets.assign(n, kIgnoreTarget);
    const auto out = RunCrossEntropy(*ctx, in);
    EXPECT_EQ(out.mean[0], 0);
    EXPECT_EQ(out.count[0], 0);
    EXPECT_EQ(out.gradient, std::vector<double>(n * 4, 0.0));
  }
}

TEST(CrossEntropy, NaNLogitsGiveNaNLossOfTheirRowOnly) {
  auto ctx = CpuContext();
  auto in = MakeCrossEntropyInputs(3, 40);
  for (const int64_t v : {0, 5, 39}) {
    auto bad = in;
    bad.logits[40 + v] = std::nan("");
    const auto out = RunCrossEntropy(*ctx, bad);
    EXPECT_TRUE(std::isfinite(out.loss[0]));
    EXPECT_TRUE(std::isnan(out.loss[1]));
    EXPECT_TRUE(std::isfinite(out.loss[2]));
    EXPECT_TRUE(std::isnan(out.mean[0]));
  }
}

TEST(CrossEntropy, GradientMayReplaceTheLogits) {
  auto ctx = CpuContext();
  const auto in = MakeCrossEntropyInputs(9, 21);
  const auto expected = RunCrossEntropy(*ctx, in).gradient;
  Tensor logits = testing::ToTensor(*ctx, DType::kF32, {9, 21}, in.logits);
  const Tensor targets = *ctx->FromHost<int32_t>(in.targets, {9});
  CrossEntropyResults results;
  ASSERT_TRUE(CrossEntropy(*ctx, {logits, targets}, &results).ok());
  ASSERT_TRUE(CrossEntropyGrad(
                  *ctx, {logits, targets, results.lse, results.count}, &logits)
                  .ok());
  EXPECT_EQ(testing::ToDoubles(*ctx, logits), expected);
}

TEST(CrossEntropy, BitsDoNotDependOnThreadsOrRepetition) {
  auto one = CpuContext(1);
  auto three = CpuContext(3);
  const auto in = MakeCrossEntropyInputs(501, 333);
  const auto a = RunCrossEntropy(*one, in);
  for (Context* ctx : {one.get(), three.get()}) {
    const auto b = RunCrossEntropy(*ctx, in);
    EXPECT_EQ(a.loss, b.loss);
    EXPECT_EQ(a.lse, b.lse);
    EXPECT_EQ(a.mean, b.mean);
    EXPECT_EQ(a.gradient, b.gradient);
  }
}

TEST(CrossEntropy, RejectsBadTargetsAndShapes) {
  auto ctx = CpuContext();
  const Tensor logits = *ctx->Zeros(DType::kF32, {2, 3});
  CrossEntropyResults results;
  for (const int32_t bad : {3, -1, -99}) {
    const Tensor targets = *ctx->FromHost<int32_t>({0, bad}, {2});
    const absl::Status status = CrossEntropy(*ctx, {logits, targets}, &results);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(absl::StrCat("target ", bad, " of row 1")),
              absl::string_view::npos)
        << status;
  }
  const Tensor targets = *ctx->Zeros(DType::kI32, {3});
  EXPECT_FALSE(CrossEntropy(*ctx, {logits, targets}, &results).ok());
  EXPECT_FALSE(
      CrossEntropy(*ctx, {logits.Reshape({6}), targets}, &results).ok());
  EXPECT_FALSE(
      CrossEntropySupports({*ctx->Zeros(DType::kF32, {3, 0}), targets}).ok());
  EXPECT_FALSE(
      CrossEntropyGradSupports({logits, *ctx->Zeros(DType::kI32, {2}),
                                *ctx->Zeros(DType::kF32, {2}),
                                *ctx->Zeros(DType::kF32, {1}), DType::kBF16})
          .ok());
}

}  // namespace
}  // namespace lt2::kernels
