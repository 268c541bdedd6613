// Whole models on a GPU: scored and trained. That they compute what the CPU
// computes is forms_cuda_test's.

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/scoring.h"
#include "model/looped/test_models.h"
#include "model/training/train_step.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::CudaContext;
using testing::ToDoubles;

class EveryModelCuda : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryModelCuda,
                         ::testing::ValuesIn(TestModels(64)),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryModelCuda, ScoresDoNotDependOnTheRestOfTheBatch) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  constexpr int64_t kSeq = 37;
  const std::vector<int32_t> row =
      *ctx->ToHost<int32_t>(RandomIds(*ctx, 1, kSeq, 29, 1));
  std::vector<float> expected;
  for (uint64_t other : {3, 4}) {
    std::vector<int32_t> inputs = row;
    const std::vector<int32_t> rest =
        *ctx->ToHost<int32_t>(RandomIds(*ctx, 2, kSeq, 29, other));
    inputs.insert(inputs.end(), rest.begin(), rest.end());
    const std::vector<int32_t> targets(inputs.size(), 7);
    const auto scores = Score(*model, 3, kSeq, inputs, targets, {});
    ASSERT_TRUE(scores.ok()) << scores.status();
    const std::vector<float> mine(scores->nll.begin(),
                                  scores->nll.begin() + kSeq);
    if (expected.empty()) expected = mine;
    EXPECT_EQ(mine, expected);
  }
}

// Losses and final values of a few steps on two batches. With `captured`
// false every step is the first of a new TrainStep, which never uses a graph.
std::pair<std::vector<float>, std::vector<double>> TrainAFewSteps(
    Context& ctx, const nlohmann::json& json, bool captured, int steps) {
  auto model = MakeModel(ctx, json, true);
  auto optimizer = Optimizer::Create(ctx, model->parameters(), {});
  LT2_CHECK(optimizer.ok(), optimizer.status().ToString());
  auto step =
      std::make_unique<TrainStep>(*model, **optimizer, Recompute::kNothing);
  std::vector<float> losses;
  for (int n = 1; n <= steps; ++n) {
    Philox rng(n % 2, 0);
    std::vector<int32_t> inputs, targets;
    for (int i = 0; i < 2 * 70; ++i) {
      inputs.push_back(static_cast<int32_t>(rng.Below(29)));
      targets.push_back(static_cast<int32_t>(rng.Below(29)));
    }
    if (!captured) {
      step =
          std::make_unique<TrainStep>(*model, **optimizer, Recompute::kNothing);
    }
    const auto metrics = step->Run(2, 70, inputs, targets, 5e-3, n);
    LT2_CHECK(metrics.ok(), metrics.status().ToString());
    losses.push_back(metrics->loss);
  }
  LT2_CHECK(!captured || step->graph_nodes() > 0, "no graph");
  std::vector<double> values;
  for (const Parameter* p : model->parameters()) {
    const std::vector<double> v = ToDoubles(ctx, p->value);
    values.insert(values.end(), v.begin(), v.end());
  }
  return {losses, values};
}

TEST_P(EveryModelCuda, TrainsWithTheSameBitsInAGraphAndWithout) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const auto graph = TrainAFewSteps(*ctx, GetParam().json, true, 12);
  const auto eager = TrainAFewSteps(*ctx, GetParam().json, false, 12);
  const auto again = TrainAFewSteps(*ctx, GetParam().json, true, 12);
  EXPECT_EQ(graph.first, eager.first);
  EXPECT_TRUE(graph.second == eager.second);
  EXPECT_TRUE(graph.second == again.second);
  EXPECT_LT(graph.first.back(), graph.first.front());
  auto cpu = CpuContext();
  const auto host = TrainAFewSteps(*cpu, GetParam().json, false, 12);
  // Rounding differences grow from step to step: only the first ones compare.
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(graph.first[i], host.first[i], 0.03 * host.first[i])
        << "step " << i + 1;
  }
}

}  // namespace
}  // namespace lt2::model
