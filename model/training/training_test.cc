#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/io/atomic_file.h"
#include "model/looped/init.h"
#include "model/looped/test_models.h"
#include "model/training/checkpoint.h"
#include "model/training/schedule.h"
#include "model/training/train_step.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::ToDoubles;

// A fixed batch to memorise.
struct TestBatch {
  std::vector<int32_t> inputs, targets;
};
TestBatch MakeTestBatch(uint64_t seed) {
  Philox rng(seed, 0);
  TestBatch b;
  for (int i = 0; i < 2 * 12; ++i) {
    b.inputs.push_back(static_cast<int32_t>(rng.Below(29)));
    b.targets.push_back(static_cast<int32_t>(rng.Below(29)));
  }
  return b;
}

struct Trainer {
  explicit Trainer(Context& ctx, const nlohmann::json& json)
      : model(MakeModel(ctx, json, true)) {
    auto made = Optimizer::Create(ctx, model->parameters(), {});
    LT2_CHECK(made.ok(), made.status().ToString());
    optimizer = *std::move(made);
    step = std::make_unique<TrainStep>(*model, *optimizer, Recompute::kNothing);
  }
  absl::StatusOr<StepMetrics> Run(int64_t number, double lr = 1e-2) {
    const TestBatch b = MakeTestBatch(number % 2);
    return step->Run(2, 12, b.inputs, b.targets, lr, number);
  }
  std::unique_ptr<LoopedModel> model;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<TrainStep> step;
};

std::vector<double> Everything(Context& ctx, const Trainer& t) {
  std::vector<double> all;
  for (const kernels::AdamWParameter& p : t.optimizer->parameters()) {
    for (const Tensor& x : {p.value, p.m, p.v}) {
      const std::vector<double> values = ToDoubles(ctx, x);
      all.insert(all.end(), values.begin(), values.end());
    }
  }
  return all;
}

std::string TempFolder(const char* name) {
  const char* base = std::getenv("TEST_TMPDIR");
  return absl::StrCat(base == nullptr ? "/tmp" : base, "/", name);
}

TEST(Schedule, Shapes) {
  Schedule s;
  s.lr = 1;
  s.warmup = 10;
  s.steps = 110;
  s.final = 0.1;
  s.shape = ScheduleShape::kCosine;
  EXPECT_DOUBLE_EQ(LearningRate(s, 0), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(s, 9), 1.0);
  EXPECT_DOUBLE_EQ(LearningRate(s, 10), 1.0);
  EXPECT_NEAR(LearningRate(s, 60), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(s, 110), 0.1, 1e-12);
  EXPECT_NEAR(LearningRate(s, 500), 0.1, 1e-12);
  s.shape = ScheduleShape::kConstant;
  EXPECT_DOUBLE_EQ(LearningRate(s, 109), 1.0);
  s.shape = ScheduleShape::kWsd;
  s.decay = 0.5;
  EXPECT_DOUBLE_EQ(LearningRate(s, 60), 1.0);
  EXPECT_NEAR(LearningRate(s, 85), 0.55, 1e-12);
  EXPECT_NEAR(LearningRate(s, 110), 0.1, 1e-12);
}

TEST(TrainStep, MemorisesTwoBatches) {
  auto ctx = CpuContext();
  for (const TestModel& kind : TestModels(32)) {
    Trainer t(*ctx, kind.json);
    float first = 0, last = 0;
    for (int64_t n = 1; n <= 60; ++n) {
      const auto metrics = t.Run(n);
      ASSERT_TRUE(metrics.ok()) << metrics.status();
      if (n == 1) first = metrics->loss;
      last = metrics->loss;
    }
    EXPECT_LT(last, 0.5 * first) << kind.name;
  }
}

TEST(TrainStep, BitsDoNotDependOnThreads) {
  std::vector<double> expected;
  for (int threads : {1, 3}) {
    auto ctx = CpuContext(threads);
    Trainer t(*ctx, TestModels(32)[7].json);
    for (int64_t n = 1; n <= 3; ++n) ASSERT_TRUE(t.Run(n).ok());
    const std::vector<double> got = Everything(*ctx, t);
    if (threads == 1) expected = got;
    EXPECT_EQ(got, expected);
  }
}

TEST(TrainStep, FewerLoopsAreThoseOfTheModel) {
  auto ctx = CpuContext();
  const nlohmann::json json = TestModels(32)[0].json;
  Trainer trainer(*ctx, json);
  const TestBatch b = MakeTestBatch(1);
  ForwardOptions options;
  options.loops = 1;
  Tape tape(*ctx, Tape::kInference);
  const Tensor ids = *ctx->FromHost<int32_t>(b.inputs, {2, 12});
  const Tensor targets = *ctx->FromHost<int32_t>(b.targets, {24});
  const Var loss = CrossEntropy(tape, trainer.model->Logits(tape, ids, options),
                                targets, DType::kF32);
  ASSERT_TRUE(tape.ok()) << tape.status();
  TrainStep one(*trainer.model, *trainer.optimizer, Recompute::kNothing, 1);
  const auto metrics = one.Run(2, 12, b.inputs, b.targets, 0, 1);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->loss, ToDoubles(*ctx, loss.value())[0]);
  EXPECT_NE(metrics->loss, trainer.Run(1, 0)->loss);  // of all three loops
}

