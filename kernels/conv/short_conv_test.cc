#include "kernels/conv/short_conv.h"

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/conv/short_conv_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::ContractPool;
using ::lt2::testing::CpuContext;
using ::lt2::testing::FiniteDifferences;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Near;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

TEST(ShortConvReference, GradientIsTheFiniteDifference) {
  for (bool silu : {false, true}) {
    for (int64_t width : {1, 2, 4}) {
      const ShortConvProblem problem = MakeShortConvProblem(
          DType::kF32, 2, 5, 3, width, true, silu, 1, width > 1);
      const ShortConvReferenceGrad grad =
          ShortConvGradReference<double>(problem.in, problem.dy);
      auto difference =
          [&](std::vector<double> ShortConvReferenceInput::*which) {
            return FiniteDifferences(
                [&](const std::vector<double>& values) {
                  ShortConvReferenceInput in = problem.in;
                  in.*which = values;
                  const auto y = ShortConvReference<double>(in).y;
                  double loss = 0;
                  for (size_t i = 0; i < y.size(); ++i) {
                    loss += problem.dy[i] * y[i];
                  }
                  return loss;
                },
                problem.in.*which);
          };
      EXPECT_TRUE(Near(difference(&ShortConvReferenceInput::x), grad.dx, 1e-8));
      EXPECT_TRUE(Near(difference(&ShortConvReferenceInput::weight),
                       grad.dweight, 1e-8));
      EXPECT_TRUE(
          Near(difference(&ShortConvReferenceInput::bias), grad.dbias, 1e-8));
    }
  }
}

TEST(ShortConv, MeetsTheContractForAnyShape) {
  auto ctx = CpuContext(2);
  ContractPool pool;
  for (int64_t width : {1, 2, 3, 4, 5, 8}) {
    for (int64_t seq : {1, 2, 3, 4, 5, 31, 70}) {
      for (int64_t channels : {1, 7, 8, 33}) {
        for (bool state : {false, true}) {
          const ShortConvProblem problem = MakeShortConvProblem(
              DType::kF32, 2, seq, channels, width, state && width > 1, true);
          AddToPool(problem, RunShortConv(*ctx, problem), &pool);
        }
      }
    }
  }
  pool.Check();
}

TEST(ShortConv, MeetsTheContractWithoutSilu) {
  auto ctx = CpuContext();
  ContractPool pool;
  for (int64_t seq : {1, 5, 40}) {
    const ShortConvProblem problem =
        MakeShortConvProblem(DType::kF32, 3, seq, 17, 4, true, false);
    AddToPool(problem, RunShortConv(*ctx, problem), &pool);
  }
  pool.Check();
}

TEST(ShortConv, MeetsTheContractWithABias) {
  auto ctx = CpuContext(2);
  ContractPool pool;
  for (int64_t width : {1, 4, 8}) {
    for (int64_t seq : {1, 3, 5, 70}) {
      for (int64_t channels : {1, 8, 33}) {
        for (bool silu : {false, true}) {
          const ShortConvProblem problem = MakeShortConvProblem(
              DType::kF32, 2, seq, channels, width, width > 1, silu, 1, true);
          AddToPool(problem, RunShortConv(*ctx, problem), &pool);
        }
      }
    }
  }
  pool.Check();
}

TEST(ShortConv, MeetsTheContractForExtremeValues) {
  auto ctx = CpuContext();
  for (double scale : {0.0, 1e-20, 40.0, 1e15}) {
    ContractPool pool;
    const ShortConvProblem problem =
        MakeShortConvProblem(DType::kF32, 3, 20, 17, 4, true, true, scale);
    AddToPool(problem, RunShortConv(*ctx, problem), &pool);
    pool.Check();
  }
}

