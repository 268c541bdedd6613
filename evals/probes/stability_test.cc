// Spikes, attention mass and a watched training run in known cases.

#include "evals/probes/stability.h"

#include <cmath>
#include <set>

#include "evals/probes/short_training.h"
#include "evals/probes/spikes.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"

namespace lt2::evals {
namespace {

// A falling curve with a little noise, as losses are.
std::vector<double> Curve(int64_t n) {
  const std::vector<double> noise = testing::Uniform(4, n, -0.02, 0.02);
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) {
    values.push_back(2 + std::exp(-static_cast<double>(i) / 30) + noise[i]);
  }
  return values;
}

TEST(Spikes, NoneInAFallingOrFlatCurve) {
  EXPECT_TRUE(SpikeStarts(Curve(200)).empty());
  EXPECT_TRUE(SpikeStarts(std::vector<double>(100, 1.0)).empty());
  EXPECT_TRUE(SpikeStarts({}).empty());
  EXPECT_TRUE(SpikeStarts({1, 9, 1}).empty());
}

TEST(Spikes, EachExcursionCountsOnceWhereItBegins) {
  std::vector<double> values = Curve(200);
  values[60] += 1;
  values[100] += 1;
  values[101] += 2;
  values[102] += 1;
  values[150] -= 1;  // downwards is none
  EXPECT_EQ(SpikeStarts(values), (std::vector<int64_t>{60, 100}));
}

TEST(Spikes, NoiseOfTheSameSizeIsNone) {
  // The same jump where the curve is as rough as that.
  std::vector<double> values = testing::Uniform(9, 200, 0.0, 2.0);
  values[100] = 2;
  EXPECT_TRUE(SpikeStarts(values).empty());
}

TEST(Quantile, Interpolates) {
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(Quantile({3, 1, 2}, 1), 3);
  EXPECT_NEAR(Quantile({0, 10}, 0.99), 9.9, 1e-12);
  EXPECT_TRUE(std::isnan(Quantile({}, 0.5)));
}

TEST(Roughness, IgnoresASteadyTrend) {
  std::vector<double> line, zigzag;
  for (int i = 0; i < 100; ++i) {
    line.push_back(5 - 0.01 * i);
    zigzag.push_back(5 - 0.01 * i + (i % 2) * 0.5);
  }
  EXPECT_NEAR(Roughness(line), 0, 1e-12);
  EXPECT_NEAR(Roughness(zigzag), 0.5, 0.01);
}

TEST(FirstTokenMass, EqualKeysGiveTheUniformShare) {
  QueriesAndKeys layer;
  layer.q_shape = Shape({2, 5, 4, 8});
  layer.k_shape = Shape({2, 5, 2, 8});
  layer.q.assign(layer.q_shape.numel(), 1);
  layer.k.assign(layer.k_shape.numel(), 1);
  AttentionMass mass;
  AddFirstTokenMass(layer, &mass);
  EXPECT_EQ(mass.queries, 2 * 4 * 4);
  EXPECT_NEAR(mass.mean(), (1 / 2. + 1 / 3. + 1 / 4. + 1 / 5.) / 4, 1e-12);
  EXPECT_NEAR(mass.mean(), mass.uniform_mean(), 1e-12);
  // A window of 3 shows token 0 to queries 1 and 2 only.
  AttentionMass window;
  layer.window = 3;
  AddFirstTokenMass(layer, &window);
  EXPECT_NEAR(window.mean(), (1 / 2. + 1 / 3.) / 2, 1e-12);
}

TEST(FirstTokenMass, AKeyThatAllQueriesLikeTakesAll) {
  QueriesAndKeys layer;
  layer.q_shape = layer.k_shape = Shape({1, 6, 1, 4});
  layer.q.assign(24, 1);
  layer.k.assign(24, 0);
  for (int i = 0; i < 4; ++i) layer.k[i] = 50;  // token 0
  AttentionMass mass;
  AddFirstTokenMass(layer, &mass);
  EXPECT_NEAR(mass.mean(), 1, 1e-12);
}

TEST(RaiseToWeights, TakesTheLargestHeadWithinTheWindow) {
  // Two heads of one channel; token s has the key s, queries 0 and 1.
  QueriesAndKeys layer;
  layer.q_shape = Shape({1, 4, 2, 1});
  layer.k_shape = Shape({1, 4, 1, 1});
  for (int t = 0; t < 4; ++t) {
    layer.q.insert(layer.q.end(), {0.0f, 1.0f});
    layer.k.push_back(static_cast<float>(t));
  }
  const std::vector<QueryKey> pairs = {{0, 3, 3}, {0, 3, 0}, {0, 2, 1}};
  std::vector<KeyWeight> weights(3);
  RaiseToWeights(layer, pairs, /*radius=*/1, &weights);
  const double e = std::exp(1.0), all = 1 + e + e * e + e * e * e;
  EXPECT_NEAR(weights[0].exact, e * e * e / all, 1e-6);
  EXPECT_NEAR(weights[1].exact, 0.25,
              1e-12);  // the head that looks at all alike
  EXPECT_NEAR(weights[2].exact, 1 / 3., 1e-12);
  // With its neighbours, as far as there are any before the query.
  EXPECT_NEAR(weights[0].near, (e * e + e * e * e) / all, 1e-6);
  EXPECT_NEAR(weights[1].near, 0.5, 1e-12);
  EXPECT_NEAR(weights[2].near, 1, 1e-12);
  // What is larger already stays, and what is out of the window gets nothing.
  layer.window = 2;
  weights = {{1, 1}, {0, 0}, {0, 0}};
  RaiseToWeights(layer, pairs, /*radius=*/0, &weights);
  EXPECT_EQ(weights[0].exact, 1);
  EXPECT_EQ(weights[1].exact, 0);
  EXPECT_NEAR(weights[2].exact, 0.5, 1e-12);
  EXPECT_NEAR(weights[2].near, 0.5, 1e-12);  // no neighbours
}

ProbeOptions Options() {
  ProbeOptions options;
  options.repository = ".";  // tests run in the repository's root
  options.steps = 30;
  return options;
}

TEST(StabilityProbe, WatchesARunThatLearns) {
  ProbeOptions options = Options();
  options.mixers = {"full", "gdn"};
  const auto report = StabilityProbe(options);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->rows.size(), 2u);
  const nlohmann::json& full = report->rows[0];
  EXPECT_EQ(full["model"], "full");
  EXPECT_EQ(full["steps"], 30);
  EXPECT_EQ(full["ended_by"], "");
  ASSERT_EQ(full["loss"].size(), 30u);
  // From nearly log 256 down.
  EXPECT_NEAR(full["loss"][0].get<double>(), std::log(256.0), 1);
  EXPECT_LT(full["final_loss"].get<double>(),
            full["loss"][0].get<double>() - 1);
  ASSERT_GE(full["looks"].size(), 2u);
  EXPECT_EQ(full["looks"][0]["step"], 0);
  EXPECT_EQ(full["looks"].back()["step"], 30);
  EXPECT_EQ(full["looks"][0]["rms"].size(), 5u);  // h(0) .. h(4)
  const double mass = full["looks"][0]["first_token_mass"];
  EXPECT_GT(mass, 0);
  EXPECT_LT(mass, 1);
  // A recurrent mixer has no attention to speak of.
  EXPECT_TRUE(report->rows[1]["looks"][0]["first_token_mass"].is_null());
  EXPECT_FALSE(report->figure.panels.empty());
}

