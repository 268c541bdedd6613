// Models whose mixers differ between loops or are drawn anew for each step.

#include <algorithm>
#include <map>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/accounting.h"
#include "model/looped/scoring.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::Near;
using testing::ToDoubles;

// Two layers, three loops.
nlohmann::json Json(const nlohmann::json& changes) {
  nlohmann::json json = TestModels(32)[0].json;
  json.update(changes);
  return json;
}

std::vector<std::string> Names(const LoopedModel& model) {
  std::vector<std::string> names;
  for (const Parameter* p : model.parameters()) names.push_back(p->name);
  return names;
}

Parameter* Find(const LoopedModel& model, const std::string& name) {
  for (Parameter* p : model.parameters()) {
    if (p->name == name) return p;
  }
  ADD_FAILURE() << "no parameter " << name;
  return nullptr;
}

bool Has(const LoopedModel& model, const std::string& name) {
  const std::vector<std::string> names = Names(model);
  return std::find(names.begin(), names.end(), name) != names.end();
}

TEST(MixersByLoop, NamesTellTheTypeOnlyWhereALayerHasSeveralSetsOfWeights) {
  auto ctx = CpuContext();
  auto model = MakeModel(
      *ctx, Json({{"layer_pattern", "full,gdn->window,gdn->gdn"}}), false);
  // Layer 0 is full, window and gdn: full and window are one set.
  EXPECT_TRUE(Has(*model, "layers.0.attention.full.wq.weight"));
  EXPECT_FALSE(Has(*model, "layers.0.attention.window.wq.weight"));
  EXPECT_TRUE(Has(*model, "layers.0.attention.gdn.q_proj.weight"));
  // Layer 1 is gdn in every loop.
  EXPECT_TRUE(Has(*model, "layers.1.attention.q_proj.weight"));
  std::vector<std::string> names = Names(*model);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
}

TEST(MixersByLoop, FullAndWindowAreTheWeightsAndTheFunctionOfMasksByLoop) {
  auto ctx = CpuContext();
  auto types =
      MakeModel(*ctx, Json({{"layer_pattern", "full->window->window"}}), true);
  auto masks = MakeModel(
      *ctx, Json({{"attention_pattern", "full->SWA=5->SWA=5"}}), true);
  auto plain = MakeModel(*ctx, Json({{"layer_pattern", "full"}}), true);
  EXPECT_EQ(Names(*types), Names(*plain));
  const Tensor ids = RandomIds(*ctx, 2, 17, 29, 1);
  EXPECT_EQ(LogitsOf(*types, ids), LogitsOf(*masks, ids));
  EXPECT_NE(LogitsOf(*types, ids), LogitsOf(*plain, ids));
}

TEST(MixersByLoop, SharesNoMoreThanThePattern) {
  auto ctx = CpuContext();
  for (const char* pattern : {"gdn->deltanet->gdn", "gdn->full->full"}) {
    auto model = MakeModel(*ctx, Json({{"layer_pattern", pattern}}), false);
    const auto cost = Cost(model->config(), 16, 0, DType::kF32);
    int64_t parameters = 0;
    for (const Parameter* p : model->parameters()) {
      parameters += p->value.numel();
    }
    ASSERT_TRUE(cost.ok());
    EXPECT_EQ(cost->parameters, parameters) << pattern;
  }
}

void Backward(LoopedModel& model, const Tensor& ids, const Tensor& targets) {
  for (Parameter* p : model.parameters()) {
    LT2_CHECK_OK(model.ctx().Zero(&p->grad));
  }
  Tape tape(model.ctx(), Tape::kRecord);
  const Var loss =
      CrossEntropy(tape, model.Logits(tape, ids, {}), targets, DType::kF32);
  LT2_CHECK_OK(tape.Backward(loss));
}