TEST(ShortConv, SplitIntoSegmentsHasTheBitsOfTheWhole) {
  auto ctx = CpuContext(2);
  for (int64_t width : {2, 4, 8}) {
    for (bool state : {false, true}) {
      const ShortConvProblem problem = MakeShortConvProblem(
          DType::kF32, 2, 20, 9, width, state, true, 1, state);
      const ShortConvReferenceOutput whole = RunShortConv(*ctx, problem).output;
      const std::vector<std::vector<int64_t>> splits = {
          {20},    {10, 10},         {1, 19},
          {19, 1}, {2, 1, 0, 2, 15}, std::vector<int64_t>(20, 1)};
      for (const std::vector<int64_t>& lengths : splits) {
        const auto parts = RunInSegments(*ctx, problem, lengths);
        EXPECT_EQ(parts.y, whole.y);
        EXPECT_EQ(parts.final_state, whole.final_state);
      }
    }
  }
}

TEST(ShortConv, OutputsDoNotDependOnTheFuture) {
  auto ctx = CpuContext();
  ShortConvProblem problem =
      MakeShortConvProblem(DType::kF32, 1, 10, 3, 4, false, true);
  const std::vector<double> before = RunShortConv(*ctx, problem).output.y;
  for (int64_t i = 5 * 3; i < 10 * 3; ++i) problem.in.x[i] = std::nan("");
  const std::vector<double> after = RunShortConv(*ctx, problem).output.y;
  for (int64_t i = 0; i < 5 * 3; ++i) EXPECT_EQ(before[i], after[i]);
}

TEST(ShortConv, ContractRejectsShiftedTapsAndALostState) {
  const ShortConvProblem problem =
      MakeShortConvProblem(DType::kF32, 2, 30, 9, 4, true, true);
  const ShortConvReferenceInput& in = problem.in;
  const auto exact = ShortConvReference<double>(in);
  const auto plain = ShortConvReference<float>(in);
  const auto exact_grad = ShortConvGradReference<double>(in, problem.dy);
  const auto plain_grad = ShortConvGradReference<float>(in, problem.dy);
  // No state: only the first three outputs of each sequence change.
  ShortConvReferenceInput lost = in;
  lost.state.clear();
  EXPECT_FALSE(MeetsContract(ShortConvReference<double>(lost).y, plain.y,
                             exact.y, DType::kF32));
  EXPECT_FALSE(
      MeetsContract(ShortConvGradReference<double>(lost, problem.dy).dweight,
                    plain_grad.dweight, exact_grad.dweight, DType::kF32));
  // Taps in reverse: convolution where correlation is meant.
  ShortConvReferenceInput reversed = in;
  for (int64_t c = 0; c < in.channels; ++c) {
    std::reverse(reversed.weight.begin() + c * in.width,
                 reversed.weight.begin() + (c + 1) * in.width);
  }
  EXPECT_FALSE(MeetsContract(ShortConvReference<double>(reversed).y, plain.y,
                             exact.y, DType::kF32));
  EXPECT_FALSE(
      MeetsContract(ShortConvGradReference<double>(reversed, problem.dy).dx,
                    plain_grad.dx, exact_grad.dx, DType::kF32));
}

TEST(ShortConv, ContractRejectsABiasThatTheActivationDoesNotSee) {
  const ShortConvProblem problem =
      MakeShortConvProblem(DType::kF32, 2, 30, 9, 4, true, true, 1, true);
  const ShortConvReferenceInput& in = problem.in;
  const auto exact = ShortConvReference<double>(in);
  const auto plain = ShortConvReference<float>(in);
  const auto exact_grad = ShortConvGradReference<double>(in, problem.dy);
  const auto plain_grad = ShortConvGradReference<float>(in, problem.dy);
  ShortConvReferenceInput without = in;
  without.bias.clear();
  std::vector<double> y = ShortConvReference<double>(without).y;
  std::vector<double> dbias(in.channels);  // of a bias behind the activation
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] += in.bias[i % in.channels];
    dbias[i % in.channels] += problem.dy[i];
  }
  EXPECT_FALSE(MeetsContract(y, plain.y, exact.y, DType::kF32));
  EXPECT_FALSE(
      MeetsContract(dbias, plain_grad.dbias, exact_grad.dbias, DType::kF32));
}

