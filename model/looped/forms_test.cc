#include <set>

#include "gtest/gtest.h"
#include "model/looped/forms_testing.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::Near;

class EveryForm : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryForm, ::testing::ValuesIn(TestModels(32)),
                         [](const auto& kind) { return kind.param.name; });

TEST(EveryMixer, IsInATestedModel) {
  std::set<std::string> tested;
  for (const TestModel& kind : TestModels(32)) {
    const auto config = ModelConfig::FromJson(kind.json, "model");
    ASSERT_TRUE(config.ok()) << config.status();
    for (const std::string& type : config->LayerTypes()) tested.insert(type);
  }
  for (const std::string& name : MixerNames()) {
    EXPECT_EQ(tested.count(name), 1u) << name;
  }
}

TEST_P(EveryForm, ComputesTheRecurrence) {
  auto ctx = CpuContext();
  Forms(GetParam(), Gates::kInitial).Check(*ctx, DType::kF32, {1, 2, 3, 4});
}

TEST_P(EveryForm, ComputesTheRecurrenceWithExtremeGates) {
  auto ctx = CpuContext();
  Forms(GetParam(), Gates::kExtreme).Check(*ctx, DType::kF32, {1, 4});
}

TEST_P(EveryForm, AnotherFirstTokenShows) {
  auto ctx = CpuContext();
  Forms(GetParam(), Gates::kInitial).CheckTwinIsRefused(*ctx, DType::kF32);
}

TEST_P(EveryForm, RowsOfABatchAreSequencesOfTheirOwn) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  const Tensor ids = RandomIds(*ctx, 2, 23, 29, 1);
  const std::vector<double> whole = LogitsOf(*model, ids);
  const int64_t loops = model->config().loop_count;
  for (const std::vector<int64_t>& pieces :
       {std::vector<int64_t>(23, 1), {10, 13}, {16, 1, 1, 1, 1, 1, 1, 1}}) {
    EXPECT_TRUE(Near(InPieces(*model, ids, pieces, loops), whole, 2e-5))
        << pieces.size() << " pieces";
  }
}

}  // namespace
}  // namespace lt2::model
