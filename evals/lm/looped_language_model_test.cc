#include "evals/lm/looped_language_model.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/test_models.h"

namespace lt2::evals {
namespace {

std::unique_ptr<tasks::Tokenizer> Bytes() {
  auto tokenizer = tasks::Tokenizer::Load("bytes");
  LT2_CHECK(tokenizer.ok(), tokenizer.status().ToString());
  return *std::move(tokenizer);
}

std::vector<int32_t> Ids(uint64_t seed, int64_t n) {
  Philox rng(seed, 0);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>(rng.Below(256)));
  }
  return ids;
}

struct Subject {
  std::unique_ptr<Context> ctx = testing::CpuContext();
  std::unique_ptr<model::LoopedModel> model;
  std::unique_ptr<tasks::Tokenizer> tokenizer = Bytes();
  std::unique_ptr<LoopedLanguageModel> lm;

  explicit Subject(nlohmann::json json, LoopedLmOptions options = {}) {
    json["vocab_size"] = 256;
    options.chunk = 7;
    options.max_length = std::min<int64_t>(options.max_length, 200);
    model = model::MakeModel(*ctx, json, /*training=*/false);
    auto created =
        LoopedLanguageModel::Create(*model, *tokenizer, "m", options);
    LT2_CHECK(created.ok(), created.status().ToString());
    lm = *std::move(created);
  }

  std::vector<LoglikelihoodResult> Score(const std::vector<Request>& requests) {
    auto results = lm->Loglikelihood(requests);
    LT2_CHECK(results.ok(), results.status().ToString());
    return *std::move(results);
  }
  // ln softmax of the logits at the last position of `ids`, whole and alone.
  std::vector<double> Next(const std::vector<int32_t>& ids) {
    const auto n = static_cast<int64_t>(ids.size());
    const Tensor t = *ctx->FromHost<int32_t>(ids, {1, n});
    std::vector<double> logits = model::LogitsOf(*model, t);
    logits.erase(logits.begin(), logits.end() - 256);
    double most = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (double x : logits) sum += std::exp(x - most);
    for (double& x : logits) x -= most + std::log(sum);
    return logits;
  }
};

// Shared and lone contexts, long and short continuations, in every bucket.
std::vector<Request> Requests() {
  std::vector<Request> requests;
  for (int i = 0; i < 16; ++i) {
    const int context = i / 3;  // three continuations each
    requests.push_back({Ids(100 + context, 1 + 11 * context),
                        Ids(200 + i, 1 + (i * 13) % 37)});
  }
  return requests;
}

std::string Bits(const LoglikelihoodResult& r) {
  std::string bits(reinterpret_cast<const char*>(&r.sum), sizeof(r.sum));
  bits.append(reinterpret_cast<const char*>(r.tokens.data()),
              r.tokens.size() * sizeof(float));
  bits.push_back(r.is_greedy ? 'g' : '-');
  return bits;
}

TEST(LoopedLanguageModel, BitsDoNotDependOnBatchOrderOrNeighbours) {
  const std::vector<Request> requests = Requests();
  for (const model::TestModel& kind : model::TestModels(32)) {
    SCOPED_TRACE(kind.name);
    Subject subject(kind.json);
    const auto all = subject.Score(requests);
    for (size_t batch : {1, 3}) {
      for (size_t begin = 0; begin < requests.size(); begin += batch) {
        std::vector<Request> some(
            requests.begin() + begin,
            requests.begin() + std::min(requests.size(), begin + batch));
        const auto results = subject.Score(some);
        for (size_t i = 0; i < some.size(); ++i) {
          EXPECT_EQ(Bits(results[i]), Bits(all[begin + i]))
              << "batch " << batch << ", request " << begin + i;
        }
      }
    }
    std::vector<Request> reversed(requests.rbegin(), requests.rend());
    const auto results = subject.Score(reversed);
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(Bits(results[requests.size() - 1 - i]), Bits(all[i])) << i;
    }
  }
}

