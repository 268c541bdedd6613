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

struct Trained {
  std::vector<float> losses;
  std::vector<double> values;  // of all parameters
};

// A few steps on two batches. With `captured` false every step is the first of
// a new TrainStep, which never uses a graph.
absl::StatusOr<Trained> TrainAFewSteps(Context& ctx, const nlohmann::json& json,
                                       bool captured, Recompute recompute,
                                       int steps) {
  auto model = MakeModel(ctx, json, true);
  LT2_ASSIGN_OR_RETURN(auto optimizer,
                       Optimizer::Create(ctx, model->parameters(), {}));
  auto step = std::make_unique<TrainStep>(*model, *optimizer, recompute);
  Trained result;
  for (int n = 1; n <= steps; ++n) {
    Philox rng(n % 2, 0);
    std::vector<int32_t> inputs, targets;
    for (int i = 0; i < 2 * 70; ++i) {
      inputs.push_back(static_cast<int32_t>(rng.Below(29)));
      targets.push_back(static_cast<int32_t>(rng.Below(29)));
    }
    if (!captured) {
      step = std::make_unique<TrainStep>(*model, *optimizer, recompute);
    }
    LT2_ASSIGN_OR_RETURN(const StepMetrics metrics,
                         step->Run(2, 70, inputs, targets, 5e-3, n));
    result.losses.push_back(metrics.loss);
  }
  if (captured && step->graph_nodes() == 0) {
    return absl::InternalError("no graph was captured");
  }
  for (const Parameter* p : model->parameters()) {
    const std::vector<double> v = ToDoubles(ctx, p->value);
    result.values.insert(result.values.end(), v.begin(), v.end());
  }
  return result;
}

// Twelve steps: the one with the warm-up (dsa_warmup) is captured twice.
TEST_P(EveryModelCuda, TrainsWithTheSameBitsInAGraphAndWithout) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (Recompute recompute : {Recompute::kNothing, Recompute::kBlocks}) {
    const auto graph =
        TrainAFewSteps(*ctx, GetParam().json, true, recompute, 12);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto eager =
        TrainAFewSteps(*ctx, GetParam().json, false, recompute, 12);
    ASSERT_TRUE(eager.ok()) << eager.status();
    EXPECT_EQ(graph->losses, eager->losses);
    EXPECT_TRUE(graph->values == eager->values);
    EXPECT_LT(graph->losses.back(), graph->losses.front());
    if (recompute != Recompute::kNothing) continue;
    const auto again =
        TrainAFewSteps(*ctx, GetParam().json, true, recompute, 12);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(graph->values == again->values);
    auto cpu = CpuContext();
    const auto host =
        TrainAFewSteps(*cpu, GetParam().json, false, recompute, 3);
    ASSERT_TRUE(host.ok()) << host.status();
    // Rounding differences grow from step to step: the first ones compare.
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(graph->losses[i], host->losses[i], 0.03 * host->losses[i])
          << "step " << i + 1;
    }
  }
}

}  // namespace
}  // namespace lt2::model
