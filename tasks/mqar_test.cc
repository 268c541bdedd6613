#include "tasks/mqar.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "gtest/gtest.h"
#include "tasks/sample_rng.h"
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

// slot[j] = slot of the query of key j.
std::vector<int64_t> Slots(const Example& e, int64_t pairs) {
  std::vector<int64_t> slots(pairs, -1);
  for (int64_t j = 0; j < pairs; ++j) {
    for (size_t i = 2 * pairs; i < e.inputs.size(); i += 2) {
      if (e.targets[i] == e.inputs[2 * j + 1]) {
        slots[j] = static_cast<int64_t>(i) / 2 - pairs;
      }
    }
  }
  return slots;
}

struct Statistics {
  double first = 0;     // P(key 0 is asked in slot 0)
  double earlier = 0;   // P(earlier key asked earlier)
  double distance = 0;  // Mean distance from key to query.
};

void Add(const std::vector<int64_t>& slots, Statistics* s) {
  const int64_t pairs = static_cast<int64_t>(slots.size());
  s->first += slots[0] == 0;
  double earlier = 0, distance = 0;
  for (int64_t j = 0; j < pairs; ++j) {
    distance += static_cast<double>(2 * pairs + 2 * slots[j] - 2 * j);
    for (int64_t i = 0; i < j; ++i) earlier += slots[i] < slots[j];
  }
  s->earlier += earlier / (static_cast<double>(pairs * (pairs - 1)) / 2);
  s->distance += distance / static_cast<double>(pairs);
}

TEST(Mqar, StatisticsAreThoseOfSuccessiveSampling) {
  struct Row {
    int64_t length, pairs, examples;
    double first, earlier, distance;  // Published to these digits.
  };
  const Row rows[] = {
      {64, 4, 20000, 0.251, 0.56, 19},   {64, 8, 20000, 0.261, 0.59, 24},
      {64, 16, 20000, 0.292, 0.69, 32},  {128, 8, 10000, 0.213, 0.57, 37},
      {128, 32, 8000, 0.243, 0.69, 64},  {256, 16, 8000, 0.185, 0.57, 73},
      {256, 64, 4000, 0.207, 0.68, 128},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.length * 1000 + row.pairs);
    const auto task =
        Make({{"task", "mqar"}, {"length", row.length}, {"pairs", row.pairs}});
    Statistics s;
    for (int64_t i = 0; i < row.examples; ++i) {
      Add(Slots(Get(*task, Split::kTrain, i), row.pairs), &s);
    }
    const double n = static_cast<double>(row.examples);
    // Half a unit of the last published digit, and four standard errors. A
    // shuffled assignment (0.5) or a sorted one (1.0) is far outside.
    EXPECT_NEAR(s.first / n, row.first,
                0.0005 + 4 * std::sqrt(row.first * (1 - row.first) / n));
    EXPECT_NEAR(s.earlier / n, row.earlier, 0.005 + 4 * 0.25 / std::sqrt(n));
    const double deviation =
        4 * row.pairs == row.length ? 1e-9 : 0.2 * row.length / std::sqrt(n);
    EXPECT_NEAR(s.distance / n, row.distance,
                4 * row.pairs == row.length ? 1e-9 : 0.5 + 4 * deviation);
  }
}

// The definition taken literally: draw a slot by weight, remove it, repeat.
std::vector<int64_t> DrawSequentially(Philox& rng, int64_t slots, int64_t pairs,
                                      double a) {
  std::vector<double> weight(slots);
  for (int64_t g = 0; g < slots; ++g) {
    weight[g] = a * std::pow(static_cast<double>(g + 1), a - 1);
  }
  std::vector<int64_t> drawn;
  for (int64_t j = 0; j < pairs; ++j) {
    const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
    double left = total * rng.Uniform();
    int64_t g = 0;
    while (g + 1 < slots && (left > weight[g] || weight[g] == 0)) {
      left -= weight[g++];
    }
    while (weight[g] == 0) --g;
    drawn.push_back(g);
    weight[g] = 0;
  }
  return drawn;
}

