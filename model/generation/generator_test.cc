#include "model/generation/generator.h"

#include "gtest/gtest.h"
#include "kernels/sampling/sampling_testing.h"
#include "model/generation/generator_testing.h"

namespace lt2::model {
namespace {

using ::lt2::testing::CpuContext;

constexpr int64_t kVocab = 29;

nlohmann::json ModelJson(const std::string& name) {
  for (const TestModel& model : GenerationModels(32)) {
    if (model.name == name) return model.json;
  }
  LT2_CHECK(false, name);
  return {};
}

TEST(Generator, GreedyTokensAreTheArgmaxOfAWholeForward) {
  auto ctx = CpuContext();
  for (const TestModel& test : GenerationModels(32)) {
    auto model = MakeModel(*ctx, test.json, false);
    GeneratorOptions options;
    options.chunk = 5;  // the prompt is two chunks and a rest
    auto generator =
        MakeGenerator(*model, options, {RandomTokens(13, kVocab, 2)});
    const Generated generated = RunOk(*generator, Greedy(12));
    const std::vector<int32_t>& text = generator->tokens(0);
    ASSERT_EQ(text.size(), 25u) << test.name;
    EXPECT_EQ(generated.rows[0].ids,
              std::vector<int32_t>(text.begin() + 13, text.end()));
    EXPECT_EQ(generator->position(), 24) << "the last token is not taken in";
    const std::vector<int32_t> best = ArgmaxOfForward(*model, text);
    for (size_t i = 13; i < text.size(); ++i) {
      EXPECT_EQ(text[i], best[i - 1]) << test.name << " token " << i;
    }
  }
}

TEST(Generator, ATextGoesOnAfterMoreTokens) {
  auto ctx = CpuContext();
  for (const char* name : {"full_gdn", "dsa", "window", "nsa"}) {
    auto model = MakeModel(*ctx, ModelJson(name), false);
    auto generator = MakeGenerator(*model, {}, {RandomTokens(6, kVocab, 2)});
    RunOk(*generator, Greedy(4));
    ASSERT_TRUE(generator->Append({RandomTokens(5, kVocab, 3)}).ok());
    RunOk(*generator, Greedy(4));
    const std::vector<int32_t>& text = generator->tokens(0);
    const std::vector<int32_t> best = ArgmaxOfForward(*model, text);
    for (size_t i : {6, 7, 8, 9, 15, 16, 17, 18}) {
      EXPECT_EQ(text[i], best[i - 1]) << name << " token " << i;
    }
  }
}

TEST(Generator, SameSeedSameTextAnotherSeedAnother) {
  auto ctx = CpuContext();
  auto three = CpuContext(3);
  const nlohmann::json json = ModelJson("full_gdn");
  auto text = [&](Context& c, uint64_t seed) {
    auto model = MakeModel(c, json, false);
    auto generator = MakeGenerator(*model, {}, {{1, 2, 3}});
    return RunOk(*generator, Sampled(30, seed)).rows[0].ids;
  };
  EXPECT_EQ(text(*ctx, 1), text(*ctx, 1));
  EXPECT_EQ(text(*ctx, 1), text(*three, 1));
  EXPECT_NE(text(*ctx, 1), text(*ctx, 2));
}

TEST(Generator, ARowDoesNotDependOnItsNeighbours) {
  auto ctx = CpuContext();
  for (const char* name : {"gdn", "full", "dsa", "full_gdn", "mamba2"}) {
    auto model = MakeModel(*ctx, ModelJson(name), false);
    GeneratorOptions options;
    options.batch = 3;
    auto rows = [&](uint64_t seed) {
      return std::vector<std::vector<int32_t>>{
          RandomTokens(9, kVocab, 1), RandomTokens(9, kVocab, seed),
          RandomTokens(9, kVocab, seed + 1)};
    };
    auto a = MakeGenerator(*model, options, rows(2));
    auto b = MakeGenerator(*model, options, rows(20));
    RunOk(*a, Sampled(15));
    GenerateOptions how = Sampled(15);
    how.on_token = [](int64_t row, int32_t) { return row != 1; };  // ends early
    RunOk(*b, how);
    EXPECT_EQ(a->tokens(0), b->tokens(0)) << name;
    EXPECT_NE(a->tokens(2), b->tokens(2)) << name;
  }
}

TEST(Generator, PromptsOfAnyLengthsShareABatch) {
  auto ctx = CpuContext();
  for (const char* name : {"gdn", "full", "nsa", "window"}) {
    auto model = MakeModel(*ctx, ModelJson(name), false);
    const std::vector<std::vector<int32_t>> prompts = {
        RandomTokens(12, kVocab, 1), RandomTokens(3, kVocab, 2),
        RandomTokens(7, kVocab, 3)};
    GeneratorOptions options;
    options.batch = 3;
    options.streams = {5, 6, 7};
    auto together = MakeGenerator(*model, options, prompts);
    const Generated all = RunOk(*together, Sampled(10));
    for (int32_t i = 0; i < 3; ++i) {
      GeneratorOptions one;
      one.streams = {5 + i};
      auto alone = MakeGenerator(*model, one, {prompts[i]});
      EXPECT_EQ(RunOk(*alone, Sampled(10)).rows[0].ids, all.rows[i].ids)
          << name << " prompt " << i;
      EXPECT_EQ(all.rows[i].ids.size(), 10u);
    }
  }
}

TEST(Generator, RowsEndAtStopIdsAtTheCallbacksWordAndAtTheLimit) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("gdn"), false);
  auto generator = MakeGenerator(*model, {}, {{1, 2, 3}});
  const std::vector<int32_t> all = RunOk(*generator, Sampled(20)).rows[0].ids;
  EXPECT_EQ(all.size(), 20u);

