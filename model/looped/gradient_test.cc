// Gradients of whole models: against finite differences, against the unrolled
// model without shared weights, and with recomputation.

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/init.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::ToDoubles;

double LossOf(LoopedModel& model, const Tensor& ids, const Tensor& targets) {
  // In double on the host, so that differences of losses are not lost.
  const std::vector<double> logits = LogitsOf(model, ids);
  const int64_t vocab = model.config().vocab_size;
  double sum = 0;
  for (int64_t i = 0; i < targets.numel(); ++i) {
    const double* row = logits.data() + i * vocab;
    double total = 0;
    for (int64_t v = 0; v < vocab; ++v) total += std::exp(row[v]);
    sum += std::log(total) - row[targets.data<int32_t>()[i]];
  }
  return sum / static_cast<double>(targets.numel());
}

// The losses that mixers attach, weighted: what trains an indexer, and nothing
// else does.
double AttachedLossOf(LoopedModel& model, const Tensor& ids) {
  Tape tape(model.ctx(), Tape::kRecord);
  model.Logits(tape, ids, {});
  LT2_CHECK(tape.ok(), tape.status().ToString());
  double sum = 0;
  for (const Tape::Attached& a : tape.attached()) {
    sum += a.weight * ToDoubles(model.ctx(), a.loss)[0];
  }
  return sum;
}

void Backward(LoopedModel& model, const Tensor& ids, const Tensor& targets,
              Recompute recompute = Recompute::kNothing) {
  Context& ctx = model.ctx();
  for (Parameter* p : model.parameters()) LT2_CHECK_OK(ctx.Zero(&p->grad));
  Tape tape(ctx, Tape::kRecord);
  ForwardOptions options;
  options.recompute = recompute;
  const Var loss = CrossEntropy(tape, model.Logits(tape, ids, options), targets,
                                DType::kF32);
  LT2_CHECK_OK(tape.Backward(loss));
}

class EveryModel : public ::testing::TestWithParam<TestModel> {};
INSTANTIATE_TEST_SUITE_P(Looped, EveryModel,
                         ::testing::ValuesIn(TestModels(32)),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryModel, GradientMatchesFiniteDifferences) {
  auto ctx = CpuContext();
  nlohmann::json json = GetParam().json;
  // A loss jumps where the choice of tokens changes: choose them all.
  if (json.value("layer_pattern", "") == "dsa") json["dsa"]["top_k"] = 16;
  // An exit rule is one of inference: no gradient reaches the gate.
  for (const char* key : {"exit_gate", "exit_rule"}) json.erase(key);
  auto model = MakeModel(*ctx, json, true);
  const Tensor ids = RandomIds(*ctx, 2, 11, 29, 1);
  const Tensor targets = RandomIds(*ctx, 2, 11, 29, 2).Reshape({22});
  Backward(*model, ids, targets);
  for (Parameter* p : model->parameters()) {
    // Along the gradient itself, where the derivative is its norm.
    const std::vector<double> gradient = ToDoubles(*ctx, p->grad);
    double norm = 0;
    for (double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    if (p->frozen) {
      EXPECT_EQ(norm, 0) << p->name;
      continue;
    }
    ASSERT_GT(norm, 0) << p->name;
    const bool indexer = p->name.find("indexer.") != std::string::npos;
    const std::vector<double> start = ToDoubles(*ctx, p->value);
    auto loss_at = [&](double step) {
      std::vector<float> moved;
      for (size_t i = 0; i < start.size(); ++i) {
        moved.push_back(
            static_cast<float>(start[i] + step * gradient[i] / norm));
      }
      LT2_CHECK_OK(SetValues(*ctx, moved, p));
      return indexer ? AttachedLossOf(*model, ids)
                     : LossOf(*model, ids, targets);
    };
    // Fourth-order differences allow a step far above f32 rounding; where the
    // gradient is steep, so is the curvature.
    const double h = std::min(2e-2, 2e-3 / norm);
    const double derivative =
        (8 * (loss_at(h) - loss_at(-h)) - (loss_at(2 * h) - loss_at(-2 * h))) /
        (12 * h);
    loss_at(0);
    EXPECT_NEAR(derivative / norm, 1, 2e-2 + 5e-5 / norm) << p->name;
  }
}

TEST_P(EveryModel, RecomputingGivesTheSameGradient) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, GetParam().json, true);
  const Tensor ids = RandomIds(*ctx, 2, 11, 29, 1);
  const Tensor targets = RandomIds(*ctx, 2, 11, 29, 2).Reshape({22});
  Backward(*model, ids, targets);
  std::vector<std::vector<double>> plain;
  for (Parameter* p : model->parameters()) {
    plain.push_back(ToDoubles(*ctx, p->grad));
  }
  for (Recompute recompute : {Recompute::kBlocks, Recompute::kLoops}) {
    Backward(*model, ids, targets, recompute);
    for (size_t i = 0; i < plain.size(); ++i) {
      // Sums of a few terms associate differently: not the same bits.
      EXPECT_TRUE(testing::Near(ToDoubles(*ctx, model->parameters()[i]->grad),
                                plain[i], 1e-5))
          << model->parameters()[i]->name;
    }
  }
}

TEST_P(EveryModel, SharedGradientIsTheSumOverUnrolledLoops) {
  auto ctx = CpuContext();
  nlohmann::json json = GetParam().json;
  if (json.contains("attention_pattern")) GTEST_SKIP() << "masks by loop";
  // pattern_test unrolls these.
  if (GetParam().name == "by_loop") GTEST_SKIP() << "mixers by loop";
  if (json.value("loop_norm", false)) GTEST_SKIP() << "a norm between loops";
  json["use_residual"] = false;
  nlohmann::json unrolled_json = json;
  unrolled_json["loop_count"] = 1;
  unrolled_json["n_layers"] = 6;
  auto shared = MakeModel(*ctx, json, true);
  auto unrolled = MakeModel(*ctx, unrolled_json, true);
  // Layer tau * 2 + i of the unrolled model gets the weights of layer i.
  auto shared_name = [](std::string name) {
    if (name.rfind("layers.", 0) != 0) return name;
    const int layer = name[7] - '0';
    name[7] = static_cast<char>('0' + layer % 2);
    return name;
  };
  auto find = [&](const std::string& name) -> Parameter* {
    for (Parameter* p : shared->parameters()) {
      if (p->name == name) return p;
    }
    return nullptr;
  };
  for (Parameter* p : unrolled->parameters()) {
    LT2_CHECK_OK(ctx->Copy(find(shared_name(p->name))->value, &p->value));
  }
  const Tensor ids = RandomIds(*ctx, 2, 11, 29, 1);
  const Tensor targets = RandomIds(*ctx, 2, 11, 29, 2).Reshape({22});
  EXPECT_EQ(LogitsOf(*shared, ids), LogitsOf(*unrolled, ids));
  Backward(*shared, ids, targets);
  Backward(*unrolled, ids, targets);
  for (Parameter* p : shared->parameters()) {
    std::vector<double> sum(p->value.numel(), 0.0);
    for (Parameter* u : unrolled->parameters()) {
      if (shared_name(u->name) != p->name) continue;
      const std::vector<double> g = ToDoubles(*ctx, u->grad);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += g[i];
    }
    EXPECT_TRUE(testing::Near(ToDoubles(*ctx, p->grad), sum, 1e-5)) << p->name;
  }
}

}  // namespace
}  // namespace lt2::model