TEST(LoopedLanguageModel, LoglikelihoodIsThatOfTheWholeSequence) {
  const std::vector<Request> requests = Requests();
  for (const char* name : {"full", "window", "gdn", "full_gdn", "nsa", "dsa"}) {
    SCOPED_TRACE(name);
    for (const model::TestModel& kind : model::TestModels(32)) {
      if (kind.name != name) continue;
      Subject subject(kind.json);
      LoopedLmOptions whole;
      whole.share_context = false;
      Subject unshared(kind.json, whole);
      const auto a = subject.Score(requests);
      const auto b = unshared.Score(requests);
      for (size_t i = 0; i < requests.size(); i += 5) {
        std::vector<int32_t> before = requests[i].context;
        for (size_t t = 0; t < requests[i].continuation.size(); ++t) {
          const double expected =
              subject.Next(before)[requests[i].continuation[t]];
          EXPECT_NEAR(a[i].tokens[t], expected, 2e-4);
          EXPECT_NEAR(b[i].tokens[t], expected, 2e-4);
          before.push_back(requests[i].continuation[t]);
        }
      }
    }
  }
}

nlohmann::json Model(const std::string& name) {
  for (const model::TestModel& kind : model::TestModels(32)) {
    if (kind.name == name) return kind.json;
  }
  return {};
}

TEST(LoopedLanguageModel, AContextRunsOnceForItsContinuations) {
  Subject subject(Model("gdn"));
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back({Ids(1, 121), Ids(2 + i, 9)});
  subject.Score(requests);
  // The context but its last token, and one block of 4 x 16.
  EXPECT_EQ(subject.lm->tokens_computed(), 120 + 4 * 16);
}

TEST(LoopedLanguageModel, IsGreedyIfGreedyGenerationWritesIt) {
  for (const char* name : {"full", "gdn"}) {
    Subject subject(Model(name));
    const std::vector<int32_t> context = Ids(5, 20);
    const auto generations = subject.lm->GenerateUntil({context}, {}, 6);
    ASSERT_TRUE(generations.ok()) << generations.status();
    const Generation* generation = &generations->front();
    ASSERT_EQ(generation->ids.size(), 6u);
    EXPECT_EQ(generation->reason, "length");
    std::vector<int32_t> before = context;
    for (int32_t id : generation->ids) {
      const std::vector<double> next = subject.Next(before);
      EXPECT_EQ(std::max_element(next.begin(), next.end()) - next.begin(), id);
      before.push_back(id);
    }
    Request request{context, generation->ids};
    EXPECT_TRUE(subject.Score({request})[0].is_greedy);
    request.continuation[3] ^= 1;
    EXPECT_FALSE(subject.Score({request})[0].is_greedy);
    // Stops before a stop string.
    const std::string text = subject.lm->Decode(generation->ids);
    const auto stopped =
        subject.lm->GenerateUntil({context}, {text.substr(2, 2)}, 6);
    ASSERT_TRUE(stopped.ok()) << stopped.status();
    EXPECT_EQ(stopped->front().reason, "stop");
    EXPECT_EQ(stopped->front().text,
              text.substr(0, text.find(text.substr(2, 2))));
  }
}

TEST(LoopedLanguageModel, TextsDoNotDependOnTheirCompany) {
  LoopedLmOptions options;
  options.text_rows = 4;
  for (const char* name : {"full", "gdn"}) {
    Subject subject(Model(name), options);
    // Several blocks of several shapes: 1 to 130 tokens.
    std::vector<std::vector<int32_t>> contexts;
    for (int i = 0; i < 16; ++i)
      contexts.push_back(Ids(20 + i, 1 + i * 43 % 130));
    const auto all = subject.lm->GenerateUntil(contexts, {"e"}, 9);
    ASSERT_TRUE(all.ok()) << all.status();
    for (size_t batch : {1, 3}) {
      for (size_t begin = 0; begin < contexts.size(); begin += batch) {
        const auto some = subject.lm->GenerateUntil(
            absl::MakeSpan(contexts).subspan(begin, batch), {"e"}, 9);
        ASSERT_TRUE(some.ok()) << some.status();
        for (size_t i = 0; i < some->size(); ++i) {
          EXPECT_EQ((*some)[i].ids, (*all)[begin + i].ids) << begin + i;
          EXPECT_EQ((*some)[i].text, (*all)[begin + i].text);
          EXPECT_EQ((*some)[i].reason, (*all)[begin + i].reason);
        }
      }
    }
  }
}

