// Parity and modular arithmetic.

#include <cctype>
#include <cmath>
#include <map>

#include "gtest/gtest.h"
#include "tasks/modular_arithmetic.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

using nlohmann::json;

std::unique_ptr<Task> Make(const json& spec) {
  absl::StatusOr<std::unique_ptr<Task>> task = CreateTask(spec);
  EXPECT_TRUE(task.ok()) << task.status();
  return task.ok() ? *std::move(task) : nullptr;
}

Example Get(const Task& task, Split split, int64_t index) {
  Example example;
  EXPECT_TRUE(task.Generate(split, 1, index, &example).ok());
  return example;
}

TEST(Parity, TargetsAreTheParityOfTheBitsSoFar) {
  const auto last = Make({{"task", "parity"}});
  const auto all = Make({{"task", "parity"}, {"supervise", "all"}});
  std::map<size_t, int> lengths;
  int ones = 0;
  for (int64_t i = 0; i < 4000; ++i) {
    const Example a = Get(*last, Split::kTrain, i);
    const Example b = Get(*all, Split::kTrain, i);
    ASSERT_EQ(a.inputs, b.inputs);
    ++lengths[a.inputs.size()];
    int count = 0;
    for (size_t t = 0; t < a.inputs.size(); ++t) {
      ASSERT_TRUE(a.inputs[t] == 1 || a.inputs[t] == 2);
      count += a.inputs[t] == 2;
      ASSERT_EQ(b.targets[t], 1 + count % 2);
      ASSERT_EQ(a.targets[t],
                t + 1 == a.inputs.size() ? 1 + count % 2 : kIgnore);
    }
    ones += count % 2;
  }
  EXPECT_NEAR(ones, 2000, 5 * std::sqrt(1000.0));
  EXPECT_EQ(lengths.size(), 38u);
  EXPECT_EQ(lengths.begin()->first, 3u);
  EXPECT_EQ(lengths.rbegin()->first, 40u);
  EXPECT_EQ(last->vocab_size(), 3);
}

TEST(Parity, TestLengthsExtrapolate) {
  const auto task = Make({{"task", "parity"}});
  for (Split split : {Split::kValid, Split::kTest}) {
    EXPECT_EQ(task->max_length(split), 256);
    size_t shortest = 1000, longest = 0;
    for (int64_t i = 0; i < 3000; ++i) {
      const size_t length = Get(*task, split, i).inputs.size();
      shortest = std::min(shortest, length);
      longest = std::max(longest, length);
    }
    EXPECT_EQ(shortest, 40u);
    EXPECT_EQ(longest, 256u);
  }
}

// A recursive-descent evaluator: sum := product (+|- product)*, product :=
// factor (* factor)*, factor := digit | - factor | ( sum ).
class Evaluator {
 public:
  Evaluator(const std::string& text, int64_t modulus)
      : text_(text), modulus_(modulus) {}

  int64_t Run() {
    const int64_t value = Sum();
    EXPECT_EQ(text_.substr(at_), "=") << text_;
    return ((value % modulus_) + modulus_) % modulus_;
  }

 private:
  int64_t Sum() {
    int64_t value = Product();
    while (text_[at_] == '+' || text_[at_] == '-') {
      const bool plus = text_[at_++] == '+';
      const int64_t next = Product();
      value = (plus ? value + next : value - next) % modulus_;
    }
    return value;
  }
  int64_t Product() {
    int64_t value = Factor();
    while (text_[at_] == '*') {
      ++at_;
      value = value * Factor() % modulus_;
    }
    return value;
  }
  int64_t Factor() {
    if (text_[at_] == '-') {
      ++at_;
      return -Factor();
    }
    if (text_[at_] == '(') {
      ++at_;
      const int64_t value = Sum();
      EXPECT_EQ(text_[at_], ')') << text_;
      ++at_;
      return value;
    }
    EXPECT_TRUE(std::isdigit(static_cast<unsigned char>(text_[at_]))) << text_;
    return text_[at_++] - '0';
  }

  std::string text_;
  int64_t modulus_;
  size_t at_ = 0;
};

TEST(ModularArithmetic, EvaluatorKnowsThePublishedExample) {
  EXPECT_EQ(Evaluator("2-3-3*2=", 5).Run(), 3);
}

TEST(ModularArithmetic, TargetIsTheValueOfTheExpression) {
  for (bool brackets : {false, true}) {
    for (int64_t modulus : {5, 7}) {
      const auto task = Make({{"task", "modular_arithmetic"},
                              {"modulus", modulus},
                              {"brackets", brackets}});
      EXPECT_EQ(task->vocab_size(), modulus + (brackets ? 7 : 5));
      for (Split split : {Split::kTrain, Split::kTest}) {
        for (int64_t i = 0; i < 500; ++i) {
          const Example e = Get(*task, split, i);
          const std::string text = ModularArithmeticText(e.inputs, modulus);
          ASSERT_EQ(text.size(), e.inputs.size());
          ASSERT_EQ(e.targets.back(), 1 + Evaluator(text, modulus).Run())
              << text;
          for (size_t t = 0; t + 1 < e.targets.size(); ++t) {
            ASSERT_EQ(e.targets[t], kIgnore);
          }
        }
      }
    }
  }
}

TEST(ModularArithmetic, LengthsFillTheRange) {
  for (bool brackets : {false, true}) {
    const auto task =
        Make({{"task", "modular_arithmetic"}, {"brackets", brackets}});
    std::map<size_t, int> lengths;
    for (int64_t i = 0; i < 8000; ++i) {
      ++lengths[Get(*task, Split::kTrain, i).inputs.size() - 1];
    }
    EXPECT_EQ(lengths.begin()->first, 3u);
    EXPECT_EQ(lengths.rbegin()->first, brackets ? 40u : 39u);
    EXPECT_EQ(lengths.size(), brackets ? 38u : 19u);
    for (const auto& [length, count] : lengths) {
      const double mean = 8000.0 / static_cast<double>(lengths.size());
      EXPECT_NEAR(count, mean, 5 * std::sqrt(mean)) << length;
    }
    EXPECT_EQ(task->max_length(Split::kTrain), brackets ? 41 : 40);
    EXPECT_EQ(task->max_length(Split::kTest), brackets ? 257 : 256);
  }
}

TEST(ModularArithmetic, LongExpressionsHaveUniformValues) {
  const auto task = Make({{"task", "modular_arithmetic"}});
  std::vector<double> count(6);
  for (int64_t i = 0; i < 10000; ++i) {
    ++count[Get(*task, Split::kTest, i).targets.back()];
  }
  for (int v = 1; v <= 5; ++v) {
    EXPECT_NEAR(count[v], 2000, 5 * std::sqrt(2000.0));
  }
}

TEST(ModularArithmetic, DeepestNestingIsHandled) {
  const auto task = Make({{"task", "modular_arithmetic"},
                          {"brackets", true},
                          {"train_min", 4096},
                          {"train_max", 4096}});
  EXPECT_EQ(Get(*task, Split::kTrain, 0).inputs.size(), 4097u);
}

}  // namespace
}  // namespace lt2::tasks
