#include "gtest/gtest.h"
#include "model/generation/generator_testing.h"

namespace lt2::model {
namespace {

using ::lt2::testing::CudaContext;

constexpr int64_t kVocab = 29;

TEST(GeneratorCuda, GreedyTokensAreTheArgmaxOfAWholeForward) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const TestModel& test : GenerationModels(64)) {
    auto model = MakeModel(*ctx, test.json, false, DType::kF32);
    GeneratorOptions options;
    options.chunk = 5;
    auto generator =
        MakeGenerator(*model, options, {RandomTokens(13, kVocab, 2)});
    RunOk(*generator, Greedy(12));
    const std::vector<int32_t>& text = generator->tokens(0);
    const std::vector<int32_t> best = ArgmaxOfForward(*model, text);
    for (size_t i = 13; i < text.size(); ++i) {
      EXPECT_EQ(text[i], best[i - 1]) << test.name << " token " << i;
    }
  }
}

TEST(GeneratorCuda, SnapshotsKeepBits) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const TestModel& test : GenerationModels(64)) {
    auto model = MakeModel(*ctx, test.json, false);
    ExpectSnapshotKeepsBits(*model, "cuda_" + test.name);
  }
}

TEST(GeneratorCuda, PenaltyAndMinPWithADecodeGraph) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, TestModels(64)[0].json, false);
  GenerateOptions options = Greedy(20);
  options.sampling.repetition_penalty = 1e6f;
  options.sampling.min_p = 0.1f;
  auto generator = MakeGenerator(*model, {}, {{1, 2, 3, 4}});
  RunOk(*generator, options);
  ExpectPenalised(*model, generator->tokens(0), 4, 1e6);
}

}  // namespace
}  // namespace lt2::model