TEST(Materialize, ValuesDoNotDependOnThreads) {
  DeclaredParameter p;
  p.DeclareProjection("layers.0.weight", 300, 1000, 256);
  const std::vector<float> expected = InitialValues(p, 7);
  for (int threads : {1, 3}) {
    auto ctx = CpuContext(threads);
    DeclaredParameter mine;
    mine.DeclareProjection("layers.0.weight", 300, 1000, 256);
    ASSERT_TRUE(Materialize(*ctx, 7, false, DType::kF32, &mine).ok());
    EXPECT_EQ(*ctx->ToHost<float>(mine.value), expected);
  }
}

TEST(TrainStep, NaNNamesStepAndTensor) {
  auto ctx = CpuContext();
  Trainer t(*ctx, TestModels(32)[0].json);
  Parameter* victim = nullptr;
  for (Parameter* p : t.model->parameters()) {
    if (p->name == "layers.1.feed_forward.w2.weight") victim = p;
  }
  ASSERT_NE(victim, nullptr);
  victim->value.data<float>()[5] = std::nanf("");
  const auto metrics = t.Run(17);
  EXPECT_EQ(metrics.status().code(), absl::StatusCode::kAborted);
  const std::string message(metrics.status().message());
  EXPECT_NE(message.find("step 17"), std::string::npos) << message;
  EXPECT_NE(message.find("first bad tensor: gradient of "), std::string::npos)
      << message;
}

TEST(Checkpoint, ResumesToTheSameBits) {
  auto ctx = CpuContext();
  const nlohmann::json json = TestModels(32)[7].json;
  const nlohmann::json config = {{"model", json}};
  const std::string folder = TempFolder("resume");
  Trainer whole(*ctx, json);
  for (int64_t n = 1; n <= 6; ++n) ASSERT_TRUE(whole.Run(n).ok());

  Trainer first(*ctx, json);
  for (int64_t n = 1; n <= 3; ++n) ASSERT_TRUE(first.Run(n).ok());
  ASSERT_TRUE(SaveCheckpoint(folder, config, *first.model, *first.optimizer,
                             {{"step", 3}})
                  .ok());
  Trainer second(*ctx, json);
  ASSERT_TRUE(LoadWeights(folder, *second.model).ok());
  const auto state =
      LoadTrainingState(folder, *second.model, *second.optimizer);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ((*state)["step"], 3);
  EXPECT_EQ(*LoadConfig(folder), config);
  for (int64_t n = 4; n <= 6; ++n) ASSERT_TRUE(second.Run(n).ok());
  EXPECT_EQ(Everything(*ctx, second), Everything(*ctx, whole));
}

TEST(Checkpoint, ExportRoundsToBf16) {
  auto ctx = CpuContext();
  const nlohmann::json json = TestModels(32)[4].json;
  Trainer t(*ctx, json);
  const std::string folder = TempFolder("export");
  ASSERT_TRUE(
      ExportCheckpoint(folder, {{"model", json}}, *t.model, DType::kBF16).ok());
  auto again = MakeModel(*ctx, json, false);
  ASSERT_TRUE(LoadWeights(folder, *again).ok());
  for (size_t i = 0; i < again->parameters().size(); ++i) {
    EXPECT_EQ(
        ToDoubles(*ctx, again->parameters()[i]->value),
        testing::Rounded(DType::kBF16,
                         ToDoubles(*ctx, t.model->parameters()[i]->value)));
  }
  const auto digest = CheckpointDigest(folder);
  ASSERT_TRUE(digest.ok());
  EXPECT_EQ(digest->size(), 16u);
}

TEST(Checkpoint, DamageIsNamed) {
  auto ctx = CpuContext();
  const nlohmann::json json = TestModels(32)[4].json;
  Trainer t(*ctx, json);
  const std::string folder = TempFolder("damage");
  ASSERT_TRUE(
      ExportCheckpoint(folder, {{"model", json}}, *t.model, DType::kF32).ok());
  // Another model: a missing tensor, then a shape that differs.
  auto attention = MakeModel(*ctx, TestModels(32)[0].json, false);
  const absl::Status missing = LoadWeights(folder, *attention);
  EXPECT_NE(missing.message().find("layers.0.attention.wq.weight"),
            absl::string_view::npos)
      << missing;
  nlohmann::json wide = json;
  wide["vocab_size"] = 31;
  auto wider = MakeModel(*ctx, wide, false);
  EXPECT_NE(LoadWeights(folder, *wider).message().find("[31, 32]"),
            absl::string_view::npos);
  // Unexpected tensors.
  nlohmann::json fewer = json;
  fewer["use_residual"] = false;
  auto plain = MakeModel(*ctx, fewer, false);
  EXPECT_NE(LoadWeights(folder, *plain).message().find("residual_weight.0"),
            absl::string_view::npos);
  // A truncated file.
  const std::string file = folder + "/model.safetensors";
  const std::string bytes = *ReadFile(file);
  ASSERT_TRUE(
      WriteFileAtomically(file, bytes.substr(0, bytes.size() - 10)).ok());
  auto same = MakeModel(*ctx, json, false);
  const absl::Status truncated = LoadWeights(folder, *same);
  EXPECT_NE(truncated.message().find("model.safetensors"),
            absl::string_view::npos)
      << truncated;
}

}  // namespace
}  // namespace lt2::model
