// DepthStates where the states are known, and the probe on a checkpoint.

#include "evals/probes/depth.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/init.h"

namespace lt2::evals {
namespace {

constexpr char kCheckpoints[] = "testdata/checkpoints";

LoadedModel Make(float rho) {
  const auto config = model::ModelConfig::FromJson({{"vocab_size", 11},
                                                    {"dim", 16},
                                                    {"n_layers", 1},
                                                    {"n_heads", 2},
                                                    {"loop_count", 3},
                                                    {"multiple_of", 8}},
                                                   "model");
  LT2_CHECK(config.ok(), config.status().ToString());
  auto loaded = Create(*config, 3, Device::kCPU, false);
  LT2_CHECK(loaded.ok(), loaded.status().ToString());
  // Blocks add nothing, so that h(t) = (1 + rho) h(t-1).
  for (model::Parameter* p : loaded->model->parameters()) {
    const bool gate = p->name.find("residual_weight") == 0;
    if (!gate && p->name.find("attention.wo") == std::string::npos &&
        p->name.find("feed_forward.w2") == std::string::npos) {
      continue;
    }
    const std::vector<float> values(p->value.numel(), gate ? rho : 0.0f);
    LT2_CHECK_OK(model::SetValues(*loaded->ctx, values, p));
  }
  return std::move(loaded).value();
}

TEST(DepthStates, LoopGateAloneScalesTheState) {
  Inputs inputs;
  inputs.batch = 2;
  inputs.seq = 3;
  inputs.ids = {1, 2, 3, 4, 5, 6};
  const LoadedModel grows = Make(1.0f), turns = Make(-3.0f);
  const auto a = DepthStates(*grows.model, inputs, 6);
  ASSERT_TRUE(a.ok());
  ASSERT_EQ(a->size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ((*a)[i].loops, static_cast<int64_t>(i) + 1);
    EXPECT_NEAR((*a)[i].cosine, 1, 1e-6);
    EXPECT_NEAR((*a)[i].change, 1, 1e-6);
    if (i > 0) {
      EXPECT_NEAR((*a)[i].rms / (*a)[i - 1].rms, 2, 1e-6);
    }
  }
  const auto b = DepthStates(*turns.model, inputs, 3);
  ASSERT_TRUE(b.ok());
  EXPECT_NEAR((*b)[1].cosine, -1, 1e-6);
  EXPECT_NEAR((*b)[1].change, 3, 1e-5);
}

TEST(DepthProbe, TrainedLoopsAreWhereTheScoreIs) {
  ProbeOptions options;
  options.repository = ".";
  options.checkpoints = kCheckpoints;
  options.models = {"z60/full-T4"};
  options.examples = 16;
  const auto report = DepthProbe(options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 8u);
  EXPECT_EQ(report->rows[3]["loops"], 4);
  EXPECT_EQ(report->rows[3]["trained_loops"], 4);
  // A model that solves the task with its four loops, and not with one.
  EXPECT_GT(report->rows[3]["accuracy"].get<double>(),
            report->rows[0]["accuracy"].get<double>() + 0.2);
  EXPECT_LT(report->rows[3]["loss"].get<double>(),
            report->rows[0]["loss"].get<double>());
  EXPECT_EQ(report->figure.panels.size(), 2u);
}

TEST(DepthProbe, UnknownModelListsTheNames) {
  ProbeOptions options;
  options.repository = ".";
  options.checkpoints = kCheckpoints;
  options.models = {"gdn-T44"};
  const auto report = DepthProbe(options);
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.status().message().find("mqar/gdn-T4"), std::string::npos);
}

}  // namespace
}  // namespace lt2::evals
