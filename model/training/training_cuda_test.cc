// Whole models on a GPU: scored and trained. That they compute what the CPU
// computes is forms_cuda_test's.

#include <cmath>
#include <cstdio>

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
// a new TrainStep, which never uses a graph. A seed `rounding` > 0 starts from
// weights that are off by roundings to bf16.
absl::StatusOr<Trained> TrainAFewSteps(Context& ctx, const nlohmann::json& json,
                                       bool captured, Recompute recompute,
                                       int steps, uint64_t rounding = 0) {
  auto model = MakeModel(ctx, json, true);
  if (rounding > 0) RoundWeights(*model, 1.0 / 512, rounding);
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

// The first losses are those of the CPU in f32, as far as rounding lets them.
// Roundings grow from step to step, in one model more than in another (Adam's
// first steps have the size of the learning rate however small a gradient is).
// How far is measured, as in forms_testing.h: trainings on the CPU from weights
// that are off by roundings. Eight times that, because a GPU rounds
// activations too.
void ExpectLossesOfTheCpu(const nlohmann::json& json,
                          const std::vector<float>& losses) {
  constexpr int kSteps = 3, kDraws = 4;
  auto cpu = CpuContext();
  auto train = [&](uint64_t rounding) {
    auto trained = TrainAFewSteps(*cpu, json, false, Recompute::kNothing,
                                  kSteps, rounding);
    LT2_CHECK(trained.ok(), trained.status().ToString());
    return trained->losses;
  };
  const std::vector<float> host = train(0);
  std::vector<double> squares(kSteps);
  for (int draw = 1; draw <= kDraws; ++draw) {
    const std::vector<float> moved = train(draw);
    for (int i = 0; i < kSteps; ++i) {
      squares[i] += std::pow(moved[i] - host[i], 2) / kDraws;
    }
  }
  for (int i = 0; i < kSteps; ++i) {
    const double limit = 8 * std::sqrt(squares[i]) + host[i] / 256;
    std::printf("step %d: %.4f, CPU %.4f, limit %.4f\n", i + 1, losses[i],
                host[i], limit);
    EXPECT_NEAR(losses[i], host[i], limit) << "step " << i + 1;
  }
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
    ExpectLossesOfTheCpu(GetParam().json, graph->losses);
  }
}

}  // namespace
}  // namespace lt2::model
