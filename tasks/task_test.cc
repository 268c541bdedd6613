#include "tasks/task.h"

#include <limits>
#include <set>

#include "gtest/gtest.h"
#include "tasks/registry.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

// One spec of every kind; the same list drives all general properties.
std::vector<json> Specs() {
  return {
      {{"task", "mqar"}},
      {{"task", "mqar"}, {"preset", "based_train"}},
      {{"task", "mqar"}, {"preset", "based_test"}},
      {{"task", "word_problem"},
       {"group", "S5"},
       {"min_length", 8},
       {"max_length", 40}},
      {{"task", "parity"}},
      {{"task", "parity"}, {"supervise", "all"}},
      {{"task", "modular_arithmetic"}},
      {{"task", "modular_arithmetic"}, {"brackets", true}},
      {{"task", "program"}, {"stage", 1}},
      {{"task", "program"}, {"bits", 16}, {"swaps", 5}, {"encoding", "words"}},
      {{"task", "program"}, {"stages", {1, 2, 3}}},
      {{"task", "program"}, {"stage", 2}, {"base", 10}},
      {{"task", "program"}, {"bits", 20}, {"min_bits", 8}, {"swaps", 4}},
      {{"task", "program"}, {"bits", 20}, {"swaps", 9}, {"assigns", 5}},
      {{"task", "program"}, {"bits", 20}, {"swaps", 3}, {"rounds", 3}},
      {{"task", "text"},
       {"train_files", {"testdata/text/sample.txt"}},
       {"length", 64}},
      {{"task", "text"},
       {"tokenizer", "bytes"},
       {"train_files", {"testdata/text/sample.txt"}},
       {"length", 64}},
  };
}

std::unique_ptr<Task> Make(const json& spec) {
  absl::StatusOr<std::unique_ptr<Task>> task = CreateTask(spec);
  EXPECT_TRUE(task.ok()) << spec << ": " << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

Example Get(const Task& task, Split split, uint64_t seed, int64_t index) {
  Example example;
  const absl::Status status = task.Generate(split, seed, index, &example);
  EXPECT_TRUE(status.ok()) << status;
  return example;
}

bool Same(const Example& a, const Example& b) {
  return a.inputs == b.inputs && a.targets == b.targets && a.groups == b.groups;
}

std::string Error(const json& spec, const std::string& path = "") {
  TaskOptions options;
  options.path = path;
  return std::string(CreateTask(spec, options).status().message());
}

constexpr Split kSplits[] = {Split::kTrain, Split::kValid, Split::kTest};

TEST(Tasks, ExamplesObeyWhatTheTaskSaysOfItself) {
  for (const json& spec : Specs()) {
    SCOPED_TRACE(spec.dump());
    const std::unique_ptr<Task> task = Make(spec);
    ASSERT_NE(task, nullptr);
    const int32_t groups = static_cast<int32_t>(task->group_names().size());
    EXPECT_EQ(task->name(), spec["task"].get<std::string>());
    for (Split split : kSplits) {
      const int64_t end = task->num_examples(split);
      for (int64_t i = 0; i < (end < 0 ? 100 : end); ++i) {
        const Example e = Get(*task, split, 3, i);
        ASSERT_EQ(e.inputs.size(), e.targets.size());
        ASSERT_LE(static_cast<int64_t>(e.inputs.size()),
                  task->max_length(split));
        ASSERT_EQ(e.groups.size(), groups == 0 ? 0 : e.inputs.size());
        int64_t scored = 0;
        for (size_t t = 0; t < e.inputs.size(); ++t) {
          ASSERT_GE(e.inputs[t], 0);
          ASSERT_LT(e.inputs[t], task->vocab_size());
          if (groups > 0) {
            ASSERT_GE(e.groups[t], 0);
            ASSERT_LT(e.groups[t], groups);
          }
          if (e.targets[t] == kIgnore) continue;
          ++scored;
          ASSERT_GE(e.targets[t], 0);
          ASSERT_LT(e.targets[t], task->vocab_size());
        }
        EXPECT_GT(scored, 0);
      }
    }
  }
}

TEST(Tasks, GenerateIsAPureFunctionOfItsArguments) {
  for (const json& spec : Specs()) {
    SCOPED_TRACE(spec.dump());
    const std::unique_ptr<Task> task = Make(spec), other = Make(spec);
    Example used;  // Left-overs must not show.
    for (int64_t i : {5, 0, 7, 5}) {
      ASSERT_TRUE(task->Generate(Split::kTrain, 9, i, &used).ok());
      EXPECT_TRUE(Same(used, Get(*other, Split::kTrain, 9, i)));
    }
  }
}

TEST(Tasks, SeedsSplitsAndIndicesGiveDifferentExamples) {
  for (const json& spec : Specs()) {
    if (spec["task"] == "text") continue;  // Windows, tested in text_test.
    SCOPED_TRACE(spec.dump());
    const std::unique_ptr<Task> task = Make(spec);
    std::set<std::vector<int32_t>> seen;
    int64_t count = 0;
    for (Split split : kSplits) {
      for (uint64_t seed : {0u, 1u}) {
        for (int64_t i = 0; i < 50; ++i) {
          Example e = Get(*task, split, seed, i);
          if (e.inputs.size() < 20) continue;  // These may repeat by chance.
          seen.insert(e.inputs);
          ++count;
        }
      }
    }
    EXPECT_GT(count, 100);
    EXPECT_EQ(static_cast<int64_t>(seen.size()), count);
  }
}

TEST(Tasks, CanonicalSpecMakesTheSameTask) {
  for (const json& spec : Specs()) {
    SCOPED_TRACE(spec.dump());
    const std::unique_ptr<Task> task = Make(spec);
    const std::unique_ptr<Task> again = Make(task->spec());
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->spec(), task->spec());
    EXPECT_TRUE(Same(Get(*again, Split::kTrain, 1, 2),
                     Get(*task, Split::kTrain, 1, 2)));
  }
}

