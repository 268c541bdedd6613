// Random patterns on a GPU: the mean over draws against the CPU's, states of
// all draws, and training, which is not a CUDA graph.

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/test_models.h"
#include "model/training/train_step.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::CudaContext;
using testing::Near;
using testing::ToDoubles;

// As in training_cuda_test.
constexpr double kBf16Model = 60 * 0.002;

class RandomPatternCuda
    : public ::testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  static nlohmann::json Json() {
    nlohmann::json json = TestModels(64)[0].json;
    json[GetParam().first] = GetParam().second;
    json["inference_ensemble_k"] = 3;
    return json;
  }
};
INSTANTIATE_TEST_SUITE_P(
    Looped, RandomPatternCuda,
    ::testing::Values(std::make_pair("layer_pattern", "random:1:1:gdn:full"),
                      std::make_pair("attention_pattern", "random:1:1")),
    [](const auto& kind) { return std::string(kind.param.first); });

TEST_P(RandomPatternCuda, InferenceAgreesWithTheCpu) {
  LT2_SKIP_WITHOUT_CUDA();
  auto cpu = CpuContext();
  auto gpu = CudaContext();
  // Initial values depend on seed and name only.
  auto host = MakeModel(*cpu, Json(), false);
  auto device = MakeModel(*gpu, Json(), false);
  const std::vector<double> expected =
      LogitsOf(*host, RandomIds(*cpu, 2, 70, 29, 1));
  const std::vector<double> actual =
      LogitsOf(*device, RandomIds(*gpu, 2, 70, 29, 1));
  EXPECT_TRUE(Near(actual, expected, kBf16Model));
  std::printf("relative error %.4f\n", testing::RmsRatio(actual, expected));
}

TEST_P(RandomPatternCuda, StatesOfAllDrawsContinueTheSequence) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, Json(), false);
  const Tensor ids = RandomIds(*ctx, 1, 70, 29, 2);
  const std::vector<double> all = ToDoubles(*ctx, ids);
  auto state = DecodeState::Create(*model, 1, 70);
  ASSERT_TRUE(state.ok()) << state.status();
  ForwardOptions options;
  options.state = state->get();
  std::vector<double> got;
  for (int64_t begin = 0; begin < 70;) {
    const int64_t n = begin == 0 ? 65 : 1;
    const std::vector<double> part(all.begin() + begin,
                                   all.begin() + begin + n);
    const std::vector<double> logits = LogitsOf(
        *model, testing::ToTensor(*ctx, DType::kI32, {1, n}, part), options);
    got.insert(got.end(), logits.begin(), logits.end());
    begin += n;
  }
  EXPECT_TRUE(Near(got, LogitsOf(*model, ids), kBf16Model));
}

TEST_P(RandomPatternCuda, TrainsWithoutAGraphAndWithTheSameBitsTwice) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<std::vector<float>> runs;
  for (int run = 0; run < 2; ++run) {
    auto model = MakeModel(*ctx, Json(), true);
    auto optimizer = Optimizer::Create(*ctx, model->parameters(), {});
    ASSERT_TRUE(optimizer.ok()) << optimizer.status();
    TrainStep step(*model, **optimizer, Recompute::kNothing);
    std::vector<float> losses;
    for (int n = 1; n <= 6; ++n) {
      Philox rng(n % 2, 0);
      std::vector<int32_t> inputs, targets;
      for (int i = 0; i < 2 * 70; ++i) {
        inputs.push_back(static_cast<int32_t>(rng.Below(29)));
        targets.push_back(static_cast<int32_t>(rng.Below(29)));
      }
      const auto metrics = step.Run(2, 70, inputs, targets, 5e-3, n);
      ASSERT_TRUE(metrics.ok()) << metrics.status();
      losses.push_back(metrics->loss);
    }
    EXPECT_EQ(step.graph_nodes(), 0);
    EXPECT_LT(losses.back(), losses.front());
    runs.push_back(losses);
  }
  EXPECT_EQ(runs[0], runs[1]);
}

}  // namespace
}  // namespace lt2::model