TEST(LoopedLanguageModel, RollingCarriesTheStateThroughTheText) {
  for (const char* name : {"full", "window", "gdn"}) {
    Subject subject(Model(name));
    for (int64_t n : {0, 1, 2, 8, 9, 30}) {
      const std::vector<int32_t> ids = Ids(9, n);
      const auto logprobs = subject.lm->Rolling(ids);
      ASSERT_TRUE(logprobs.ok()) << logprobs.status();
      ASSERT_EQ(logprobs->size(), std::max<size_t>(1, ids.size()) - 1);
      for (size_t i = 0; i < logprobs->size(); ++i) {
        const std::vector<int32_t> before(ids.begin(), ids.begin() + i + 1);
        EXPECT_NEAR((*logprobs)[i], subject.Next(before)[ids[i + 1]], 2e-4);
      }
    }
  }
}

TEST(LoopedLanguageModel, ModelsThatShareACacheReadInOnePiece) {
  nlohmann::json shared = Model("full"), plain = shared;
  shared["cache_sharing"] = "last";
  LoopedLmOptions whole;
  whole.share_context = false;
  Subject a(shared), b(plain, whole);
  const auto requests = Requests();
  const auto x = a.Score(requests), y = b.Score(requests);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(Bits(x[i]), Bits(y[i]));
  const auto logprobs = a.lm->Rolling(Ids(3, 40));
  ASSERT_TRUE(logprobs.ok()) << logprobs.status();
  EXPECT_EQ(logprobs->size(), 39u);
  const auto generations = a.lm->GenerateUntil({Ids(3, 40)}, {}, 3);
  ASSERT_TRUE(generations.ok()) << generations.status();
  EXPECT_EQ(generations->front().ids.size(), 3u);
}

TEST(LoopedLanguageModel, WhatDoesNotFitIsAnErrorThatNamesTheFlag) {
  LoopedLmOptions options;
  options.max_length = 10;
  Subject subject(Model("gdn"), options);
  EXPECT_TRUE(subject.lm->Loglikelihood({{Ids(1, 5), Ids(2, 6)}}).ok());
  const auto over = subject.lm->Loglikelihood({{Ids(1, 6), Ids(2, 6)}});
  EXPECT_NE(over.status().message().find("--max_length=10"), std::string::npos)
      << over.status();
  EXPECT_FALSE(subject.lm->Loglikelihood({{{}, Ids(2, 6)}}).ok());
  EXPECT_FALSE(subject.lm->Loglikelihood({{Ids(2, 6), {}}}).ok());
  EXPECT_FALSE(subject.lm->GenerateUntil({Ids(1, 6)}, {}, 5).ok());
  EXPECT_FALSE(subject.lm->GenerateUntil({Ids(1, 5), {}}, {}, 5).ok());
}

TEST(LoopedLanguageModel, AnotherVocabularyIsAnErrorThatSaysWhatToDo) {
  const auto bytes = Bytes();
  for (int64_t vocab : {256, 257, 300}) {
    EXPECT_TRUE(CheckVocabulary(*bytes, vocab).ok()) << vocab;
  }
  for (int64_t vocab : {29, 255, 2000}) {
    const absl::Status status = CheckVocabulary(*bytes, vocab);
    EXPECT_NE(status.message().find("--tokenizer="), std::string::npos)
        << vocab << status;
  }
}

TEST(LoopedLanguageModel, TheDigestTellsApartWhatChangesScores) {
  Subject a(Model("gdn"));
  LoopedLmOptions other;
  other.loops = 2;
  EXPECT_NE(a.lm->digest(), Subject(Model("gdn"), other).lm->digest());
  other = {};
  other.rows = 8;
  EXPECT_NE(a.lm->digest(), Subject(Model("gdn"), other).lm->digest());
  EXPECT_EQ(a.lm->digest(), Subject(Model("gdn")).lm->digest());
}

}  // namespace
}  // namespace lt2::evals