TEST(Tasks, NegativeIndexIsAnError) {
  Example example;
  for (const json& spec : Specs()) {
    EXPECT_FALSE(Make(spec)->Generate(Split::kTest, 0, -1, &example).ok());
  }
}

TEST(Registry, IsSortedAndListsEveryTask) {
  EXPECT_EQ(TaskNames(),
            (std::vector<std::string>{"modular_arithmetic", "mqar", "parity",
                                      "program", "text", "word_problem"}));
}

TEST(Spec, EveryTaskRejectsUnknownKeys) {
  for (json spec : Specs()) {
    spec["lenght"] = 3;
    EXPECT_EQ(Error(spec, "data").find("data.lenght: unknown key; "), 0u)
        << Error(spec, "data");
  }
}

TEST(Spec, ErrorsBeginWithThePathOfTheKey) {
  struct Case {
    json spec;
    std::string error;  // A prefix.
  };
  const json nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Case> cases = {
      {{{"task", "mqar"}, {"length", 64}, {"pairs", 20}},
       "d.pairs: 4*pairs must be <= length (64), got 80"},
      {{{"task", "mqar"}, {"pairs", 0}},
       "d.pairs: expected an integer in [1, "},
      {{{"task", "mqar"}, {"pairs", "4"}},
       "d.pairs: expected an integer in [1, 1048576], got '4'"},
      {{{"task", "mqar"}, {"pairs", 4.0}},
       "d.pairs: expected an integer in [1, "},
      {{{"task", "mqar"}, {"pairs", 18446744073709551615u}},
       "d.pairs: expected an integer in [1, "},
      {{{"task", "mqar"}, {"length", 63}}, "d.length: must be even, got 63"},
      {{{"task", "mqar"}, {"vocab", 64}}, "d.length: must be < vocab (64)"},
      {{{"task", "mqar"}, {"power_a", nan}},
       "d.power_a: expected a number in [0.0, 100.0], got NaN"},
      {{{"task", "mqar"}, {"power_a", "x"}},
       "d.power_a: expected a number in [0.0, 100.0], got 'x'"},
      {{{"task", "mqar"}, {"num_passes", 2}},
       "d.num_passes: expected an integer in [1, 1], got 2"},
      {{{"task", "mqar"}, {"random_non_queries", 1}},
       "d.random_non_queries: expected true or false, got 1"},
      {{{"task", "mqar"}, {"train_power_a", 0.1}},
       "d.train_power_a: unknown key; known keys: length, num_passes, pairs"},
      {{{"task", "mqar"}, {"preset", "based"}},
       "d.preset: expected one of 'based_train"},
      {{{"task", "mqar"}, {"preset", "based_test"}, {"vocab", 512}},
       "d.vocab: must be > 512, got 512"},
      {{{"task", "mqar"}, {"preset", "based_test"}, {"pairs", 4}},
       "d.pairs: unknown key"},
      {{{"task", "mqar"}, {"settings", json::array()}},
       "d.settings: must not be empty"},
      {{{"task", "mqar"}, {"settings", 4}},
       "d.settings: expected an array, got 4"},
      {{{"task", "mqar"}, {"settings", {4}}},
       "d.settings.0: expected an object, got 4"},
      {{{"task", "mqar"}, {"settings", {{{"pairs", 17}}}}},
       "d.settings.0.pairs: 4*pairs must be <= length (64), got 68"},
      {{{"task", "mqar"},
        {"settings", {{{"weight", 1 << 30}}, {{"weight", 1}}}}},
       "d.settings: the weights must add up to at most 1073741824, got"},
      {{{"task", "mqar"}, {"settings", {{{"wieght", 1}}}}},
       "d.settings.0.wieght: unknown key; did you mean 'weight'?"},
      {{{"task", "word_problem"}, {"max_length", 3}},
       "d.group: required, but missing"},
      {{{"task", "word_problem"}, {"group", "S5"}},
       "d.max_length: required, but missing"},
      {{{"task", "word_problem"}, {"group", "S6"}, {"max_length", 3}},
       "d.group: unknown group \"S6\""},
      {{{"task", "word_problem"}, {"group", "Z121"}, {"max_length", 3}},
       "d.group: unknown group"},
      {{{"task", "word_problem"}, {"group", "S5xS5"}, {"max_length", 3}},
       "d.group: group \"S5xS5\" has more than 2048 elements"},
      {{{"task", "word_problem"},
        {"group", "S3"},
        {"max_length", 3},
        {"min_length", 4}},
       "d.min_length: must be <= max_length (3), got 4"},
      {{{"task", "parity"}, {"train_min", 41}},
       "d.train_min: must be <= train_max (40), got 41"},
      {{{"task", "parity"}, {"supervise", "most"}},
       "d.supervise: expected one of 'last', 'all', got 'most'"},
      {{{"task", "modular_arithmetic"}, {"train_min", 4}, {"train_max", 4}},
       "d.train_min: without brackets lengths are odd; there is none in 4..4"},
      {{{"task", "modular_arithmetic"}, {"modulus", 1}},
       "d.modulus: expected an integer in [2, 1000], got 1"},
      {{{"task", "program"}}, "d.bits: required, but missing"},
      {{{"task", "program"}, {"stage", 7}},
       "d.stage: expected an integer in [1, 6], got 7"},
      {{{"task", "program"}, {"stages", {1, 9}}},
       "d.stages.1: expected an integer in [1, 6], got 9"},
      {{{"task", "program"}, {"stages", {1, 2}}, {"stage", 1}},
       "d.stage: give one of stage, stages, and bits with swaps"},
      {{{"task", "program"}, {"bits", 4}},
       "d.bits: bits (4) must be >= variables (5)"},
      {{{"task", "program"}, {"bits", 300}},
       "d.bits: bits (300) must be <= numbers (256)"},
      {{{"task", "program"}, {"stage", 6}, {"numbers", 128}},
       "d.numbers: bits (256) must be <= numbers (128)"},
      {{{"task", "text"}}, "d.train_files: must name at least one file"},
      {{{"task", "text"}, {"train_files", {1}}},
       "d.train_files.0: expected a string, got 1"},
      {{{"task", "text"}, {"train_files", {"no/such/file"}}},
       "d.train_files: no/such/file: cannot open"},
      {{{"task", "text"},
        {"train_files", {"testdata/text/sample.txt"}},
        {"length", 1000000}},
       "d.length: must be < the bytes of training text"},
      {{{"task", "text"},
        {"train_files", {"testdata/text/sample.txt"}},
        {"valid_files", {"testdata/text/sample.txt"}},
        {"valid_fraction", 0.1}},
       "d.valid_fraction: cannot be given together with valid_files"},
      {{{"task", "copy"}}, "d.task: must be one of modular_arithmetic, mqar"},
      {{{"task", 3}}, "d.task: expected a string, got 3"},
      {json::object(), "d.task: required, but missing"},
      {json::array(), "d: expected an object, got an array"},
      {json(), "d: expected an object, got null"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Error(c.spec, "d").substr(0, c.error.size()), c.error)
        << Error(c.spec, "d");
  }
  EXPECT_EQ(Error({{"task", "mqar"}, {"pairs", 0}}).substr(0, 6), "pairs:");
}