TEST(StabilityProbe, SameSeedSameTrace) {
  ProbeOptions options = Options();
  options.mixers = {"gdn"};
  options.steps = 5;
  const auto a = StabilityProbe(options), b = StabilityProbe(options);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->rows, b->rows);
}

TEST(StabilityProbe, UnknownMixerListsTheNames) {
  ProbeOptions options = Options();
  options.mixers = {"gnd"};
  const auto report = StabilityProbe(options);
  ASSERT_FALSE(report.ok());
  EXPECT_NE(report.status().message().find("full+gdn"), std::string::npos);
}

TEST(Train, ANonFiniteLossEndsTheTraceNotTheProgram) {
  tasks::TaskOptions task_options;
  const auto task =
      tasks::CreateTask({{"task", "text"},
                         {"length", 16},
                         {"train_files", {"testdata/text/sample.txt"}},
                         {"valid_files", {"testdata/text/sample.txt"}}},
                        task_options);
  ASSERT_TRUE(task.ok()) << task.status();
  ShortTraining training;
  const auto config =
      model::ModelConfig::FromJson({{"vocab_size", (*task)->vocab_size()},
                                    {"dim", 16},
                                    {"n_layers", 1},
                                    {"n_heads", 2},
                                    {"loop_count", 2},
                                    {"multiple_of", 8}},
                                   "model");
  ASSERT_TRUE(config.ok());
  training.model = *config;
  training.lr = 1e30;
  training.warmup = 0;
  training.seq = 16;
  training.steps = 10;
  const auto trace = Train(training, **task, Device::kCPU);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_LT(trace->loss.size(), 10u);
  EXPECT_FALSE(trace->ended_by.empty());
}

}  // namespace
}  // namespace lt2::evals
