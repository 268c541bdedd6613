// NSA and DSA: against their formulas in fp64, what trains what, and phases.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/formula_testing.h"
#include "model/looped/test_models.h"
#include "model/training/train_step.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::Near;
using testing::ToDoubles;

constexpr int64_t kSeq = kFormulaSeq, kHeads = kFormulaHeads;
constexpr int64_t kDim = kFormulaDim, kHeadDim = kDim / kHeads;

// o * sigmoid(wg x), then the output projection.
std::vector<double> Output(const FormulaSubject& s, Rows o,
                           const std::string& name) {
  const Rows gate = s.Project("wg.weight");
  for (size_t t = 0; t < o.size(); ++t) {
    for (size_t i = 0; i < o[t].size(); ++i) {
      o[t][i] /= 1 + std::exp(-gate[t][i]);
    }
  }
  return Flat(s.Apply(name, o));
}

// Softmax attention of head h of q over the rows `set` of k and v (one head);
// adds weight * result to `out` and returns the probabilities.
std::vector<double> Attend(const std::vector<double>& q, int64_t h,
                           const Rows& k, const Rows& v,
                           const std::vector<int64_t>& set, double weight,
                           int64_t key_dim, int64_t value_dim,
                           std::vector<double>* out) {
  std::vector<double> p;
  double sum = 0;
  for (int64_t s : set) {
    p.push_back(std::exp(Dot(q, h * key_dim, k[s], 0, key_dim) /
                         std::sqrt(static_cast<double>(key_dim))));
    sum += p.back();
  }
  for (size_t i = 0; i < set.size(); ++i) {
    p[i] /= sum;
    for (int64_t c = 0; c < value_dim; ++c) {
      (*out)[h * value_dim + c] += weight * p[i] * v[set[i]][c];
    }
  }
  return p;
}

// The n indices of [0, scores.size()) with the highest scores.
std::vector<int64_t> Best(const std::vector<double>& scores, int64_t n) {
  std::vector<int64_t> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  order.resize(std::min<int64_t>(n, static_cast<int64_t>(order.size())));
  return order;
}

TEST(Nsa, IsItsFormula) {
  constexpr int64_t kBlock = 4, kBlocks = 4, kWindow = 7;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "nsa",
                         {{"block_size", kBlock},
                          {"block_counts", kBlocks},
                          {"window_size", kWindow}});
  Rows q = s.Project("q_proj.weight"), k = s.Project("k_proj.weight");
  const Rows v = s.Project("v_proj.weight"), g = s.Project("g_proj.weight");
  Rotate(q, kHeadDim, true);
  Rotate(k, kHeadDim, true);
  Rows kc, vc;
  for (int64_t c = 0; c < kSeq / kBlock; ++c) {
    kc.emplace_back(kHeadDim, 0.0);
    vc.emplace_back(kHeadDim, 0.0);
    for (int64_t i = 0; i < kBlock * kHeadDim; ++i) {
      kc[c][i % kHeadDim] +=
          k[c * kBlock + i / kHeadDim][i % kHeadDim] / kBlock;
      vc[c][i % kHeadDim] +=
          v[c * kBlock + i / kHeadDim][i % kHeadDim] / kBlock;
    }
  }
  Rows o(kSeq, std::vector<double>(kHeads * kHeadDim, 0.0));
  for (int64_t t = 0; t < kSeq; ++t) {
    auto gate = [&](int64_t h, int64_t slot) {
      return 1 / (1 + std::exp(-g[t][3 * h + slot]));
    };
    const int64_t own = t / kBlock, visible = (t + 1) / kBlock;
    std::vector<int64_t> blocks(visible);
    for (int64_t c = 0; c < visible; ++c) blocks[c] = c;
    std::vector<double> scores(own + 1, 0.0);
    for (int64_t h = 0; h < kHeads; ++h) {
      const std::vector<double> p = Attend(q[t], h, kc, vc, blocks, gate(h, 0),
                                           kHeadDim, kHeadDim, &o[t]);
      for (int64_t c = 0; c < visible; ++c) scores[c] += p[c];
    }
    for (int64_t c : {int64_t{0}, own, own - 1}) {
      if (c >= 0) scores[c] = 100;
    }
    std::vector<int64_t> chosen, window;
    for (int64_t c : Best(scores, kBlocks)) {
      for (int64_t i = c * kBlock; i < (c + 1) * kBlock && i <= t; ++i) {
        chosen.push_back(i);
      }
    }
    for (int64_t i = std::max<int64_t>(0, t - kWindow + 1); i <= t; ++i) {
      window.push_back(i);
    }
    for (int64_t h = 0; h < kHeads; ++h) {
      Attend(q[t], h, k, v, chosen, gate(h, 1), kHeadDim, kHeadDim, &o[t]);
      Attend(q[t], h, k, v, window, gate(h, 2), kHeadDim, kHeadDim, &o[t]);
    }
  }
  EXPECT_TRUE(Near(s.y, Output(s, o, "o_proj.weight"), 1e-5));
}