// A model of two layers and three loops is one of six layers that share. Its
// gradient is the sum over the layers that are the same layer and weights.
TEST(MixersByLoop, EqualsTheUnrolledModelAndItsGradientIsTheSum) {
  auto ctx = CpuContext();
  const nlohmann::json looped =
      Json({{"layer_pattern", "full,gdn->window->gdn,deltanet"},
            {"use_residual", false}});
  nlohmann::json unrolled = looped;
  unrolled["layer_pattern"] = "full,gdn,window,window,gdn,deltanet";
  unrolled["n_layers"] = 6;
  unrolled["loop_count"] = 1;
  auto shared = MakeModel(*ctx, looped, true);
  auto plain = MakeModel(*ctx, unrolled, true);
  // The set of weights of each unrolled layer, as the looped model names it.
  const std::vector<std::string> sets = {"full.",   "gdn.", "full.",
                                         "window.", "gdn.", "deltanet."};
  auto shared_name = [&](const std::string& name) -> std::string {
    if (name.rfind("layers.", 0) != 0) return name;
    const int slot = name[7] - '0';
    std::string rest = name.substr(9);  // "attention.wq.weight"
    const std::string prefix = "attention.";
    if (rest.rfind(prefix, 0) == 0) {
      rest = prefix + sets[slot] + rest.substr(prefix.size());
    }
    return absl::StrCat("layers.", slot % 2, ".", rest);
  };
  for (Parameter* p : plain->parameters()) {
    Parameter* source = Find(*shared, shared_name(p->name));
    ASSERT_NE(source, nullptr);
    LT2_CHECK_OK(ctx->Copy(source->value, &p->value));
  }
  const Tensor ids = RandomIds(*ctx, 2, 11, 29, 1);
  const Tensor targets = RandomIds(*ctx, 2, 11, 29, 2).Reshape({22});
  EXPECT_EQ(LogitsOf(*shared, ids), LogitsOf(*plain, ids));
  Backward(*shared, ids, targets);
  Backward(*plain, ids, targets);
  std::map<std::string, std::vector<double>> sums;
  for (Parameter* p : plain->parameters()) {
    std::vector<double>& sum = sums[shared_name(p->name)];
    const std::vector<double> g = ToDoubles(*ctx, p->grad);
    sum.resize(g.size());
    for (size_t i = 0; i < g.size(); ++i) sum[i] += g[i];
  }
  EXPECT_EQ(sums.size(), shared->parameters().size());
  for (Parameter* p : shared->parameters()) {
    EXPECT_TRUE(Near(ToDoubles(*ctx, p->grad), sums[p->name], 1e-5)) << p->name;
  }
}

TEST(MixersByLoop, MoreLoopsRepeatTheLastPart) {
  auto ctx = CpuContext();
  auto three =
      MakeModel(*ctx, Json({{"layer_pattern", "full->gdn->window"}}), false);
  ForwardOptions five;
  five.loops = 5;
  auto longer =
      MakeModel(*ctx,
                Json({{"layer_pattern", "full->gdn->window->window->window"},
                      {"loop_count", 5}}),
                false);
  for (Parameter* p : longer->parameters()) {
    // The gates past the last one repeat it.
    std::string name = p->name;
    if (name == "residual_weight.3" || name == "residual_weight.4") {
      name = "residual_weight.2";
    }
    LT2_CHECK_OK(ctx->Copy(Find(*three, name)->value, &p->value));
  }
  const Tensor ids = RandomIds(*ctx, 1, 13, 29, 1);
  EXPECT_EQ(LogitsOf(*three, ids, five), LogitsOf(*longer, ids));
}

TEST(MixersByLoop, UnknownMixerNamesTheKey) {
  auto ctx = CpuContext();
  const auto config =
      ModelConfig::FromJson(Json({{"layer_pattern", "gdn->fll->gdn"}}), "");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto model = LoopedModel::Create(*ctx, *config, 1, false);
  EXPECT_EQ(std::string(model.status().message())
                .rfind("layer_pattern: no mixer 'fll'", 0),
            0)
      << model.status();
}

const char* const kRandomKinds[][2] = {{"layer_pattern", "random:1:1:gdn:full"},
                                       {"attention_pattern", "random:1:1"}};

TEST(RandomPattern, InferenceIsTheMeanOverDraws) {
  auto ctx = CpuContext();
  const Tensor ids = RandomIds(*ctx, 2, 15, 29, 1);
  for (const auto& [key, pattern] : kRandomKinds) {
    auto single = MakeModel(
        *ctx, Json({{key, pattern}, {"inference_ensemble_k", 1}}), false);
    auto three = MakeModel(
        *ctx, Json({{key, pattern}, {"inference_ensemble_k", 3}}), false);
    std::vector<double> mean(2 * 15 * 29, 0.0), first;
    bool differ = false;
    for (uint64_t step = 0; step < 3; ++step) {
      ForwardOptions options;
      options.step = step;
      const std::vector<double> logits = LogitsOf(*single, ids, options);
      if (step == 0) first = logits;
      differ |= logits != first;
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += logits[i] / 3;
    }
    EXPECT_TRUE(differ) << key;
    const std::vector<double> got = LogitsOf(*three, ids);
    EXPECT_TRUE(Near(got, mean, 1e-6)) << key;
    EXPECT_FALSE(Near(got, first, 1e-6)) << key << ": one draw alone";
  }
}

