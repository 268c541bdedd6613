// On a GPU as on the CPU: the bits of a score do not depend on the batch.

#include "evals/lm/looped_language_model.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/test_models.h"

namespace lt2::evals {
namespace {

std::vector<int32_t> Ids(uint64_t seed, int64_t n) {
  Philox rng(seed, 0);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(rng.Below(256)));
  }
  return ids;
}

TEST(LoopedLanguageModelCuda, BitsDoNotDependOnBatchOrOrder) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = testing::CudaContext();
  const auto tokenizer = tasks::Tokenizer::Load("bytes");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::vector<Request> requests;
  for (int i = 0; i < 16; ++i) {
    requests.push_back(
        {Ids(100 + i / 3, 1 + 11 * (i / 3)), Ids(200 + i, 1 + (i * 13) % 37)});
  }
  for (const model::TestModel& kind : model::TestModels(64)) {
    if (kind.name != "full" && kind.name != "window" && kind.name != "gdn") {
      continue;
    }
    SCOPED_TRACE(kind.name);
    nlohmann::json json = kind.json;
    json["vocab_size"] = 256;
    const auto model = model::MakeModel(*ctx, json, /*training=*/false);
    LoopedLmOptions options;
    options.max_length = 200;
    options.chunk = 64;
    options.text_rows = 4;
    auto lm = LoopedLanguageModel::Create(*model, **tokenizer, "m", options);
    ASSERT_TRUE(lm.ok()) << lm.status();
    const auto all = (*lm)->Loglikelihood(requests);
    ASSERT_TRUE(all.ok()) << all.status();
    for (size_t batch : {1, 3}) {
      // From the last request to the first.
      for (size_t end = requests.size(); end > 0;) {
        const size_t begin = end > batch ? end - batch : 0;
        const std::vector<Request> some(requests.begin() + begin,
                                        requests.begin() + end);
        const auto results = (*lm)->Loglikelihood(some);
        ASSERT_TRUE(results.ok()) << results.status();
        for (size_t i = 0; i < some.size(); ++i) {
          EXPECT_EQ((*results)[i].tokens, (*all)[begin + i].tokens)
              << "batch " << batch << ", request " << begin + i;
          EXPECT_EQ((*results)[i].is_greedy, (*all)[begin + i].is_greedy);
        }
        end = begin;
      }
    }
    // Texts as well: alone, and in company.
    std::vector<std::vector<int32_t>> contexts;
    for (int i = 0; i < 16; ++i) {
      contexts.push_back(Ids(300 + i, 1 + i * 43 % 130));
    }
    const auto texts = (*lm)->GenerateUntil(contexts, {"e"}, 12);
    ASSERT_TRUE(texts.ok()) << texts.status();
    for (size_t i = 0; i < contexts.size(); ++i) {
      const auto alone = (*lm)->GenerateUntil({contexts[i]}, {"e"}, 12);
      ASSERT_TRUE(alone.ok()) << alone.status();
      EXPECT_EQ(alone->front().ids, (*texts)[i].ids) << i;
      EXPECT_EQ(alone->front().reason, (*texts)[i].reason) << i;
    }
  }
}

}  // namespace
}  // namespace lt2::evals
