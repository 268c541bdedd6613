// What the CPU and the CUDA tests of generation share.

#ifndef LT2_MODEL_GENERATION_GENERATOR_TESTING_H_
#define LT2_MODEL_GENERATION_GENERATOR_TESTING_H_

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "model/generation/generator.h"
#include "model/io/atomic_file.h"
#include "model/looped/test_models.h"

namespace lt2::model {

inline std::unique_ptr<Generator> MakeGenerator(
    LoopedModel& model, const GeneratorOptions& options,
    const std::vector<std::vector<int32_t>>& prompts) {
  auto generator = Generator::Create(model, options);
  LT2_CHECK(generator.ok(), generator.status().ToString());
  if (!prompts.empty()) LT2_CHECK_OK((*generator)->Append(prompts));
  return std::move(generator).value();
}

inline Generated RunOk(Generator& generator, const GenerateOptions& options) {
  auto generated = generator.Generate(options);
  LT2_CHECK(generated.ok(), generated.status().ToString());
  return std::move(generated).value();
}

inline GenerateOptions Greedy(int64_t max_tokens) {
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = max_tokens;
  return options;
}

inline GenerateOptions Sampled(int64_t max_tokens, uint64_t seed = 1) {
  GenerateOptions options;
  options.sampling.temperature = 1.5f;
  options.sampling.seed = seed;
  options.max_tokens = max_tokens;
  return options;
}

inline std::vector<int32_t> RandomTokens(int64_t n, int64_t vocab,
                                         uint64_t seed) {
  Philox rng(seed, 1);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  return ids;
}

// Each token of `text` from `prompt` on is one that greedy decoding may choose
// when a logit of a token seen before is divided by `penalty` where it is
// positive, and multiplied where it is negative: the best by the logits of one
// forward pass, but for what rounding may turn around.
inline void ExpectPenalised(LoopedModel& model,
                            const std::vector<int32_t>& text, size_t prompt,
                            double penalty) {
  const auto n = static_cast<int64_t>(text.size());
  const int64_t vocab = model.config().vocab_size;
  const std::vector<double> logits =
      LogitsOf(model, *model.ctx().FromHost<int32_t>(text, {1, n}));
  for (size_t i = prompt; i < text.size(); ++i) {
    std::vector<double> now(logits.begin() + (i - 1) * vocab,
                            logits.begin() + i * vocab);
    const auto [low, high] = std::minmax_element(now.begin(), now.end());
    const double rounding = 0.02 * (*high - *low);
    const std::set<int32_t> seen(text.begin(), text.begin() + i);
    for (int32_t id : seen) {
      now[id] = now[id] > 0 ? now[id] / penalty : now[id] * penalty;
    }
    EXPECT_GE(now[text[i]],
              *std::max_element(now.begin(), now.end()) - rounding)
        << "token " << i;
  }
}

// The most likely token after each of `ids`, by one forward pass over all.
inline std::vector<int32_t> ArgmaxOfForward(LoopedModel& model,
                                            const std::vector<int32_t>& ids) {
  const int64_t n = static_cast<int64_t>(ids.size());
  const int64_t vocab = model.config().vocab_size;
  const Tensor input = *model.ctx().FromHost<int32_t>(ids, {1, n});
  const std::vector<double> logits = LogitsOf(model, input);
  std::vector<int32_t> best;
  for (int64_t i = 0; i < n; ++i) {
    const auto row = logits.begin() + i * vocab;
    best.push_back(
        static_cast<int32_t>(std::max_element(row, row + vocab) - row));
  }
  return best;
}

inline std::string Bytes(const std::string& path) {
  auto bytes = ReadFile(path);
  LT2_CHECK(bytes.ok(), bytes.status().ToString());
  return std::move(bytes).value();
}

// The models of the tests, and one whose inference is a mean over draws.
inline std::vector<TestModel> GenerationModels(int64_t dim) {
  std::vector<TestModel> models = TestModels(dim);
  TestModel random = models[0];
  random.name = "random";
  random.json["layer_pattern"] = "random:1:1:gdn:full";
  random.json["inference_ensemble_k"] = 2;
  models.push_back(random);
  return models;
}

// Saves after a prompt, goes on, saves; loads the first and goes on: the second
// files must have the same bytes, so tokens and states are the same.
inline void ExpectSnapshotKeepsBits(LoopedModel& model,
                                    const std::string& name) {
  const std::string folder = ::testing::TempDir();
  const std::string middle = folder + "/" + name + ".middle",
                    whole = folder + "/" + name + ".whole",
                    resumed = folder + "/" + name + ".resumed";
  const int64_t vocab = model.config().vocab_size;
  const SnapshotIdentity identity = {"model", "tokenizer"};
  GeneratorOptions options;
  options.batch = 2;
  options.capacity = 40;
  options.chunk = 7;
  auto first = MakeGenerator(
      model, options, {RandomTokens(18, vocab, 3), RandomTokens(18, vocab, 4)});
  LT2_CHECK_OK(first->Prefill());
  const auto saved = first->Save(middle, identity);
  ASSERT_TRUE(saved.ok()) << saved.status();
  EXPECT_EQ(first->position(), 17);
  RunOk(*first, Sampled(9));
  ASSERT_TRUE(first->Save(whole, identity).ok());

  options.capacity = 29;  // another one than before
  auto second = MakeGenerator(model, options, {});
  const absl::Status loaded = second->Load(middle, identity);
  ASSERT_TRUE(loaded.ok()) << loaded;
  EXPECT_EQ(second->position(), 17);
  RunOk(*second, Sampled(9));
  ASSERT_TRUE(second->Save(resumed, identity).ok());
  EXPECT_EQ(second->tokens(0), first->tokens(0)) << name;
  EXPECT_TRUE(Bytes(resumed) == Bytes(whole)) << name;
  EXPECT_FALSE(Bytes(middle) == Bytes(whole)) << name;
}

}  // namespace lt2::model

#endif  // LT2_MODEL_GENERATION_GENERATOR_TESTING_H_
