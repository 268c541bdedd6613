#include "tasks/word_problem.h"

#include <cmath>
#include <map>

#include "gtest/gtest.h"
#include "tasks/group.h"
#include "tasks/task.h"

namespace lt2::tasks {
namespace {

Group Make(absl::string_view name) {
  absl::StatusOr<Group> group = Group::Create(name);
  EXPECT_TRUE(group.ok()) << group.status();
  return *std::move(group);
}

TEST(Group, ObeysTheAxioms) {
  for (const char* name :
       {"S1", "S2", "S3", "S4", "S5", "A1", "A2", "A3", "A4", "A5", "Z1", "Z7",
        "Z60", "Z120", "A4xZ5", "S3xZ2xZ2"}) {
    SCOPED_TRACE(name);
    const Group g = Make(name);
    const int32_t n = static_cast<int32_t>(g.order());
    for (int32_t a = 0; a < n; ++a) {
      ASSERT_EQ(g.Multiply(0, a), a);
      ASSERT_EQ(g.Multiply(a, 0), a);
      int inverses = 0;
      for (int32_t b = 0; b < n; ++b) {
        ASSERT_LT(g.Multiply(a, b), n);
        inverses += g.Multiply(a, b) == 0 && g.Multiply(b, a) == 0;
      }
      ASSERT_EQ(inverses, 1);
      // Associativity: all triples, but every third c of the large ones.
      for (int32_t b = 0; b < n; ++b) {
        for (int32_t c = 0; c<n; c += n> 60 ? 3 : 1) {
          ASSERT_EQ(g.Multiply(g.Multiply(a, b), c),
                    g.Multiply(a, g.Multiply(b, c)));
        }
      }
    }
  }
}

TEST(Group, HasTheRightOrder) {
  const std::map<std::string, int64_t> orders = {
      {"S3", 6},  {"S4", 24},  {"S5", 120},   {"A3", 3}, {"A4", 12},
      {"A5", 60}, {"Z60", 60}, {"A4xZ5", 60}, {"A1", 1}, {"A2", 1},
      {"S1", 1},  {"Z1", 1},   {"Z2xZ3", 6},
  };
  for (const auto& [name, order] : orders) {
    EXPECT_EQ(Make(name).order(), order) << name;
  }
}

// Number of elements of each order tells the three groups of 60 apart.
std::map<int, int> ElementOrders(const Group& g) {
  std::map<int, int> orders;
  for (int32_t a = 0; a < g.order(); ++a) {
    int order = 1;
    for (int32_t p = a; p != 0; p = g.Multiply(p, a)) ++order;
    ++orders[order];
  }
  return orders;
}

TEST(Group, TheThreeGroupsOfSixtyElementsAreThemselves) {
  EXPECT_EQ(ElementOrders(Make("A5")),
            (std::map<int, int>{{1, 1}, {2, 15}, {3, 20}, {5, 24}}));
  EXPECT_EQ(
      ElementOrders(Make("A4xZ5")),
      (std::map<int, int>{{1, 1}, {2, 3}, {3, 8}, {5, 4}, {10, 12}, {15, 32}}));
  EXPECT_EQ(ElementOrders(Make("Z60"))[60], 16);
}

TEST(Group, A5HoldsTheEvenPermutationsInLexicographicOrder) {
  const auto all = Permutations(5, false), even = Permutations(5, true);
  ASSERT_EQ(all.size(), 120u);
  ASSERT_EQ(even.size(), 60u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_TRUE(std::is_sorted(even.begin(), even.end()));
  for (std::vector<int> p : even) {
    // Sorting by transpositions takes an even number of them.
    int swaps = 0;
    for (int i = 0; i < 5; ++i) {
      while (p[i] != i) {
        std::swap(p[i], p[p[i]]);
        ++swaps;
      }
    }
    EXPECT_EQ(swaps % 2, 0);
  }
}

TEST(Group, S3TellsTheOrderOfCompositionApart) {
  const auto s3 = Permutations(3, false);
  ASSERT_EQ(s3[1], (std::vector<int>{0, 2, 1}));
  ASSERT_EQ(s3[2], (std::vector<int>{1, 0, 2}));
  ASSERT_EQ(s3[3], (std::vector<int>{1, 2, 0}));
  ASSERT_EQ(s3[4], (std::vector<int>{2, 0, 1}));
  // (p * q)(i) = p(q(i)).
  EXPECT_EQ(Make("S3").Multiply(1, 2), 4);
  EXPECT_EQ(Make("S3").Multiply(2, 1), 3);
}

TEST(Group, ProductsNumberTheSecondFactorFirst) {
  const Group g = Make("Z2xZ3");
  EXPECT_EQ(g.Multiply(0 * 3 + 2, 1 * 3 + 2), 1 * 3 + 1);
}

TEST(Group, BadNamesAreErrors) {
  for (const char* name :
       {"",    "x",  "S",    "S0",        "S6",      "A6",       "Z0",  "Z121",
        "Z",   "s5", "S5x",  "xS5",       "A4_x_Z5", "A4 xZ5",   "S05", "Z+5",
        "Z-5", "D5", "Z1e1", "Z00000005", "S5xA5",   "Z120xZ120"}) {
    EXPECT_FALSE(Group::Create(name).ok()) << name;
  }
}

TEST(WordProblem, TargetsAreRunningProducts) {
  // Recomputed on permutations, with composition written out: a new factor
  // goes to the right, y_t(i) = y_{t-1}(x_t(i)).
  const auto task = CreateTask(
      {{"task", "word_problem"}, {"group", "A5"}, {"max_length", 20}});
  ASSERT_TRUE(task.ok()) << task.status();
  const auto elements = Permutations(5, true);
  Example e;
  int differs = 0;
  for (int64_t index = 0; index < 50; ++index) {
    ASSERT_TRUE((*task)->Generate(Split::kTrain, 1, index, &e).ok());
    ASSERT_EQ(e.inputs.size(), 20u);
    std::vector<int> y = elements[0], other = elements[0];
    for (size_t t = 0; t < e.inputs.size(); ++t) {
      const std::vector<int>& x = elements[e.inputs[t]];
      std::vector<int> next(5), next_other(5);
      for (int i = 0; i < 5; ++i) {
        next[i] = y[x[i]];
        next_other[i] = x[other[i]];
      }
      y = next;
      other = next_other;
      EXPECT_EQ(elements[e.targets[t]], y);
      differs += other != y;
    }
  }
  EXPECT_GT(differs, 500);  // The other order would have been noticed.
}

TEST(WordProblem, InputsAndTargetsAreUniform) {
  const auto task = CreateTask(
      {{"task", "word_problem"}, {"group", "A4xZ5"}, {"max_length", 16}});
  ASSERT_TRUE(task.ok()) << task.status();
  std::vector<double> x(60), y(60);
  Example e;
  for (int64_t index = 0; index < 30000; ++index) {
    ASSERT_TRUE((*task)->Generate(Split::kTrain, 1, index, &e).ok());
    ++x[e.inputs[7]];
    ++y[e.targets[15]];
  }
  for (int g = 0; g < 60; ++g) {
    EXPECT_NEAR(x[g], 500, 5 * std::sqrt(500.0));
    EXPECT_NEAR(y[g], 500, 5 * std::sqrt(500.0));
  }
  EXPECT_DOUBLE_EQ((*task)->chance(), 1.0 / 60);
}

TEST(WordProblem, LengthsAreUniformInTheirRanges) {
  const auto task = CreateTask({{"task", "word_problem"},
                                {"group", "S3"},
                                {"min_length", 2},
                                {"max_length", 5},
                                {"test_min_length", 9},
                                {"test_max_length", 10}});
  ASSERT_TRUE(task.ok()) << task.status();
  std::map<size_t, double> train, test;
  Example e;
  for (int64_t index = 0; index < 8000; ++index) {
    ASSERT_TRUE((*task)->Generate(Split::kTrain, 1, index, &e).ok());
    ++train[e.inputs.size()];
    ASSERT_TRUE((*task)->Generate(Split::kTest, 1, index, &e).ok());
    ++test[e.inputs.size()];
  }
  ASSERT_EQ(train.size(), 4u);
  for (size_t n = 2; n <= 5; ++n) EXPECT_NEAR(train[n], 2000, 200);
  ASSERT_EQ(test.size(), 2u);
  for (size_t n = 9; n <= 10; ++n) EXPECT_NEAR(test[n], 4000, 250);
}

}  // namespace
}  // namespace lt2::tasks
