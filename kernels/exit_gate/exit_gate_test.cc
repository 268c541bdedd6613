#include "kernels/exit_gate/exit_gate.h"

#include <limits>

#include "gtest/gtest.h"
#include "kernels/exit_gate/exit_gate_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;

TEST(ExitGate, FollowsItsDefinitionAndAShiftedGateShows) {
  auto ctx = CpuContext(3);
  CheckExitGate(*ctx);
}

TEST(ExitGate, AWorkedExample) {
  auto ctx = CpuContext();
  // lam = 1/2, 1/2, (unused): p = 1/2, 1/4, 1/4.
  for (const auto& [threshold, step] :
       {std::pair(0.5f, 0.0), std::pair(0.51f, 1.0), std::pair(0.75f, 1.0),
        std::pair(0.76f, 2.0), std::pair(1.0f, 2.0), std::pair(1.5f, 2.0)}) {
    const ExitGateOutcome got =
        RunExitGate(*ctx, {0, 0, 50}, 3, 1, threshold, ExitWeight::kThreshold);
    EXPECT_EQ(got.probability, (std::vector<double>{0.5, 0.25, 0.25}));
    EXPECT_EQ(got.step[0], step) << threshold;
    EXPECT_EQ(got.weight[static_cast<size_t>(step)], 1);
  }
}

TEST(ExitGate, ANanLogitLeavesLast) {
  auto ctx = CpuContext();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const ExitGateOutcome got =
      RunExitGate(*ctx, {nan, 0, 0}, 3, 1, 0.5f, ExitWeight::kThreshold);
  EXPECT_EQ(got.step[0], 2);
}

TEST(ExitGate, ThreadsDoNotChangeTheBits) {
  auto one = CpuContext(1), three = CpuContext(3);
  const auto z = testing::Uniform(3, 4 * 5000, -4, 4);
  const auto a = RunExitGate(*one, z, 4, 5000, 0.6f, ExitWeight::kWeighted);
  const auto b = RunExitGate(*three, z, 4, 5000, 0.6f, ExitWeight::kWeighted);
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.step, b.step);
}

TEST(ExitGate, NoTokensAreFineAndWrongLogitsAreErrors) {
  auto ctx = CpuContext();
  ExitGateResults r;
  ASSERT_TRUE(ExitGate(*ctx, {*ctx->Zeros(DType::kF32, {3, 0})}, &r).ok());
  EXPECT_EQ(r.step.numel(), 0);
  EXPECT_FALSE(ExitGateSupports({}).ok());
  EXPECT_FALSE(ExitGateSupports({*ctx->Zeros(DType::kF32, {0, 3})}).ok());
  EXPECT_FALSE(ExitGateSupports({*ctx->Zeros(DType::kI32, {2, 3})}).ok());
  ExitGateResults other;
  EXPECT_EQ(ExitGate(*ctx, {*ctx->Zeros(DType::kF32, {4})}, &other).message(),
            "ExitGate: logits: expected f32 [loops >= 1, n], got f32[4]@cpu");
}

}  // namespace
}  // namespace lt2::kernels
