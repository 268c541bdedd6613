#include "gtest/gtest.h"
#include "model/looped/forms_testing.h"

namespace lt2::model {
namespace {

using testing::CudaContext;

class EveryFormCuda : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryFormCuda,
                         ::testing::ValuesIn(TestModels(64)),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryFormCuda, ComputesTheRecurrenceInF32) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Forms(GetParam(), Gates::kInitial).Check(*ctx, DType::kF32, {1, 2, 3, 4});
}

TEST_P(EveryFormCuda, ComputesTheRecurrenceInBf16) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Forms(GetParam(), Gates::kInitial).Check(*ctx, DType::kBF16, {1, 2, 3, 4});
  Forms(SelectingAll(GetParam()), Gates::kInitial)
      .Check(*ctx, DType::kBF16, {1, 2, 3, 4});
}

TEST_P(EveryFormCuda, ComputesTheRecurrenceWithExtremeGates) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Forms(GetParam(), Gates::kExtreme).Check(*ctx, DType::kF32, {1, 4});
  Forms(SelectingAll(GetParam()), Gates::kExtreme)
      .Check(*ctx, DType::kBF16, {1, 4});
}

TEST_P(EveryFormCuda, AnotherFirstTokenShows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  Forms(GetParam(), Gates::kInitial).CheckTwinIsRefused(*ctx, DType::kF32);
  Forms(SelectingAll(GetParam()), Gates::kInitial)
      .CheckTwinIsRefused(*ctx, DType::kBF16);
}

}  // namespace
}  // namespace lt2::model