TEST(Spec, BytesThatAreNoUtf8AreAnErrorAndNoCrash) {
  EXPECT_NE(Error({{"task", "mqar\xff"}}), "");
  EXPECT_NE(Error({{"task", "parity"}, {"supervise", "\xff"}}), "");
  EXPECT_NE(Error({{"task", "parity"}, {"\xff\xfe", 1}}), "");
}

TEST(MakeBatch, PadsEachRowToTheFixedLength) {
  const std::unique_ptr<Task> task = Make({{"task", "parity"}});
  const auto batch = MakeBatch(*task, Split::kTrain, 1, 10, 8, 50);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->batch, 8);
  EXPECT_EQ(batch->seq, 50);
  ASSERT_EQ(batch->inputs.size(), 400u);
  ASSERT_EQ(batch->targets.size(), 400u);
  EXPECT_TRUE(batch->groups.empty());
  for (int64_t row = 0; row < 8; ++row) {
    const Example e = Get(*task, Split::kTrain, 1, 10 + row);
    for (int64_t t = 0; t < 50; ++t) {
      const bool inside = t < static_cast<int64_t>(e.inputs.size());
      EXPECT_EQ(batch->inputs[row * 50 + t], inside ? e.inputs[t] : 0);
      EXPECT_EQ(batch->targets[row * 50 + t], inside ? e.targets[t] : kIgnore);
    }
  }
}