TEST(Mqar, SlotOfEachKeyIsDistributedAsInSequentialDrawing) {
  constexpr int64_t kLength = 24, kPairs = 4, kSlots = 8, kExamples = 40000;
  for (double a : {0.01, 1.0}) {
    const auto task = Make({{"task", "mqar"},
                            {"length", kLength},
                            {"pairs", kPairs},
                            {"power_a", a}});
    double ours[kPairs][kSlots] = {}, literal[kPairs][kSlots] = {};
    for (int64_t i = 0; i < kExamples; ++i) {
      Philox rng(77, i);
      const auto x = Slots(Get(*task, Split::kTrain, i), kPairs);
      const auto y = DrawSequentially(rng, kSlots, kPairs, a);
      for (int64_t j = 0; j < kPairs; ++j) {
        ++ours[j][x[j]];
        ++literal[j][y[j]];
      }
    }
    for (int64_t j = 0; j < kPairs; ++j) {
      // Two-sample chi-square, 7 degrees of freedom: 99.99 % point 29.9.
      double chi2 = 0;
      for (int64_t g = 0; g < kSlots; ++g) {
        const double difference = ours[j][g] - literal[j][g];
        chi2 += difference * difference / (ours[j][g] + literal[j][g]);
      }
      EXPECT_LT(chi2, 29.9) << "a " << a << " key " << j;
    }
  }
}

TEST(Mqar, ExamplesObeyTheRules) {
  for (bool filler : {true, false}) {
    for (int64_t pairs : {1, 4, 16}) {
      const auto task = Make({{"task", "mqar"},
                              {"pairs", pairs},
                              {"vocab", 70},
                              {"random_non_queries", filler}});
      for (int64_t i = 0; i < 200; ++i) {
        const Example e = Get(*task, Split::kTest, i);
        const absl::Status status =
            CheckMqar(e.inputs, e.targets, 70, pairs, filler);
        ASSERT_TRUE(status.ok()) << status;
      }
    }
  }
}

TEST(Mqar, CheckerRejectsEveryBrokenRule) {
  const auto task = Make({{"task", "mqar"}, {"random_non_queries", false}});
  const Example good = Get(*task, Split::kTrain, 0);
  const auto ok = [](const Example& e) {
    return CheckMqar(e.inputs, e.targets, 8192, 4, false).ok();
  };
  ASSERT_TRUE(ok(good));
  size_t query = 8;
  while (good.targets[query] == kIgnore) ++query;
  Example e = good;
  e.targets[query] = e.targets[query] == 8191 ? 8190 : e.targets[query] + 1;
  EXPECT_FALSE(ok(e)) << "wrong value";
  e = good;
  std::swap(e.targets[query], e.targets[query + 1]);
  EXPECT_FALSE(ok(e)) << "label moved by one position";
  e = good;
  e.targets[query] = kIgnore;
  EXPECT_FALSE(ok(e)) << "a key not asked";
  e = good;
  e.inputs[query + 1] = 5;
  EXPECT_FALSE(ok(e)) << "filler";
  e = good;
  e.inputs[0] = e.inputs[2];
  EXPECT_FALSE(ok(e)) << "key twice";
  e = good;
  e.inputs[0] = 0;
  EXPECT_FALSE(ok(e)) << "key 0";
  e = good;
  e.inputs[1] = 4095;
  EXPECT_FALSE(ok(e)) << "value in the range of keys";
}

TEST(Mqar, KeysValuesAndFillerAreUniform) {
  constexpr int64_t kVocab = 32, kExamples = 20000;
  const auto task =
      Make({{"task", "mqar"}, {"vocab", kVocab}, {"length", 24}, {"pairs", 2}});
  std::vector<double> key(kVocab), value(kVocab), filler(kVocab);
  for (int64_t i = 0; i < kExamples; ++i) {
    const Example e = Get(*task, Split::kTrain, i);
    ++key[e.inputs[2]];
    ++value[e.inputs[3]];
    ++filler[e.inputs[23]];  // An odd position: always filler.
  }
  const auto check = [&](const std::vector<double>& count, int64_t first,
                         int64_t last) {
    const double mean = static_cast<double>(kExamples) / (last - first);
    for (int64_t t = 0; t < kVocab; ++t) {
      if (t < first || t >= last) {
        EXPECT_EQ(count[t], 0) << t;
      } else {
        EXPECT_NEAR(count[t], mean, 5 * std::sqrt(mean)) << t;
      }
    }
  };
  check(key, 1, 16);
  check(value, 16, 32);
  check(filler, 0, 32);
}

