// Reach and profile of window attention in cases with a known answer.

#include "evals/probes/influence.h"

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/init.h"

namespace lt2::evals {
namespace {

constexpr int64_t kDim = 16;

LoadedModel Make(int64_t window, int64_t layers,
                 const nlohmann::json& changes = nlohmann::json::object()) {
  nlohmann::json json = {
      {"vocab_size", 13},          {"dim", kDim},
      {"n_layers", layers},        {"n_heads", 2},
      {"loop_count", 4},           {"multiple_of", 8},
      {"layer_pattern", "window"}, {"default_sliding_window", window}};
  json.update(changes);
  const auto config = model::ModelConfig::FromJson(json, "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto loaded = Create(*config, 7, Device::kCPU, /*training=*/true);
  LT2_CHECK(loaded.ok(), loaded.status().ToString());
  return std::move(loaded).value();
}

Inputs Tokens(int64_t seq, bool same) {
  Inputs inputs;
  inputs.batch = 1;
  inputs.seq = seq;
  for (int64_t i = 0; i < seq; ++i) inputs.ids.push_back(same ? 3 : i * 7 % 13);
  return inputs;
}

std::vector<double> Of(const LoadedModel& loaded, const Inputs& inputs,
                       int64_t loops, Path path) {
  const auto influence =
      Influence(*loaded.model, inputs, loops, path, /*directions=*/2, 5);
  LT2_CHECK(influence.ok(), influence.status().ToString());
  return *influence;
}

TEST(Influence, ReachIsExactlyLoopsTimesLayersTimesWindowMinusOnePlusOne) {
  const int64_t seq = 31;
  for (int64_t window : {1, 2, 4, 5}) {
    for (int64_t layers : {1, 2}) {
      const LoadedModel loaded = Make(window, layers);
      for (int64_t loops : {1, 2, 3, 5}) {
        for (Path path : {Path::kModel, Path::kMixers}) {
          const std::vector<double> influence =
              Of(loaded, Tokens(seq, false), loops, path);
          const int64_t reach = PredictedReach(seq, window, layers, loops);
          EXPECT_EQ(reach, std::min(seq, loops * layers * (window - 1) + 1));
          // Every token within, none beyond: not even a rounding.
          for (int64_t d = 0; d < seq; ++d) {
            EXPECT_EQ(influence[d] > 0, d < reach)
                << "window " << window << " layers " << layers << " loops "
                << loops << " distance " << d << ": " << influence[d];
          }
          EXPECT_EQ(HorizonOf(influence).reach, reach);
        }
      }
    }
  }
}

TEST(Influence, FullAttentionReachesEverything) {
  const LoadedModel loaded = Make(4, 1, {{"layer_pattern", "full"}});
  const std::vector<double> influence =
      Of(loaded, Tokens(20, false), 1, Path::kModel);
  EXPECT_EQ(HorizonOf(influence).reach, 20);
}

// Uniform attention, value and output projections of ones on the diagonal, and
// the same token everywhere: the Jacobian at distance d is one fixed matrix
// times the number of ways to make d out of hops 0..w-1.
TEST(Influence, UniformAttentionSpreadsLikeARandomWalk) {
  const int64_t window = 5, seq = 40;
  for (int64_t layers : {1, 2}) {
    const LoadedModel loaded = Make(window, layers, {{"use_rope", false}});
    for (model::Parameter* p : loaded.model->parameters()) {
      if (p->name.find(".attention.w") == std::string::npos) continue;
      std::vector<float> values(p->value.numel());
      const bool identity = p->name.find("wv") != std::string::npos ||
                            p->name.find("wo") != std::string::npos;
      for (int64_t i = 0; i < kDim && identity; ++i) values[i * kDim + i] = 1;
      LT2_CHECK_OK(model::SetValues(*loaded.ctx, values, p));
    }
    for (int64_t loops : {1, 2, 4}) {
      const std::vector<double> influence =
          Of(loaded, Tokens(seq, true), loops, Path::kMixers);
      std::vector<double> walk(seq);
      walk[0] = 1;
      for (int64_t hop = 0; hop < loops * layers; ++hop) {
        std::vector<double> next(seq);
        for (int64_t d = 0; d < seq; ++d) {
          for (int64_t j = 0; j < window && j <= d; ++j) {
            next[d] += walk[d - j] / static_cast<double>(window);
          }
        }
        walk = next;
      }
      const double factor = influence[0] / walk[0];
      for (int64_t d = 0; d < seq; ++d) {
        EXPECT_NEAR(influence[d], factor * walk[d],
                    1e-4 * factor * *std::max_element(walk.begin(), walk.end()))
            << layers << " " << loops << " " << d;
      }
    }
  }
}

TEST(HorizonOf, RecoversAnExponential) {
  std::vector<double> influence;
  for (int d = 0; d < 200; ++d) influence.push_back(3 * std::exp(-d / 10.0));
  const Horizon h = HorizonOf(influence);
  EXPECT_NEAR(h.decay, 10, 1e-9);
  EXPECT_NEAR(h.r2, 1, 1e-9);
  EXPECT_NEAR(h.fitted, 10 * std::log(100), 1e-9);
  EXPECT_EQ(h.distance, 47);  // exp(-4.7) < 1 % < exp(-4.6)
  EXPECT_FALSE(h.censored);
  EXPECT_EQ(h.reach, 200);
}

TEST(HorizonOf, SaysWhenTheSequenceIsTooShort) {
  const Horizon h = HorizonOf({1, 0.9, 0.95, 0.9});
  EXPECT_TRUE(h.censored);
  EXPECT_EQ(h.distance, 4);
  EXPECT_GT(h.decay, 0);
}

TEST(HorizonOf, CountsTheLastDistanceThatMattersNotTheFirstThatDoesNot) {
  const Horizon h = HorizonOf({1, 0.001, 0.5, 0.001, 0, 0});
  EXPECT_EQ(h.distance, 3);
  EXPECT_EQ(h.reach, 4);
}

TEST(ResidualHorizon, IsThePapersNumber) {
  EXPECT_NEAR(ResidualHorizon(100, 0.95), 153.7, 0.1);
}

TEST(ResidualShare, IsHalfWhereTheMixerReturnsItsInput) {
  // One token, identity projections: mixer output = rms_norm(h); with the
  // embedding scaled to RMS 1 it equals its input.
  const LoadedModel loaded = Make(4, 1, {{"use_ffn", false}});
  for (model::Parameter* p : loaded.model->parameters()) {
    std::vector<float> values(p->value.numel());
    if (p->name.find(".attention.w") != std::string::npos) {
      for (int64_t i = 0; i < kDim; ++i) values[i * kDim + i] = 1;
    } else if (p->name == "tok_embeddings.weight") {
      std::fill(values.begin(), values.end(), 1.0f);
    } else {
      continue;
    }
    LT2_CHECK_OK(model::SetValues(*loaded.ctx, values, p));
  }
  const auto one = ResidualShare(*loaded.model, Tokens(6, true), 1);
  ASSERT_TRUE(one.ok());
  EXPECT_NEAR(*one, 0.5, 1e-5);
  // The second loop starts from 2: shares 1/2 and 2/3.
  const auto two = ResidualShare(*loaded.model, Tokens(6, true), 2);
  ASSERT_TRUE(two.ok());
  EXPECT_NEAR(*two, (0.5 + 2.0 / 3) / 2, 1e-5);
}

}  // namespace
}  // namespace lt2::evals