TEST(MakeBatch, TakesAnyIndicesAndCarriesGroups) {
  const std::unique_ptr<Task> task =
      Make({{"task", "mqar"}, {"preset", "based_test"}});
  const auto batch =
      MakeBatch(*task, Split::kTest, 1, {3, 0}, task->max_length(Split::kTest));
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->groups[0], 3);
  EXPECT_EQ(batch->groups[1024], 0);
  EXPECT_EQ(batch->inputs[0], Get(*task, Split::kTest, 1, 3).inputs[0]);
}

TEST(MakeBatch, RowsPastTheEndArePadding) {
  const std::unique_ptr<Task> task = Make(Specs().back());
  const int64_t end = task->num_examples(Split::kValid);
  ASSERT_GT(end, 0);
  const auto batch = MakeBatch(*task, Split::kValid, 0, end - 1, 2, 64);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_NE(batch->inputs[1], 0);
  for (int64_t t = 64; t < 128; ++t) {
    EXPECT_EQ(batch->inputs[t], 0);
    EXPECT_EQ(batch->targets[t], kIgnore);
  }
}

TEST(MakeBatch, TooShortRowsAreAnError) {
  const std::unique_ptr<Task> task = Make({{"task", "mqar"}});
  const auto batch = MakeBatch(*task, Split::kTrain, 1, 0, 1, 63);
  EXPECT_EQ(batch.status().message(),
            "mqar: train example 0 has 64 tokens, more than seq = 63");
  EXPECT_FALSE(MakeBatch(*task, Split::kTrain, 1, -1, 1, 64).ok());
  EXPECT_FALSE(MakeBatch(*task, Split::kTrain, 1, 0, -1, 64).ok());
  EXPECT_FALSE(MakeBatch(*task, Split::kTrain, 1, 0, 1, -1).ok());
  const auto empty = MakeBatch(*task, Split::kTrain, 1, 0, 0, 64);
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->inputs.empty());
}

}  // namespace
}  // namespace lt2::tasks
