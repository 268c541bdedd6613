// LoopedModel with Ouro's configuration against the fp64 formula.

#include "gtest/gtest.h"
#include "model/looped/accounting.h"
#include "model/looped/init.h"
#include "model/looped/ouro_formula.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using Json = nlohmann::json;
using testing::CpuContext;
using testing::Near;
using testing::ToDoubles;

// f32 against fp64 through 3 loops of 2 layers, of which each rounds some ten
// times: the measured error is about 3e-7.
constexpr double kLimit = 5e-6;
constexpr int64_t kSeq = 19, kVocab = 31;

nlohmann::json OuroJson() {
  return {{"vocab_size", kVocab},
          {"dim", 32},
          {"n_layers", 2},
          {"n_heads", 4},
          {"n_kv_heads", 2},
          {"ffn_hidden", 48},
          {"loop_count", 3},
          {"use_residual", false},
          {"rope_layout", "half_split"},
          {"rope_theta", 1e6},
          {"weight_tying", false},
          {"sandwich_norm", true},
          {"loop_norm", true},
          {"exit_gate", true}};
}

struct Subject {
  explicit Subject(const nlohmann::json& changes) : ctx(CpuContext()) {
    nlohmann::json json = OuroJson();
    json.update(changes);
    model = MakeModel(*ctx, json, /*training=*/false);
    OuroFormula::Weights weights;
    for (Parameter* p : model->parameters()) {
      // Norms that differ from 1 show where each is used.
      if (p->value.rank() == 1) {
        const auto drawn = testing::Uniform(p->name.size() + p->name.back(),
                                            p->value.numel(), 0.5, 1.5);
        LT2_CHECK_OK(
            SetValues(*ctx, std::vector<float>(drawn.begin(), drawn.end()), p));
      }
      weights[p->name] = ToDoubles(*ctx, p->value);
    }
    ids = RandomIds(*ctx, 1, kSeq, kVocab, 3);
    const std::vector<double> numbers = ToDoubles(*ctx, ids);
    host_ids.assign(numbers.begin(), numbers.end());
    formula = std::make_unique<OuroFormula>(model->config(), weights);
  }

