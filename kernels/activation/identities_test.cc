// Values that single operators must have, beside the contract that
// activation_test.cc checks for all of them.

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/activation/activation_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

TEST(DecayGate, IsLinearForLargeAndExponentialForSmallInputs) {
  auto ctx = CpuContext();
  const Tensor a = ToTensor(*ctx, DType::kF32, {4, 1}, {1000, 100, -50, -80});
  const Tensor zero = *ctx->Zeros(DType::kF32, {1});
  Tensor g;
  ASSERT_TRUE(DecayGate(*ctx, {a, zero, zero}, &g).ok());
  const std::vector<double> values = ToDoubles(*ctx, g);
  EXPECT_EQ(values[0], -1000);
  EXPECT_EQ(values[1], -100);
  EXPECT_NEAR(values[2] / -std::exp(-50.0), 1, 1e-6);
  EXPECT_NEAR(values[3] / -std::exp(-80.0), 1, 1e-6);
}

// KDA: the d_k channels of a head share its rate.
TEST(DecayGate, OfSharedRatesIsThatOfTheExpandedRates) {
  auto ctx = CpuContext();
  auto grouped =
      MakeActivationProblem(ActivationOp::kDecayGate, DType::kF32, 20, 12);
  auto expanded = grouped;
  grouped.in.p.resize(3);
  for (int c = 0; c < 12; ++c) expanded.in.p[c] = grouped.in.p[c / 4];
  const ActivationOutput one = RunActivation(*ctx, grouped);
  const ActivationOutput two = RunActivation(*ctx, expanded);
  EXPECT_EQ(one.y, two.y);
  EXPECT_EQ(one.da, two.da);
  EXPECT_EQ(one.dq, two.dq);
}

TEST(Softplus, OfLogSigmoidArgsIsLinearFarBelowAndExponentialFarAbove) {
  auto ctx = CpuContext();
  const Tensor x = ToTensor(*ctx, DType::kF32, {4, 1}, {-1000, -99, 49, 79});
  const Tensor one = ToTensor(*ctx, DType::kF32, {1}, {1});
  Tensor g;
  ASSERT_TRUE(Softplus(*ctx, LogSigmoidArgs(x, one, 16), &g).ok());
  const std::vector<double> values = ToDoubles(*ctx, g);
  EXPECT_EQ(values[0], -999.0 / 16);
  EXPECT_EQ(values[1], -98.0 / 16);
  EXPECT_NEAR(values[2] / (-std::exp(-50.0) / 16), 1, 1e-6);
  EXPECT_NEAR(values[3] / (-std::exp(-80.0) / 16), 1, 1e-6);
}

// HGRN2's key 1 - e^g with g = logsigmoid(x), which in this form keeps its
// digits where e^g is close to 1.
TEST(Sigmoid, OfSlopeMinusOneIsOneMinusTheExponentialOfLogSigmoid) {
  auto ctx = CpuContext();
  const std::vector<double> inputs = {-30, -3, 0, 2, 20, 60};
  const Tensor x = ToTensor(*ctx, DType::kF32, {6}, inputs);
  Tensor k;
  ASSERT_TRUE(Sigmoid(*ctx, {x, 1.0f, DType::kF32, -1.0f}, &k).ok());
  const std::vector<double> values = ToDoubles(*ctx, k);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double g = -std::log1p(std::exp(-inputs[i]));
    EXPECT_NEAR(values[i] / -std::expm1(g), 1, 1e-6) << inputs[i];
  }
}

TEST(Cast, RoundsToNearestEvenAndBack) {
  auto ctx = CpuContext();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> values = testing::Uniform(1, 1001, -100, 100);
  values.insert(values.end(), {1.00390625, 1.01171875, -0.0, inf, -inf});
  const int64_t n = values.size();
  const Tensor x = ToTensor(*ctx, DType::kF32, {n}, values);
  Tensor narrow, wide, same;
  ASSERT_TRUE(Cast(*ctx, {x, DType::kBF16}, &narrow).ok());
  ASSERT_TRUE(Cast(*ctx, {narrow, DType::kF32}, &wide).ok());
  EXPECT_EQ(wide.dtype(), DType::kF32);
  EXPECT_EQ(ToDoubles(*ctx, wide), testing::Rounded(DType::kBF16, values));
  ASSERT_TRUE(Cast(*ctx, {x, DType::kF32}, &same).ok());
  EXPECT_EQ(ToDoubles(*ctx, same), ToDoubles(*ctx, x));
  EXPECT_FALSE(CastSupports({x, DType::kI32}).ok());
}

}  // namespace
}  // namespace lt2::kernels
