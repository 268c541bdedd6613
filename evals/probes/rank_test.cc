// RankRows through whole models whose keys are known.

#include "evals/probes/rank.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/init.h"

namespace lt2::evals {
namespace {

Inputs SomeInputs() {
  Inputs inputs;
  inputs.batch = 2;
  inputs.seq = 7;
  for (int i = 0; i < 14; ++i) inputs.ids.push_back(i * 5 % 11);
  return inputs;
}

LoadedModel Make(const nlohmann::json& changes = nlohmann::json::object()) {
  nlohmann::json json = {{"vocab_size", 11},
                         {"dim", 16},
                         {"n_layers", 2},
                         {"n_heads", 2},
                         {"loop_count", 4},
                         {"multiple_of", 8},
                         {"layer_pattern", "deltanet"}};
  json.update(changes);
  const auto config = model::ModelConfig::FromJson(json, "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto loaded = Create(*config, 3, Device::kCPU, false);
  LT2_CHECK(loaded.ok(), loaded.status().ToString());
  return std::move(loaded).value();
}

std::vector<RankRow> Rows(const LoadedModel& loaded, int64_t positions = 4) {
  const auto rows = RankRows(*loaded.model, SomeInputs(), 4, positions);
  LT2_CHECK(rows.ok(), rows.status().ToString());
  return *rows;
}

// Blocks that add nothing: every loop sees the same state.
void Silence(const LoadedModel& loaded) {
  for (model::Parameter* p : loaded.model->parameters()) {
    if (p->name.find("o_proj") == std::string::npos &&
        p->name.find("feed_forward.w2") == std::string::npos) {
      continue;
    }
    const std::vector<float> zeros(p->value.numel());
    LT2_CHECK_OK(model::SetValues(*loaded.ctx, zeros, p));
  }
}

TEST(RankRows, OneRowForEachLayerAndLoop) {
  const std::vector<RankRow> rows = Rows(Make());
  ASSERT_EQ(rows.size(), 8u);
  EXPECT_EQ(rows[5].layer, 1);
  EXPECT_EQ(rows[5].loops, 2);
  EXPECT_EQ(rows[5].d_k, 8);
  EXPECT_EQ(rows[5].samples, 2 * 4 * 2);
  EXPECT_TRUE(std::isnan(rows[4].key_cosine));
}

TEST(RankRows, StateThatNoLoopChangesGivesRankOne) {
  const LoadedModel loaded = Make();
  Silence(loaded);
  for (const RankRow& row : Rows(loaded)) {
    EXPECT_EQ(row.rank_max, 1) << row.layer << " " << row.loops;
    EXPECT_EQ(row.rank_min, 1);
    if (row.loops > 1) {
      EXPECT_NEAR(row.key_cosine, 1, 1e-6);
    }
  }
}

TEST(RankRows, RandomModelsGainOneRankALoopAndKeepTheirNorm) {
  for (const char* mixer : {"deltanet", "gdn", "kda"}) {
    for (const RankRow& row : Rows(Make({{"layer_pattern", mixer}}))) {
      EXPECT_NEAR(row.rank, static_cast<double>(row.loops), 0.2) << mixer;
      EXPECT_LE(row.rank_max, row.loops) << mixer;
      EXPECT_LE(row.norm_max, 1 + 1e-5) << mixer;
      EXPECT_GT(row.beta, 0) << mixer;
      EXPECT_LT(row.beta, 1) << mixer;
    }
  }
}

TEST(RankRows, DeltaProductGainsARankForEachOfItsSteps) {
  const LoadedModel loaded =
      Make({{"layer_pattern", "deltaproduct"},
            {"deltaproduct",
             {{"key_dim", 32}, {"expand_v", 1}, {"num_householder", 2}}}});
  for (const RankRow& row : Rows(loaded)) {
    EXPECT_EQ(row.steps, 2);
    EXPECT_NEAR(row.rank, 2.0 * static_cast<double>(row.loops), 0.3);
  }
}

TEST(RankRows, LayersWithoutADeltaRuleAreLeftOut) {
  const std::vector<RankRow> rows =
      Rows(Make({{"layer_pattern", "interleaved:1:1:full:gdn"}}));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].layer, 1);
}

}  // namespace
}  // namespace lt2::evals