TEST(RandomPattern, TrainingUsesTheDrawOfItsStepAlone) {
  auto ctx = CpuContext();
  const Tensor ids = RandomIds(*ctx, 2, 15, 29, 1);
  for (const auto& [key, pattern] : kRandomKinds) {
    auto single = MakeModel(
        *ctx, Json({{key, pattern}, {"inference_ensemble_k", 1}}), false);
    auto model = MakeModel(*ctx, Json({{key, pattern}}), true);
    for (uint64_t step : {1, 2, 9}) {
      ForwardOptions options;
      options.step = step;
      Tape tape(*ctx, Tape::kRecord);
      const Var logits = model->Logits(tape, ids, options);
      ASSERT_TRUE(tape.ok()) << tape.status();
      EXPECT_EQ(ToDoubles(*ctx, logits.value()),
                LogitsOf(*single, ids, options));
    }
  }
}

TEST(RandomPattern, StatesOfAllDrawsContinueTheSequence) {
  auto ctx = CpuContext();
  constexpr int64_t kSeq = 14;
  const Tensor ids = RandomIds(*ctx, 1, kSeq, 29, 1);
  const std::vector<int32_t> tokens = *ctx->ToHost<int32_t>(ids);
  for (const auto& [key, pattern] : kRandomKinds) {
    auto model = MakeModel(
        *ctx, Json({{key, pattern}, {"inference_ensemble_k", 3}}), false);
    auto state = DecodeState::Create(*model, 1, kSeq);
    ASSERT_TRUE(state.ok()) << state.status();
    ForwardOptions options;
    options.state = state->get();
    std::vector<double> got;
    for (int64_t begin = 0; begin < kSeq;) {
      const int64_t n = begin == 0 ? 6 : 1;
      const auto part = ctx->FromHost<int32_t>(
          absl::MakeConstSpan(tokens).subspan(begin, n), {1, n});
      const std::vector<double> logits = LogitsOf(*model, *part, options);
      got.insert(got.end(), logits.begin(), logits.end());
      begin += n;
    }
    EXPECT_TRUE(Near(got, LogitsOf(*model, ids), 2e-5)) << key;
  }
}

TEST(RandomPattern, CostsAllItsDraws) {
  auto ctx = CpuContext();
  constexpr int64_t kSeq = 15;
  for (const auto& [key, pattern] : kRandomKinds) {
    auto model = MakeModel(
        *ctx, Json({{key, pattern}, {"inference_ensemble_k", 3}}), false);
    const auto cost = Cost(model->config(), kSeq, 0, DType::kF32);
    ASSERT_TRUE(cost.ok()) << cost.status();
    EXPECT_EQ(cost->passes, 3);
    const int64_t before = ctx->flops();
    LogitsOf(*model, RandomIds(*ctx, 1, kSeq, 29, 3));
    EXPECT_EQ(ctx->flops() - before, cost->flops) << key;
    auto state = DecodeState::Create(*model, 2, kSeq);
    ASSERT_TRUE(state.ok());
    EXPECT_EQ((*state)->bytes(), 2 * cost->state_bytes) << key;
  }
}

TEST(CostOfDecoding, IsWhatOneMoreTokenCosts) {
  for (const TestModel& kind : TestModels(32)) {
    const auto config = ModelConfig::FromJson(kind.json, "model");
    ASSERT_TRUE(config.ok()) << config.status();
    constexpr int64_t kTokens = 33;
    const auto more = Cost(*config, kTokens, 0, DType::kBF16);
    const auto less = Cost(*config, kTokens - 1, 0, DType::kBF16);
    const auto step = CostOfDecoding(*config, kTokens, 0, DType::kBF16);
    ASSERT_TRUE(more.ok() && less.ok() && step.ok()) << kind.name;
    EXPECT_EQ(step->flops, more->flops - less->flops) << kind.name;
    EXPECT_GT(step->state_bytes, 0) << kind.name;
  }
}

// Every loop reads the blocks again.
TEST(CostOfDecoding, ReadsTheBlocksOnceForEachLoop) {
  const auto config = ModelConfig::FromJson(
      Json({{"layer_pattern", "full"}, {"use_residual", false}}), "model");
  ASSERT_TRUE(config.ok());
  const auto cost = Cost(*config, 1, 0, DType::kBF16);
  const int64_t table = 2 * 29 * 32, final_norm = 4 * 32;
  const int64_t norms = 4 * 2 * 2 * 32;
  const int64_t block = 2 * (cost->mixer_parameters + cost->ffn_parameters);
  for (int64_t loops : {1, 2, 4}) {
    const auto step = CostOfDecoding(*config, 8, loops, DType::kBF16);
    EXPECT_EQ(step->weight_bytes, table + final_norm + loops * (block + norms));
    // The cache of every (loop, layer), and the entry that is written.
    EXPECT_EQ(step->state_bytes, loops * 2 * (8 + 1) * 2 * 32 * 2);
  }
}

}  // namespace
}  // namespace lt2::model