TEST(Dsa, IsItsFormula) {
  constexpr int64_t kTop = 6, kIndexHeads = 3, kIndexDim = 8;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "dsa",
                         {{"top_k", kTop},
                          {"index_heads", kIndexHeads},
                          {"index_dim", kIndexDim}});
  Rows q = s.Project("wq.weight"), k = s.Project("wk.weight");
  const Rows v = s.Project("wv.weight");
  Rows qi = s.Project("indexer.wq.weight"), ki = s.Project("indexer.wk.weight");
  const Rows w = s.Project("indexer.weights_proj.weight");
  const std::vector<double>& norm = s.weights.at("indexer.k_norm.weight");
  for (auto& row : ki) {
    const double mean = Dot(row, 0, row, 0, kIndexDim) / kIndexDim;
    for (int64_t c = 0; c < kIndexDim; ++c) {
      row[c] *= norm[c] / std::sqrt(mean + 1e-6);
    }
  }
  for (Rows* rows : {&q, &k}) Rotate(*rows, kHeadDim, false);
  for (Rows* rows : {&qi, &ki}) Rotate(*rows, kIndexDim, false);
  Rows o(kSeq, std::vector<double>(kDim, 0.0));
  for (int64_t t = 0; t < kSeq; ++t) {
    std::vector<double> scores(t + 1, 0.0);
    for (int64_t j = 0; j <= t; ++j) {
      for (int64_t h = 0; h < kIndexHeads; ++h) {
        scores[j] += w[t][h] * std::max(0.0, Dot(qi[t], h * kIndexDim, ki[j], 0,
                                                 kIndexDim));
      }
    }
    const std::vector<int64_t> chosen = Best(scores, kTop);
    for (int64_t h = 0; h < kHeads; ++h) {
      Rows kh, vh;  // the head's own keys and values
      for (int64_t j = 0; j < kSeq; ++j) {
        kh.emplace_back(k[j].begin() + h * kHeadDim,
                        k[j].begin() + (h + 1) * kHeadDim);
        vh.emplace_back(v[j].begin() + h * kHeadDim,
                        v[j].begin() + (h + 1) * kHeadDim);
      }
      Attend(q[t], h, kh, vh, chosen, 1, kHeadDim, kHeadDim, &o[t]);
    }
  }
  EXPECT_TRUE(Near(s.y, Output(s, o, "wo.weight"), 1e-5));
}

TEST(Dsa, TheReleasedModeIsItsFormula) {
  constexpr int64_t kTop = 6, kIndexDim = 8, kLatent = 24, kValue = 16;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "dsa",
                         {{"mode", "lt2_released"},
                          {"top_k", kTop},
                          {"index_dim", kIndexDim},
                          {"latent_dim", kLatent},
                          {"latent_value_dim", kValue}});
  const Rows q = s.Project("q_proj.weight"), kv = s.Project("kv_proj.weight");
  const Rows qi = s.Project("indexer.wq.weight");
  const Rows ki = s.Project("indexer.wk.weight");
  Rows o(kSeq, std::vector<double>(kHeads * kValue, 0.0));
  for (int64_t t = 0; t < kSeq; ++t) {
    std::vector<double> scores(t + 1, 0.0);
    for (int64_t j = 0; j <= t; ++j) {
      for (int64_t h = 0; h < kHeads; ++h) {
        scores[j] += Dot(qi[t], h * kIndexDim, ki[j], 0, kIndexDim);
      }
    }
    const std::vector<int64_t> chosen = Best(scores, kTop);
    for (int64_t h = 0; h < kHeads; ++h) {
      Attend(q[t], h, kv, kv, chosen, 1, kLatent, kValue, &o[t]);
    }
  }
  EXPECT_TRUE(Near(s.y, Output(s, o, "o_proj.weight"), 1e-5));
}

// A whole model of DSA layers, trained.
nlohmann::json DsaJson(const nlohmann::json& changes) {
  nlohmann::json json = TestModels(32)[0].json;
  json["layer_pattern"] = "dsa";
  json["dsa"].update(changes);
  return json;
}

std::unique_ptr<LoopedModel> WithGradients(Context& ctx,
                                           const nlohmann::json& json) {
  auto model = MakeModel(ctx, json, true);
  Tape tape(ctx, Tape::kRecord);
  const Var logits = model->Logits(tape, RandomIds(ctx, 2, 19, 29, 1), {});
  const Var loss = CrossEntropy(
      tape, logits, RandomIds(ctx, 2, 19, 29, 2).Reshape({38}), DType::kF32);
  LT2_CHECK_OK(tape.Backward(loss));
  return model;
}

bool IsIndexer(const Parameter& p) {
  return p.name.find("indexer.") != std::string::npos;
}

TEST(Dsa, ChoosingEveryTokenIsFullAttention) {
  auto ctx = CpuContext();
  auto dsa = MakeModel(*ctx, DsaJson({{"top_k", 64}}), false);
  nlohmann::json json = DsaJson({{"top_k", 64}});
  json["layer_pattern"] = "full";
  auto full = MakeModel(*ctx, json, false);
  const Tensor ids = RandomIds(*ctx, 2, 33, 29, 1);
  // Initial values depend on the names alone, which are the same.
  EXPECT_TRUE(Near(LogitsOf(*dsa, ids), LogitsOf(*full, ids), 1e-5));
}