  // Logits of all tokens: `prompt` of them at once, then one at a time.
  std::vector<double> Decode(int64_t prompt, const ForwardOptions& base = {}) {
    auto state = DecodeState::Create(*model, 1, kSeq);
    LT2_CHECK(state.ok());
    std::vector<double> all;
    for (int64_t at = 0; at < kSeq; at += at == 0 ? prompt : 1) {
      const int64_t n = at == 0 ? prompt : 1;
      ForwardOptions options = base;
      options.state = state->get();
      const Tensor piece =
          ids.Reshape({kSeq}).Slice(at, at + n).Reshape({1, n});
      const auto logits = LogitsOf(*model, piece, options);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  std::unique_ptr<Context> ctx;
  std::unique_ptr<LoopedModel> model;
  std::unique_ptr<OuroFormula> formula;
  Tensor ids;
  std::vector<int32_t> host_ids;
};

template <typename Take>
std::vector<double> Gather(const std::vector<OuroFormula::Token>& tokens,
                           const Take& take) {
  std::vector<double> all;
  for (const auto& token : tokens) {
    const OuroFormula::Vector& v = take(token);
    all.insert(all.end(), v.begin(), v.end());
  }
  return all;
}

TEST(Ouro, StatesGatesAndLogitsFollowTheFormula) {
  for (const bool tied : {false, true}) {
    Subject s(Json{{"weight_tying", tied}, {"exit_rule", "threshold"}});
    const auto tokens = s.formula->Run(s.host_ids, kSeq);
    std::map<std::string, std::vector<double>> seen;
    ForwardOptions options;
    options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                           const Var& value) {
      if (layer >= 0) return;
      seen[absl::StrCat(name, loop)] = ToDoubles(*s.ctx, value.value());
    };
    const auto logits = LogitsOf(*s.model, s.ids, options);
    for (int64_t t = 0; t < 3; ++t) {
      EXPECT_TRUE(Near(
          seen[absl::StrCat("h", t + 1)],
          Gather(tokens, [&](const auto& k) { return k.hidden[t]; }), kLimit));
      EXPECT_TRUE(Near(
          seen[absl::StrCat("exit_logit", t + 1)],
          Gather(tokens,
                 [&](const auto& k) { return OuroFormula::Vector{k.gate[t]}; }),
          kLimit));
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
      for (size_t t = 0; t < 3; ++t) {
        EXPECT_NEAR(seen["exit_probability3"][t * kSeq + i],
                    tokens[i].probability[t], kLimit);
      }
    }
    // Threshold 1: the last loop.
    EXPECT_TRUE(Near(logits,
                     Gather(tokens, [](const auto& k) { return k.logits[2]; }),
                     kLimit));
  }
}

TEST(Ouro, TokensLeaveWhereTheThresholdSays) {
  Subject s(Json::object());
  const auto tokens = s.formula->Run(s.host_ids, kSeq);
  std::vector<bool> left_after(3);
  for (const double threshold : {0.0, 0.3, 0.5, 0.7, 0.9, 1.0}) {
    ForwardOptions options;
    options.exit_rule = ModelConfig::ExitRule::kThreshold;
    options.exit_threshold = threshold;
    EXPECT_TRUE(Near(
        LogitsOf(*s.model, s.ids, options),
        Gather(tokens, [&](const auto& k) { return k.Threshold(threshold); }),
        kLimit))
        << threshold;
    EXPECT_TRUE(Near(
        s.Decode(7, options),
        Gather(tokens, [&](const auto& k) { return k.Threshold(threshold); }),
        kLimit))
        << threshold;
    for (const auto& token : tokens) left_after[token.Step(threshold)] = true;
  }
  EXPECT_EQ(left_after, std::vector<bool>({true, true, true}));
}

TEST(Ouro, WeightedExitIsTheMeanOfTheLoopsLogits) {
  Subject s(Json{{"exit_rule", "weighted"}});
  const auto tokens = s.formula->Run(s.host_ids, kSeq);
  const auto mean = Gather(tokens, [](const auto& k) { return k.Weighted(); });
  EXPECT_TRUE(Near(LogitsOf(*s.model, s.ids), mean, kLimit));
  EXPECT_TRUE(Near(s.Decode(1), mean, kLimit));
}

// Earlier loops do not depend on later ones.
TEST(Ouro, FewerLoopsAreAFixedExitStep) {
  Subject s(Json::object());
  const auto tokens = s.formula->Run(s.host_ids, kSeq);
  for (int64_t loops = 1; loops <= 3; ++loops) {
    const auto want =
        Gather(tokens, [&](const auto& k) { return k.logits[loops - 1]; });
    ForwardOptions options;
    options.loops = loops;
    EXPECT_TRUE(Near(LogitsOf(*s.model, s.ids, options), want, kLimit));
    s.model->set_default_loops(loops);
    EXPECT_TRUE(Near(LogitsOf(*s.model, s.ids), want, kLimit));
    EXPECT_TRUE(Near(s.Decode(5), want, kLimit));
  }
}

TEST(Ouro, LoopsShareOneCacheWhenTheyDecode) {
  const auto unshared = Subject(Json::object()).Decode(8);
  for (const char* sharing : {"first", "last"}) {
    Subject s(Json{{"cache_sharing", sharing}});
    // A prompt of one token decodes like the others with "first".
    for (const int64_t prompt : {8, 2, 1}) {
      const bool one = prompt == 1 && std::string(sharing) == "first";
      const auto tokens = s.formula->Run(s.host_ids, one ? 0 : prompt);
      const auto want =
          Gather(tokens, [](const auto& k) { return k.logits[2]; });
      EXPECT_TRUE(Near(s.Decode(prompt), want, kLimit)) << sharing << prompt;
      if (prompt == 8) {
        EXPECT_FALSE(Near(unshared, want, kLimit)) << sharing;
      }
    }
    // A third of the memory, as the accounting says.
    auto state = DecodeState::Create(*s.model, 2, kSeq);
    ASSERT_TRUE(state.ok());
    const auto cost = Cost(s.model->config(), kSeq, 0, DType::kF32);
    ASSERT_TRUE(cost.ok());
    EXPECT_EQ((*state)->bytes(), 2 * cost->state_bytes);
    EXPECT_EQ(cost->state_bytes, 2 * kSeq * 2 * 16 * 4);
    // Pieces of a prompt would see keys of another loop.
    ForwardOptions options;
    options.state = state->get();
    Tape tape(*s.ctx, Tape::kInference);
    s.model->Logits(tape, RandomIds(*s.ctx, 2, 3, kVocab, 1), options);
    ASSERT_TRUE(tape.ok());
    s.model->Logits(tape, RandomIds(*s.ctx, 2, 3, kVocab, 1), options);
    EXPECT_NE(std::string(tape.status().message()).find("cache_sharing"),
              std::string::npos);
  }
}

TEST(Ouro, AGateIsNeededToLeave) {
  Subject s(Json::object());
  nlohmann::json json = OuroJson();
  json["exit_gate"] = false;
  auto plain = MakeModel(*s.ctx, json, false);
  Tape tape(*s.ctx, Tape::kInference);
  ForwardOptions options;
  options.exit_rule = ModelConfig::ExitRule::kThreshold;
  plain->Logits(tape, s.ids, options);
  EXPECT_NE(std::string(tape.status().message()).find("exit gate"),
            std::string::npos);
  json["exit_rule"] = "weighted";
  EXPECT_EQ(
      ModelConfig::FromJson(json, "model").status().message(),
      "model.exit_rule: 'weighted' needs the gate: set exit_gate to true");
}

}  // namespace
}  // namespace lt2::model