  GenerateOptions options = Sampled(20);
  options.stop_ids = {all[7]};
  const auto first = std::find(all.begin(), all.end(), all[7]);
  generator = MakeGenerator(*model, {}, {{1, 2, 3}});
  Generated generated = RunOk(*generator, options);
  EXPECT_EQ(generated.rows[0].ids, std::vector<int32_t>(all.begin(), first));
  EXPECT_EQ(generated.rows[0].reason, FinishReason::kStopId);
  // The stop id is part of the text.
  EXPECT_EQ(generator->tokens(0).back(), all[7]);

  options = Sampled(20);
  std::vector<int32_t> told;
  options.on_token = [&](int64_t, int32_t id) {
    told.push_back(id);
    return told.size() < 5;
  };
  generator = MakeGenerator(*model, {}, {{1, 2, 3}});
  generated = RunOk(*generator, options);
  EXPECT_EQ(told, std::vector<int32_t>(all.begin(), all.begin() + 5));
  EXPECT_EQ(generated.rows[0].ids, told);
  EXPECT_EQ(generated.rows[0].reason, FinishReason::kCallback);
  EXPECT_EQ(generated.timing.new_tokens, 5);
  EXPECT_EQ(generated.timing.prompt_tokens, 3);

  generator = MakeGenerator(*model, {}, {{1, 2, 3}});
  EXPECT_TRUE(RunOk(*generator, Sampled(0)).rows[0].ids.empty());
  EXPECT_EQ(generator->position(), 2);
  EXPECT_EQ(RunOk(*generator, Sampled(20)).rows[0].ids, all);
}

TEST(Generator, DrawsFollowTheFilteredProbabilities) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("full_gdn"), false);
  const std::vector<int32_t> prompt = RandomTokens(6, kVocab, 9);
  const Tensor ids = *ctx->FromHost<int32_t>(prompt, {1, 6});
  const std::vector<double> all = LogitsOf(*model, ids);
  const std::vector<double> logits(all.end() - kVocab, all.end());
  std::vector<kernels::SamplingSettings> cases(5);
  cases[1].temperature = 0.6f;
  cases[1].top_k = 8;
  cases[2].top_p = 0.7f;
  cases[3].min_p = 0.3f;
  cases[4].penalty = 1.5f;
  cases[4].top_p = 0.9f;
  cases[4].min_p = 0.05f;
  cases[4].counts.resize(kVocab);
  for (int32_t id : prompt) ++cases[4].counts[id];
  constexpr int64_t kRows = 2000;
  for (const kernels::SamplingSettings& s : cases) {
    GeneratorOptions options;
    options.batch = kRows;
    options.capacity = 8;
    auto generator = MakeGenerator(
        *model, options, std::vector<std::vector<int32_t>>(kRows, prompt));
    GenerateOptions how;
    how.sampling = {s.temperature, s.top_k, s.top_p, s.min_p, s.penalty, 4};
    how.max_tokens = 1;
    std::vector<int32_t> drawn;
    for (const GeneratedRow& row : RunOk(*generator, how).rows) {
      drawn.push_back(row.ids.at(0));
    }
    EXPECT_TRUE(kernels::FollowDistribution(drawn, Expected(logits, s)))
        << s.ToString();
    kernels::SamplingSettings twin = s;
    twin.temperature = 2 * s.temperature;
    EXPECT_FALSE(kernels::FollowDistribution(drawn, Expected(logits, twin)))
        << "the test would not notice another temperature";
  }
}

TEST(Generator, AHighPenaltyLeavesRepeatsToWhereNothingElseIsLikely) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("gdn"), false);
  GenerateOptions options = Greedy(20);
  options.sampling.repetition_penalty = 1e6f;
  auto generator = MakeGenerator(*model, {}, {{1, 2, 3, 4}});
  RunOk(*generator, options);
  ExpectPenalised(*model, generator->tokens(0), 4, 1e6);
  // Without the penalty the model says something else.
  auto free = MakeGenerator(*model, {}, {{1, 2, 3, 4}});
  RunOk(*free, Greedy(20));
  EXPECT_NE(free->tokens(0), generator->tokens(0));
}

