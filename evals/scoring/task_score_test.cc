#include "evals/scoring/task_score.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "model/looped/scoring.h"
#include "model/looped/test_models.h"

namespace lt2::evals {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::Near;
using nlohmann::json;

// Between two float32 evaluations that sum in different orders: a score is the
// end of chains of some hundred roundings of 2^-24.
constexpr double kRounding = 128.0 / (1 << 24);

std::unique_ptr<model::LoopedModel> TinyModel(Context& ctx, int64_t vocab,
                                              const char* layers) {
  return model::MakeModel(ctx,
                          {{"vocab_size", vocab},
                           {"dim", 16},
                           {"n_layers", 2},
                           {"n_heads", 2},
                           {"loop_count", 2},
                           {"layer_pattern", layers},
                           {"multiple_of", 16},
                           {"default_sliding_window", 5},
                           {"gdn", {{"key_dim", 16}, {"expand_v", 1}}}},
                          /*training=*/false);
}

std::unique_ptr<tasks::Task> MakeTask(const json& spec) {
  auto task = tasks::CreateTask(spec);
  LT2_CHECK(task.ok(), task.status().ToString());
  return *std::move(task);
}

std::unique_ptr<tasks::Task> Parity() {
  return MakeTask({{"task", "parity"},
                   {"train_max", 8},
                   {"test_min", 3},
                   {"test_max", 13},
                   {"supervise", "all"}});
}

std::unique_ptr<tasks::Task> Text(int64_t length) {
  const char* file = "testdata/text/sample.txt";
  return MakeTask({{"task", "text"},
                   {"length", length},
                   {"train_files", {file}},
                   {"valid_files", {file}}});
}

std::vector<int64_t> Range(int64_t n) {
  std::vector<int64_t> indices(n);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

std::vector<ItemScore> MustScore(model::LoopedModel& model,
                                 const tasks::Task& task,
                                 const std::vector<int64_t>& indices,
                                 const ScoreOptions& options) {
  auto items = ScoreTask(model, task, indices, options);
  LT2_CHECK(items.ok(), items.status().ToString());
  return *std::move(items);
}

void ExpectSame(const ItemScore& a, const ItemScore& b) {
  EXPECT_EQ(a.index, b.index);
  EXPECT_EQ(a.scored, b.scored);
  EXPECT_EQ(a.correct, b.correct);
  EXPECT_EQ(a.nll, b.nll) << "example " << a.index;  // the same bits
}

TEST(TaskTotals, AreSumsAndRatios) {
  const TaskTotals t = Total({{0, 4, 4, 1.0}, {1, 6, 3, 2.0}, {7, 2, 2, 0.5}});
  EXPECT_EQ(t.items, 3);
  EXPECT_EQ(t.scored, 12);
  EXPECT_EQ(t.correct, 9);
  EXPECT_EQ(t.perfect_items, 2);
  EXPECT_DOUBLE_EQ(t.accuracy(), 0.75);
  EXPECT_DOUBLE_EQ(t.sequence_accuracy(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(t.loss(), 3.5 / 12);
  EXPECT_DOUBLE_EQ(t.bits(), 3.5 / 12 / std::log(2.0));
}

TEST(TaskTotals, OfNothingAreZero) {
  const TaskTotals t = Total({});
  EXPECT_EQ(t.items, 0);
  EXPECT_EQ(t.accuracy(), 0);
  EXPECT_EQ(t.sequence_accuracy(), 0);
  EXPECT_EQ(t.bits(), 0);
}

// Against the model's log-probabilities, one example at a time, unpadded.
TEST(ScoreTask, CountsAndSumsAreTheDefinitions) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 3, "interleaved:1:1:gdn:full");
  const auto task = Parity();
  const std::vector<ItemScore> items =
      MustScore(*model, *task, Range(7), {.seed = 3, .batch = 4});
  ASSERT_EQ(items.size(), 7u);
  std::vector<double> expected, actual;
  for (const ItemScore& item : items) {
    tasks::Example example;
    ASSERT_TRUE(
        task->Generate(tasks::Split::kTest, 3, item.index, &example).ok());
    const int64_t n = static_cast<int64_t>(example.inputs.size());
    const std::vector<double> logits = model::LogitsOf(
        *model,
        testing::ToTensor(*ctx, DType::kI32, {1, n},
                          {example.inputs.begin(), example.inputs.end()}));
    double nll = 0;
    int64_t correct = 0;
    for (int64_t t = 0; t < n; ++t) {
      const double* row = &logits[3 * t];
      const int32_t target = example.targets[t];
      nll += std::log(std::exp(row[0]) + std::exp(row[1]) + std::exp(row[2])) -
             row[target];
      correct += std::max_element(row, row + 3) - row == target;
    }
    EXPECT_EQ(item.scored, n);
    EXPECT_EQ(item.correct, correct);
    expected.push_back(nll);
    actual.push_back(item.nll);
  }
  EXPECT_TRUE(Near(actual, expected, kRounding));
}

TEST(ScoreTask, ScoreIndependentOfNeighboursAndPlace) {
  auto ctx = CpuContext();
  for (const char* layers : {"full", "gdn", "window"}) {
    SCOPED_TRACE(layers);
    auto model = TinyModel(*ctx, 3, layers);
    const auto task = Parity();
    const ScoreOptions options = {.seed = 5, .batch = 4};
    const auto all = MustScore(*model, *task, Range(10), options);
    ASSERT_EQ(all.size(), 10u);
    for (int64_t index : {0, 3, 7, 9}) {
      const auto alone = MustScore(*model, *task, {index}, options);
      ASSERT_EQ(alone.size(), 1u);
      ExpectSame(alone[0], all[index]);
    }
    const std::vector<int64_t> order = {9, 2, 2, 8, 0, 5};
    const auto shuffled = MustScore(*model, *task, order, options);
    ASSERT_EQ(shuffled.size(), order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      ExpectSame(shuffled[i], all[order[i]]);
    }
  }
}

TEST(ScoreTask, LastBlockOfTextIsPartial) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 256, "gdn");
  const auto task = Text(64);
  const int64_t n = task->num_examples(tasks::Split::kValid);
  tasks::Example last;
  ASSERT_TRUE(task->Generate(tasks::Split::kValid, 0, n - 1, &last).ok());
  ASSERT_LT(last.inputs.size(), 64u) << "the file's length has changed";
  std::vector<int64_t> done;
  ScoreOptions options = {.split = tasks::Split::kValid, .batch = 4};
  options.progress = [&](int64_t items) { done.push_back(items); };
  const auto items =
      MustScore(*model, *task, {n - 5, n - 4, n - 3, n - 2, n - 1}, options);
  EXPECT_EQ(done, (std::vector<int64_t>{4, 5}));
  ASSERT_EQ(items.size(), 5u);
  int64_t targets = 0;
  for (int32_t t : last.targets) targets += t != tasks::kIgnore;
  EXPECT_EQ(items[4].scored, targets);
  EXPECT_EQ(items[4].index, n - 1);
}

