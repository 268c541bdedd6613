#include "model/looped/looped_model.h"

#include <cmath>

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/accounting.h"
#include "model/looped/scoring.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::ToDoubles;

class EveryModel : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryModel,
                         ::testing::ValuesIn(TestModels(32)),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryModel, SeesNoFutureToken) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  const Tensor ids = RandomIds(*ctx, 1, 20, 29, 2);
  const std::vector<double> before = LogitsOf(*model, ids);
  ids.data<int32_t>()[12] = (ids.data<int32_t>()[12] + 1) % 29;
  const std::vector<double> after = LogitsOf(*model, ids);
  for (int64_t i = 0; i < 12 * 29; ++i) EXPECT_EQ(before[i], after[i]) << i;
  EXPECT_NE(std::vector<double>(before.begin() + 12 * 29, before.end()),
            std::vector<double>(after.begin() + 12 * 29, after.end()));
}

TEST_P(EveryModel, AccountingMatchesWhatIsCounted) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  int64_t parameters = 0;
  for (const Parameter* p : model->parameters()) {
    parameters += p->value.numel();
  }
  constexpr int64_t kSeq = 21;
  for (int64_t loops : {1, 3}) {
    const auto cost = Cost(model->config(), kSeq, loops, DType::kF32);
    ASSERT_TRUE(cost.ok()) << cost.status();
    EXPECT_EQ(cost->parameters, parameters);
    auto state = DecodeState::Create(*model, 2, kSeq, loops);
    ASSERT_TRUE(state.ok());
    EXPECT_EQ(2 * cost->state_bytes, (*state)->bytes());
    ForwardOptions options;
    options.loops = loops;
    const int64_t before = ctx->flops();
    LogitsOf(*model, RandomIds(*ctx, 1, kSeq, 29, 3), options);
    EXPECT_EQ(ctx->flops() - before, cost->flops);
  }
}

TEST_P(EveryModel, ScoresDoNotDependOnTheRestOfTheBatch) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, GetParam().json, false);
  constexpr int64_t kSeq = 19;
  auto rows = [&](uint64_t seed) {
    return *ctx->ToHost<int32_t>(RandomIds(*ctx, 1, kSeq, 29, seed));
  };
  const std::vector<int32_t> row = rows(1);
  std::vector<float> expected;
  for (int place = 0; place < 3; ++place) {
    std::vector<int32_t> inputs, targets;
    for (int r = 0; r < 3; ++r) {
      const std::vector<int32_t> other =
          r == place ? row : rows(10 + 3 * place + r);
      inputs.insert(inputs.end(), other.begin(), other.end());
    }
    targets.assign(inputs.size(), 7);
    const auto scores = Score(*model, 3, kSeq, inputs, targets, {});
    ASSERT_TRUE(scores.ok()) << scores.status();
    const std::vector<float> mine(scores->nll.begin() + place * kSeq,
                                  scores->nll.begin() + (place + 1) * kSeq);
    if (place == 0) expected = mine;
    EXPECT_EQ(mine, expected) << "row " << place;
  }
}

TEST(LoopedModel, OneLoopEqualsThePlainModelBitForBit) {
  auto ctx = CpuContext();
  nlohmann::json looped = TestModels(32)[4].json;  // gdn
  looped["loop_count"] = 1;
  nlohmann::json plain = looped;
  plain["use_residual"] = false;
  const auto a = ModelConfig::FromJson(looped, "model");
  const auto b = ModelConfig::FromJson(plain, "model");
  auto looped_model = LoopedModel::Create(*ctx, *a, 5, false);
  auto plain_model = LoopedModel::Create(*ctx, *b, 5, false);
  const Tensor ids = RandomIds(*ctx, 2, 17, 29, 4);
  EXPECT_EQ(LogitsOf(**looped_model, ids), LogitsOf(**plain_model, ids));
}

TEST(LoopedModel, LoopCountIsAnInferenceArgument) {
  auto ctx = CpuContext();
  nlohmann::json json = TestModels(32)[0].json;
  auto model = MakeModel(*ctx, json, false);
  const Tensor ids = RandomIds(*ctx, 1, 9, 29, 4);
  ForwardOptions one, three;
  one.loops = 1;
  three.loops = 3;
  EXPECT_EQ(LogitsOf(*model, ids), LogitsOf(*model, ids, three));
  EXPECT_NE(LogitsOf(*model, ids), LogitsOf(*model, ids, one));
}

TEST(LoopedModel, InitialisationDependsOnSeedAndNameOnly) {
  auto ctx = CpuContext();
  const auto config = ModelConfig::FromJson(TestModels(32)[4].json, "model");
  auto a = LoopedModel::Create(*ctx, *config, 1, false);
  auto b = LoopedModel::Create(*ctx, *config, 1, true);
  auto c = LoopedModel::Create(*ctx, *config, 2, false);
  for (size_t i = 0; i < (*a)->parameters().size(); ++i) {
    const Parameter* p = (*a)->parameters()[i];
    const std::vector<double> values = ToDoubles(*ctx, p->value);
    EXPECT_EQ(values, ToDoubles(*ctx, (*b)->parameters()[i]->value));
    if (p->name == "tok_embeddings.weight") {
      EXPECT_NE(values, ToDoubles(*ctx, (*c)->parameters()[i]->value));
      double sum2 = 0, most = 0;
      for (double v : values) {
        sum2 += v * v;
        most = std::max(most, std::abs(v));
      }
      const double std = 1 / std::sqrt(32.0);
      EXPECT_NEAR(std::sqrt(sum2 / values.size()), std, 0.1 * std);
      EXPECT_LE(most, 3.0001 * std);
    }
    if (p->name.find("dt_bias") != std::string::npos) {
      for (double v : values) {
        const double dt = std::log1p(std::exp(v));
        EXPECT_GE(dt, 0.9e-3);
        EXPECT_LE(dt, 0.11);
      }
    }
  }
}

TEST(DecodeState, RefusesWhatDoesNotFit) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, TestModels(32)[0].json, false);
  auto state = DecodeState::Create(*model, 1, 8);
  ASSERT_TRUE(state.ok());
  ForwardOptions options;
  options.state = state->get();
  Tape tape(*ctx, Tape::kInference);
  model->Logits(tape, RandomIds(*ctx, 1, 9, 29, 1), options);
  EXPECT_EQ(tape.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(tape.status().message(),
            "sequence of 9 tokens exceeds the state's capacity of 8");
}

TEST(CreateMixer, UnknownNameListsTheNames) {
  const auto mixer = CreateMixer("mamba9", ModelConfig());
  EXPECT_EQ(std::string(mixer.status().message()),
            absl::StrCat("no mixer 'mamba9'; there are: ",
                         absl::StrJoin(MixerNames(), ", ")));
}

}  // namespace
}  // namespace lt2::model