TEST(Generator, ChunksEndAtTheGrainInAnyCompany) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("full_gdn"), false);
  const std::vector<int32_t> a = RandomTokens(15, kVocab, 2);
  const std::vector<int32_t> b = RandomTokens(11, kVocab, 3);
  for (const auto& [grain, together] :
       {std::make_pair(1, 10), {8, 8}, {4, 8}}) {
    GeneratorOptions options;
    options.prompt_grain = grain;
    options.batch = 2;
    auto pair = MakeGenerator(*model, options, {a, b});
    ASSERT_TRUE(pair->Prefill().ok());
    EXPECT_EQ(pair->position(), together) << grain;
    options.batch = 1;
    auto alone = MakeGenerator(*model, options, {a});
    ASSERT_TRUE(alone->Prefill().ok());
    EXPECT_EQ(alone->position(), 14 - 14 % grain);
    EXPECT_EQ(RunOk(*pair, Greedy(6)).rows[0].ids,
              RunOk(*alone, Greedy(6)).rows[0].ids);
  }
}

TEST(Generator, ABatchIsHalvedUntilItTakesHalfOfTheMemory) {
  ContextOptions context_options;
  context_options.memory_limit = 8 << 20;
  auto ctx = *Context::Create(Device::kCPU, context_options);
  auto model = MakeModel(*ctx, ModelJson("full_gdn"), false);
  GeneratorOptions options;
  options.capacity = 1000;
  const auto bytes = [&](int64_t batch) {
    options.batch = batch;
    const GeneratorMemory memory = *MemoryOf(*model, options);
    return memory.state_bytes + memory.logits_bytes;
  };
  options.batch = 64;
  const int64_t fits = *BatchThatFits(*model, options);
  ASSERT_GT(fits, 1);
  ASSERT_LT(fits, 64);
  EXPECT_LE(bytes(fits), 4 << 20);
  EXPECT_GT(bytes(2 * fits), 4 << 20);
  options.batch = 1;
  options.capacity = 1 << 20;
  EXPECT_EQ(*BatchThatFits(*model, options), 1);  // Create says what is wrong
}

TEST(Generator, TooLongARequestIsRefusedBeforeAnythingIsComputed) {
  ContextOptions context_options;
  context_options.memory_limit = 4 << 20;
  auto ctx = *Context::Create(Device::kCPU, context_options);
  auto model = MakeModel(*ctx, ModelJson("full"), false);
  GeneratorOptions options;
  options.capacity = 20;
  auto generator =
      MakeGenerator(*model, options, {RandomTokens(15, kVocab, 1)});
  auto refused = generator->Generate(Greedy(6));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(std::string(refused.status().message()),
            "15 tokens of row 0 and 6 new ones exceed the capacity of 20");
  EXPECT_EQ(ctx->flops(), 0);
  EXPECT_TRUE(generator->Generate(Greedy(5)).ok());

  options.max_positions = 16;
  EXPECT_EQ(std::string(Generator::Create(*model, options).status().message()),
            "a sequence of 20 tokens (prompt and new ones) exceeds the model's "
            "limit of 16");
  options.max_positions = 0;
  options.capacity = 1 << 20;
  const absl::Status memory = Generator::Create(*model, options).status();
  EXPECT_EQ(memory.code(), absl::StatusCode::kResourceExhausted);
  // 6 slots, keys and values, 32 channels, f32.
  EXPECT_NE(memory.message().find(absl::StrCat(6 * 2 * 32 * 4 * (1 << 20))),
            absl::string_view::npos)
      << memory;
}

TEST(Generator, WrongArgumentsAreErrors) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, ModelJson("gdn"), false);
  EXPECT_FALSE(Generator::Create(*model, {.batch = 0}).ok());
  EXPECT_FALSE(Generator::Create(*model, {.capacity = 0}).ok());
  EXPECT_FALSE(Generator::Create(*model, {.batch = 2, .streams = {1}}).ok());
  auto generator = MakeGenerator(*model, {}, {});
  EXPECT_FALSE(generator->Generate(Greedy(1)).ok()) << "no token";
  EXPECT_FALSE(generator->Append({{1}, {2}}).ok());
  EXPECT_EQ(
      std::string(generator->Append({{1, kVocab}}).message()),
      "generation: token 1 of row 0 is 29, the model's vocabulary has 29");
  ASSERT_TRUE(generator->Append({{1, 2}}).ok());
  GenerateOptions options = Sampled(1);
  options.sampling.top_p = 0;
  EXPECT_FALSE(generator->Generate(options).ok());
  options = Sampled(1);
  options.sampling.repetition_penalty = -1;
  EXPECT_FALSE(generator->Generate(options).ok());
  EXPECT_EQ(generator->position(), 0) << "found before the prompt is computed";
}

}  // namespace
}  // namespace lt2::model