TEST(Dsa, TheAttachedLossTrainsTheIndexerAndNothingElse) {
  auto ctx = CpuContext();
  auto none = WithGradients(*ctx, DsaJson({{"kl_weight", 0}}));
  auto half = WithGradients(*ctx, DsaJson({{"kl_weight", 0.5}}));
  auto whole = WithGradients(*ctx, DsaJson({{"kl_weight", 1}}));
  for (size_t i = 0; i < none->parameters().size(); ++i) {
    const Parameter& p = *none->parameters()[i];
    const std::vector<double> without = ToDoubles(*ctx, p.grad);
    const std::vector<double> with =
        ToDoubles(*ctx, whole->parameters()[i]->grad);
    if (!IsIndexer(p)) {
      EXPECT_EQ(with, without) << p.name;
      continue;
    }
    EXPECT_EQ(without, std::vector<double>(without.size(), 0.0)) << p.name;
    std::vector<double> twice = ToDoubles(*ctx, half->parameters()[i]->grad);
    for (double& g : twice) g *= 2;
    EXPECT_TRUE(Near(twice, with, 1e-6)) << p.name;
  }
}

TEST(Dsa, WarmsUpWithDenseAttentionInTrainingOnly) {
  auto ctx = CpuContext();
  auto model =
      MakeModel(*ctx, DsaJson({{"top_k", 3}, {"warmup_steps", 4}}), true);
  auto dense = MakeModel(*ctx, DsaJson({{"top_k", 64}}), true);
  const Tensor ids = RandomIds(*ctx, 1, 20, 29, 1);
  auto logits = [&](LoopedModel& m, uint64_t step, Tape::Mode mode) {
    Tape tape(*ctx, mode);
    ForwardOptions options;
    options.step = step;
    const Var out = m.Logits(tape, ids, options);
    LT2_CHECK(tape.ok(), tape.status().ToString());
    EXPECT_EQ(tape.attached().size(), mode == Tape::kRecord ? 6u : 0u);
    return ToDoubles(*ctx, out.value());
  };
  const std::vector<double> sparse = LogitsOf(*model, ids);
  const std::vector<double> all = LogitsOf(*dense, ids);
  EXPECT_FALSE(Near(sparse, all, 1e-2));
  EXPECT_TRUE(Near(logits(*model, 1, Tape::kRecord), all, 1e-5));
  EXPECT_TRUE(Near(logits(*model, 4, Tape::kRecord), all, 1e-5));
  EXPECT_EQ(logits(*model, 5, Tape::kRecord), sparse);
  EXPECT_EQ(logits(*model, 1, Tape::kInference), sparse);
  EXPECT_EQ(model->Phase(1), model->Phase(4));
  EXPECT_NE(model->Phase(4), model->Phase(5));
  EXPECT_EQ(model->Phase(0), model->Phase(5));
}

// Losses attached in the first and in the last of some training steps.
std::pair<float, float> TrainAttached(LoopedModel& model, int64_t steps) {
  Context& ctx = model.ctx();
  OptimizerConfig config;
  config.decay_everything = true;
  auto optimizer = Optimizer::Create(ctx, model.parameters(), config);
  LT2_CHECK(optimizer.ok());
  std::pair<float, float> losses;
  for (Recompute recompute : {Recompute::kNothing, Recompute::kBlocks}) {
    TrainStep step(model, **optimizer, recompute);
    for (int64_t n = 1; n <= steps; ++n) {
      const std::vector<int32_t> ids =
          *ctx.ToHost<int32_t>(RandomIds(ctx, 2, 20, 29, n % 2));
      const auto metrics = step.Run(2, 20, ids, ids, 3e-3, n);
      LT2_CHECK(metrics.ok(), metrics.status().ToString());
      if (n == 1 && recompute == Recompute::kNothing) {
        losses.first = metrics->attached_loss;
      }
      losses.second = metrics->attached_loss;
    }
  }
  return losses;
}

TEST(Dsa, TheIndexerLearns) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, DsaJson({{"warmup_steps", 10}}), true);
  const auto [first, last] = TrainAttached(*model, 30);
  EXPECT_GT(first, 0);
  EXPECT_LT(last, 0.7 * first);
}

TEST(Dsa, TheReleasedIndexerIsNeverTrained) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx,
                         DsaJson({{"mode", "lt2_released"},
                                  {"latent_dim", 24},
                                  {"latent_value_dim", 16}}),
                         true);
  std::map<std::string, std::vector<double>> before;
  for (Parameter* p : model->parameters()) {
    before[p->name] = ToDoubles(*ctx, p->value);
  }
  EXPECT_EQ(TrainAttached(*model, 3).second, 0);
  for (Parameter* p : model->parameters()) {
    EXPECT_EQ(p->frozen, IsIndexer(*p)) << p->name;
    EXPECT_EQ(ToDoubles(*ctx, p->value) == before[p->name], p->frozen)
        << p->name;
  }
}

}  // namespace
}  // namespace lt2::model