TEST(ShortConv, ABiasOfZeroHasTheBitsOfNone) {
  auto ctx = CpuContext();
  const ShortConvProblem none =
      MakeShortConvProblem(DType::kF32, 2, 30, 9, 4, true, true);
  ShortConvProblem zero = none;
  zero.in.bias.assign(9, 0.0);
  const ShortConvActual one = RunShortConv(*ctx, none);
  const ShortConvActual two = RunShortConv(*ctx, zero);
  EXPECT_EQ(one.output.y, two.output.y);
  EXPECT_EQ(one.grad.dx, two.grad.dx);
  EXPECT_EQ(one.grad.dweight, two.grad.dweight);
}

TEST(ShortConv, SameBitsForAnyNumberOfThreadsAndEveryTime) {
  const ShortConvProblem problem =
      MakeShortConvProblem(DType::kF32, 3, 100, 33, 4, true, true, 1, true);
  const ShortConvActual one = RunShortConv(*CpuContext(1), problem);
  for (int threads : {1, 3}) {
    const ShortConvActual other = RunShortConv(*CpuContext(threads), problem);
    EXPECT_EQ(one.output.y, other.output.y);
    EXPECT_EQ(one.grad.dx, other.grad.dx);
    EXPECT_EQ(one.grad.dweight, other.grad.dweight);
    EXPECT_EQ(one.grad.dbias, other.grad.dbias);
  }
}

TEST(ShortConv, EmptySequencesKeepTheStateAndGiveNoGradient) {
  auto ctx = CpuContext();
  for (bool state : {false, true}) {
    const ShortConvProblem problem =
        MakeShortConvProblem(DType::kF32, 2, 0, 3, 4, state, true, 1, true);
    const ShortConvActual actual = RunShortConv(*ctx, problem);
    EXPECT_TRUE(actual.output.y.empty());
    EXPECT_EQ(actual.output.final_state,
              state ? problem.in.state : std::vector<double>(2 * 3 * 3));
    EXPECT_EQ(actual.grad.dweight, std::vector<double>(3 * 4));
    EXPECT_EQ(actual.grad.dbias, std::vector<double>(3));
  }
  const ShortConvProblem none =
      MakeShortConvProblem(DType::kF32, 0, 5, 3, 4, false, true);
  EXPECT_TRUE(RunShortConv(*ctx, none).output.y.empty());
}

TEST(ShortConv, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {2, 5, 3});
  const Tensor weight = *ctx->Zeros(DType::kF32, {3, 4});
  EXPECT_TRUE(ShortConvSupports({x, weight}).ok());
  EXPECT_EQ(ShortConvSupports({x, *ctx->Zeros(DType::kF32, {3, 9})}).message(),
            "weight: expected [channels, width] with width 1 to 8, got "
            "f32[3, 9]@cpu");
  EXPECT_FALSE(ShortConvSupports({x, *ctx->Zeros(DType::kF32, {4, 4})}).ok());
  EXPECT_FALSE(ShortConvSupports({x, Tensor()}).ok());
  EXPECT_FALSE(ShortConvSupports({weight, weight}).ok());
  EXPECT_FALSE(ShortConvSupports({Tensor(), weight}).ok());
  EXPECT_EQ(ShortConvSupports({x, weight, x}).message(),
            "initial_state: expected f32[2, 3, 3]@cpu, got f32[2, 5, 3]@cpu");
  EXPECT_FALSE(ShortConvGradSupports({x, weight, Tensor(), weight}).ok());
  const Tensor three = *ctx->Zeros(DType::kF32, {3});
  EXPECT_TRUE(ShortConvSupports({x, weight, Tensor(), true, three}).ok());
  EXPECT_EQ(ShortConvSupports({x, weight, Tensor(), true, weight}).message(),
            "bias: expected f32[3]@cpu, got f32[3, 4]@cpu");
  ShortConvResults results;
  results.final_state = x;
  EXPECT_FALSE(ShortConv(*ctx, {x, weight}, &results).ok());
}

}  // namespace
}  // namespace lt2::kernels