TEST(Mqar, MixtureFollowsItsWeights) {
  const auto task = Make({{"task", "mqar"}, {"preset", "based_train"}});
  EXPECT_EQ(task->group_names(),
            (std::vector<std::string>{"64/4", "128/8", "256/16", "256/32",
                                      "256/64"}));
  EXPECT_EQ(task->max_length(Split::kTrain), 256);
  EXPECT_EQ(task->vocab_size(), 8192);
  // Queries: 5*4 + 8 + 16 + 32 + 64 in 9 examples.
  EXPECT_DOUBLE_EQ(task->chance(), 9.0 / 140);
  std::vector<double> train(5), valid(5);
  for (int64_t i = 0; i < 9000; ++i) {
    const Example e = Get(*task, Split::kTrain, i);
    ++train[e.groups[0]];
    const int64_t pairs[] = {4, 8, 16, 32, 64};
    ASSERT_TRUE(
        CheckMqar(e.inputs, e.targets, 8192, pairs[e.groups[0]], true).ok());
    ++valid[Get(*task, Split::kValid, i).groups[0]];
  }
  for (int g = 0; g < 5; ++g) {
    const double expected = g == 0 ? 5000 : 1000;
    EXPECT_NEAR(train[g], expected, 5 * std::sqrt(expected));
    EXPECT_EQ(valid[g], expected);
  }
}

TEST(Mqar, PresetsAreThePublishedSettings) {
  const auto test = Make({{"task", "mqar"}, {"preset", "based_test"}});
  EXPECT_EQ(test->group_names(),
            (std::vector<std::string>{"64/4", "64/8", "64/16", "128/32",
                                      "256/64", "512/128", "1024/256"}));
  for (const std::string& name : MqarPresetNames()) {
    EXPECT_NE(Make({{"task", "mqar"}, {"preset", name}}), nullptr) << name;
  }
  const auto zoology = Make({{"task", "mqar"}, {"preset", "zoology_64_4"}});
  EXPECT_EQ(zoology->spec(), json({{"task", "mqar"},
                                   {"vocab", 8192},
                                   {"length", 64},
                                   {"pairs", 4},
                                   {"power_a", 0.01},
                                   {"random_non_queries", false},
                                   {"num_passes", 1}}));
}

// One checker for the reference generator's examples and for ours.
TEST(Mqar, ThirdPartyExamplesObeyTheSameRulesAsOurs) {
  const char* data = std::getenv("LT2_DATA_DIR");
  if (data == nullptr) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  std::ifstream file(std::string(data) + "/oracles/mqar_zoology.json");
  ASSERT_TRUE(file.good()) << data;
  const json cases = json::parse(file);
  ASSERT_EQ(cases.size(), 6u);
  for (const json& c : cases) {
    const int64_t vocab = c["vocab_size"], pairs = c["num_kv_pairs"];
    const bool filler = c["random_non_queries"];
    SCOPED_TRACE(c["seed"].dump());
    const auto task = Make({{"task", "mqar"},
                            {"vocab", vocab},
                            {"length", c["input_seq_len"]},
                            {"pairs", pairs},
                            {"power_a", c["power_a"]},
                            {"random_non_queries", filler}});
    ASSERT_NE(task, nullptr);
    for (size_t i = 0; i < c["inputs"].size(); ++i) {
      const std::vector<int32_t> inputs = c["inputs"][i];
      const std::vector<int32_t> labels = c["labels"][i];
      absl::Status status = CheckMqar(inputs, labels, vocab, pairs, filler);
      EXPECT_TRUE(status.ok()) << "theirs: " << status;
      const Example e = Get(*task, Split::kTrain, static_cast<int64_t>(i));
      EXPECT_EQ(e.inputs.size(), inputs.size());
      status = CheckMqar(e.inputs, e.targets, vocab, pairs, filler);
      EXPECT_TRUE(status.ok()) << "ours: " << status;
    }
  }
}

}  // namespace
}  // namespace lt2::tasks
