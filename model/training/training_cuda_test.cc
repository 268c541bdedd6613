// Whole models on a GPU: against the CPU, in segments, and trained.

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
using testing::Near;
using testing::ToDoubles;

// bf16 activations through 6 blocks: each of some 60 roundings of 2^-9 relative
// error adds its square.
constexpr double kBf16Model = 60 * 0.002;

class EveryModelCuda : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryModelCuda,
                         ::testing::ValuesIn(TestModels(64)),
                         [](const auto& kind) { return kind.param.name; });

// Puts the CPU model's weights into the GPU model.
void CopyWeights(LoopedModel& from, LoopedModel& to) {
  for (size_t i = 0; i < from.parameters().size(); ++i) {
    const Parameter* a = from.parameters()[i];
    Parameter* b = to.parameters()[i];
    const std::vector<double> values = ToDoubles(from.ctx(), a->value);
    for (Tensor t : {b->value, b->compute}) {
      const Tensor host =
          testing::ToTensor(to.ctx(), t.dtype(), t.shape(), values);
      LT2_CHECK_OK(to.ctx().Copy(host, &t));
    }
  }
}

TEST_P(EveryModelCuda, AgreesWithTheCpu) {
  LT2_SKIP_WITHOUT_CUDA();
  auto cpu = CpuContext();
  auto gpu = CudaContext();
  auto host = MakeModel(*cpu, GetParam().json, false);
  auto device = MakeModel(*gpu, GetParam().json, false);
  CopyWeights(*host, *device);
  for (int64_t seq : {1, 63, 130}) {
    const std::vector<double> expected =
        LogitsOf(*host, RandomIds(*cpu, 2, seq, 29, 1));
    const std::vector<double> actual =
        LogitsOf(*device, RandomIds(*gpu, 2, seq, 29, 1));
    EXPECT_TRUE(Near(actual, expected, kBf16Model)) << "seq " << seq;
    std::printf("%s, seq %d: relative error %.4f\n", GetParam().name.c_str(),
                static_cast<int>(seq), testing::RmsRatio(actual, expected));
  }
}

TEST_P(EveryModelCuda, SegmentsMatchTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  constexpr int64_t kSeq = 70;
  const Tensor ids = RandomIds(*ctx, 1, kSeq, 29, 2);
  const std::vector<double> all = ToDoubles(*ctx, ids);
  const std::vector<double> whole = LogitsOf(*model, ids);
  for (const std::vector<int64_t>& pieces :
       {std::vector<int64_t>(kSeq, 1), {64, 1, 1, 1, 1, 1, 1}, {5, 65}}) {
    auto state = DecodeState::Create(*model, 1, kSeq);
    ASSERT_TRUE(state.ok()) << state.status();
    ForwardOptions options;
    options.state = state->get();
    std::vector<double> got;
    int64_t begin = 0;
    for (int64_t n : pieces) {
      const std::vector<double> part(all.begin() + begin,
                                     all.begin() + begin + n);
      const std::vector<double> logits = LogitsOf(
          *model, testing::ToTensor(*ctx, DType::kI32, {1, n}, part), options);
      got.insert(got.end(), logits.begin(), logits.end());
      begin += n;
    }
    EXPECT_TRUE(Near(got, whole, kBf16Model)) << pieces.size() << " pieces";
  }
}

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
