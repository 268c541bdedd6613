#include "gtest/gtest.h"
#include "model/looped/decode_graph.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CudaContext;
using testing::ToDoubles;

constexpr int64_t kVocab = 29, kBatch = 2, kPrompt = 7, kCapacity = 40;

class EveryDecoderCuda : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryDecoderCuda,
                         ::testing::ValuesIn(TestModels(64)),
                         [](const auto& kind) { return kind.param.name; });

// Logits of `steps` tokens after a prompt, one after the other.
struct Decoded {
  std::vector<std::vector<double>> logits;
  int64_t nodes = 0;
};

Decoded Decode(LoopedModel& model, bool graph, int64_t prompt_in_between) {
  Context& ctx = model.ctx();
  auto state = DecodeState::Create(model, kBatch, kCapacity);
  LT2_CHECK_OK(state.status());
  ForwardOptions options;
  options.state = state->get();
  auto feed = [&](int64_t tokens, uint64_t seed) {
    return LogitsOf(model, RandomIds(ctx, kBatch, tokens, kVocab, seed),
                    options);
  };
  Decoded result;
  result.logits.push_back(feed(kPrompt, 1));
  auto decoder = DecodeGraph::Create(model, state->get());
  LT2_CHECK_OK(decoder.status());
  // Memory taken between steps and kept: a graph that wrote to memory that is
  // not its own would show here or in the logits.
  std::vector<Tensor> bystanders;
  std::vector<std::vector<double>> contents;
  for (int step = 0; step < 9; ++step) {
    if (step == 5 && prompt_in_between > 0) {
      result.logits.push_back(feed(prompt_in_between, 77));
    }
    const uint64_t seed = 100 + static_cast<uint64_t>(step);
    if (!graph) {
      result.logits.push_back(feed(1, seed));
      continue;
    }
    const Tensor ids = RandomIds(ctx, kBatch, 1, kVocab, seed);
    const auto logits = (*decoder)->Step(ids);
    LT2_CHECK(logits.ok(), logits.status().ToString());
    result.logits.push_back(ToDoubles(ctx, *logits));
    for (int64_t n : {16, 64, 200, 3000}) {
      const Tensor t = testing::ToTensor(ctx, DType::kF32, {n},
                                         testing::Uniform(step, n, -1, 1));
      bystanders.push_back(t);
      contents.push_back(ToDoubles(ctx, t));
    }
  }
  for (size_t i = 0; i < bystanders.size(); ++i) {
    EXPECT_TRUE(ToDoubles(ctx, bystanders[i]) == contents[i]) << i;
  }
  result.nodes = (*decoder)->nodes();
  return result;
}

TEST_P(EveryDecoderCuda, AGraphHasTheBitsOfSingleOperators) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  for (int64_t prompt_in_between : {0, 3}) {
    const Decoded eager = Decode(*model, false, prompt_in_between);
    const Decoded graph = Decode(*model, true, prompt_in_between);
    EXPECT_EQ(graph.nodes > 0, !model->config().random_pattern());
    ASSERT_EQ(graph.logits.size(), eager.logits.size());
    for (size_t i = 0; i < eager.logits.size(); ++i) {
      EXPECT_TRUE(graph.logits[i] == eager.logits[i]) << "step " << i;
    }
  }
}

TEST(DecodeGraphCuda, AFullStateIsAnErrorAndStaysAsItIs) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  auto model = MakeModel(*ctx, TestModels(64)[0].json, false);
  for (int64_t capacity : {1, 2, 3, 4}) {
    auto state = *DecodeState::Create(*model, kBatch, capacity);
    auto decoder = *DecodeGraph::Create(*model, state.get());
    const Tensor ids = RandomIds(*ctx, kBatch, 1, kVocab, 3);
    for (int64_t step = 0; step < capacity; ++step) {
      const auto logits = decoder->Step(ids);
      ASSERT_TRUE(logits.ok()) << logits.status();
      EXPECT_EQ(state->position(), step + 1);
    }
    EXPECT_EQ(decoder->Step(ids).status().code(),
              absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(state->position(), capacity);
  }
}

}  // namespace
}  // namespace lt2::model