// Every byte of the text is scored once, however it is cut.
TEST(ScoreTask, EveryByteIsScoredOnce) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 256, "window");
  int64_t scored[2];
  int i = 0;
  for (int64_t length : {64, 250}) {
    const auto task = Text(length);
    const auto items = MustScore(
        *model, *task, Range(task->num_examples(tasks::Split::kValid)),
        {.split = tasks::Split::kValid});
    scored[i++] = Total(items).scored;
  }
  EXPECT_EQ(scored[0], scored[1]);
}

TEST(ScoreTask, CarriedStateEqualsOneLongSequence) {
  auto ctx = CpuContext();
  constexpr int64_t kLength = 16, kItems = 9;
  for (const char* layers :
       {"gdn", "deltanet", "full", "window", "interleaved:1:1:gdn:full"}) {
    SCOPED_TRACE(layers);
    auto model = TinyModel(*ctx, 256, layers);
    const auto stream = MustScore(
        *model, *Text(kLength), Range(kItems),
        {.split = tasks::Split::kValid, .loops = 2, .carry_state = true});
    ASSERT_EQ(stream.size(), static_cast<size_t>(kItems));

    const auto whole = Text(kLength * kItems);
    const auto batch = tasks::MakeBatch(*whole, tasks::Split::kValid, 0, 0, 1,
                                        kLength * kItems);
    ASSERT_TRUE(batch.ok()) << batch.status();
    const auto scores = model::Score(*model, 1, kLength * kItems, batch->inputs,
                                     batch->targets, {});
    ASSERT_TRUE(scores.ok()) << scores.status();
    std::vector<double> expected, actual;
    for (int64_t i = 0; i < kItems; ++i) {
      double nll = 0;
      for (int64_t t = i * kLength; t < (i + 1) * kLength; ++t) {
        nll += scores->nll[t];
      }
      expected.push_back(nll);
      actual.push_back(stream[i].nll);
    }
    EXPECT_TRUE(Near(actual, expected, kRounding));

    // Windows that start anew do not agree: the state was really carried.
    actual.clear();
    for (const ItemScore& item :
         MustScore(*model, *Text(kLength), Range(kItems),
                   {.split = tasks::Split::kValid})) {
      actual.push_back(item.nll);
    }
    EXPECT_FALSE(Near(actual, expected, kRounding));
  }
}

TEST(ScoreTask, LoopsOverrideTheModels) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 3, "gdn");
  const auto task = Parity();
  const auto own = MustScore(*model, *task, {1}, {});
  ExpectSame(MustScore(*model, *task, {1}, {.loops = 2})[0], own[0]);
  EXPECT_NE(MustScore(*model, *task, {1}, {.loops = 1})[0].nll, own[0].nll);
}

TEST(ScoreTask, SameForAnyNumberOfThreads) {
  std::vector<ItemScore> scores[2];
  int i = 0;
  for (int threads : {1, 3}) {
    auto ctx = CpuContext(threads);
    auto model = TinyModel(*ctx, 3, "interleaved:1:1:gdn:full");
    scores[i++] = MustScore(*model, *Parity(), Range(6), {.batch = 4});
  }
  for (int item = 0; item < 6; ++item) {
    ExpectSame(scores[0][item], scores[1][item]);
  }
}

TEST(ScoreTask, NoExamplesGiveNoScores) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 3, "gdn");
  EXPECT_TRUE(MustScore(*model, *Parity(), {}, {}).empty());
}

TEST(ScoreTask, TooSmallVocabularyIsAnError) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 255, "gdn");
  const auto items =
      ScoreTask(*model, *Text(64), {0}, {.split = tasks::Split::kValid});
  EXPECT_EQ(items.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(items.status().message(),
            "task text has 256 tokens, the model's vocabulary 255");
}

TEST(ScoreTask, ExampleBeyondTheEndIsPadding) {
  auto ctx = CpuContext();
  auto model = TinyModel(*ctx, 256, "gdn");
  const auto task = Text(64);
  const int64_t n = task->num_examples(tasks::Split::kValid);
  const auto items =
      MustScore(*model, *task, {n}, {.split = tasks::Split::kValid});
  EXPECT_EQ(items[0].scored, 0);
}

}  // namespace
}  // namespace lt2::evals
