#include "gtest/gtest.h"
#include "kernels/exit_gate/exit_gate_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;

TEST(ExitGateCuda, FollowsItsDefinitionAndAShiftedGateShows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  CheckExitGate(*ctx);
}

TEST(ExitGateCuda, NoTokensAreFine) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExitGateResults r;
  ASSERT_TRUE(ExitGate(*ctx, {*ctx->Zeros(DType::kF32, {3, 0})}, &r).ok());
}

}  // namespace
}  // namespace lt2::kernels
