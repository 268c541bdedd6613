// What ForwardOptions::observer and ::embedded promise to probes.

#include <map>
#include <set>

#include "gtest/gtest.h"
#include "model/looped/test_models.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::ToDoubles;

TEST(Observer, SeesEveryStateAndBlockOnceAndChangesNothing) {
  auto ctx = CpuContext();
  for (const TestModel& test : TestModels(32)) {
    auto model = MakeModel(*ctx, test.json, /*training=*/false);
    const Tensor ids = RandomIds(*ctx, 2, 7, 29, 1);
    const std::vector<double> plain = LogitsOf(*model, ids);
    std::map<std::string, int> seen;
    ForwardOptions options;
    options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                           const Var&) {
      ++seen[absl::StrCat(loop, " ", layer, " ", name)];
    };
    EXPECT_EQ(LogitsOf(*model, ids, options), plain) << test.name;
    for (int64_t loop = 0; loop <= 3; ++loop) {
      EXPECT_EQ(seen[absl::StrCat(loop, " -1 h")], 1) << test.name;
      for (int64_t layer = 0; layer < 2 && loop > 0; ++layer) {
        for (const char* name : {"block_input", "mixer_output"}) {
          EXPECT_EQ(seen[absl::StrCat(loop, " ", layer, " ", name)], 1)
              << test.name << " " << name;
        }
      }
    }
  }
}

TEST(Observer, DeltaRulesTellUnitKeysAndSoftmaxItsQueriesAndKeys) {
  auto ctx = CpuContext();
  std::map<std::string, std::set<std::string>> seen;
  for (const TestModel& test : TestModels(32)) {
    auto model = MakeModel(*ctx, test.json, /*training=*/false);
    ForwardOptions options;
    options.observer = [&](int64_t, int64_t layer, absl::string_view name,
                           const Var& value) {
      if (layer < 0) return;
      seen[test.name].insert(std::string(name));
      if (name != "k" || seen[test.name].count("q") > 0) return;
      const std::vector<double> k = ToDoubles(*ctx, value.value());
      const int64_t d = value.dim(3);
      for (size_t row = 0; row + d <= k.size(); row += d) {
        double sum = 0;
        for (int64_t i = 0; i < d; ++i) sum += k[row + i] * k[row + i];
        EXPECT_NEAR(sum, 1, 1e-3) << test.name;
      }
    };
    LogitsOf(*model, RandomIds(*ctx, 1, 5, 29, 2), options);
  }
  for (const char* name : {"gdn", "kda", "deltaproduct"}) {
    EXPECT_EQ(seen[name].count("g"), 1u) << name;
  }
  EXPECT_EQ(seen["deltanet"], (std::set<std::string>{"k", "beta", "block_input",
                                                     "mixer_output"}));
  for (const char* name : {"full", "window"}) {
    EXPECT_EQ(seen[name].count("q") + seen[name].count("k"), 2u) << name;
  }
  EXPECT_EQ(seen["dsa"].count("selected_q") + seen["dsa"].count("selected_k"),
            2u);
}

TEST(Observer, EmbeddedReplacesTheEmbeddingAndReceivesTheGradient) {
  auto ctx = CpuContext();
  auto model = MakeModel(*ctx, TestModels(32)[0].json, /*training=*/true);
  const Tensor ids = RandomIds(*ctx, 1, 6, 29, 3);
  const std::vector<double> plain = LogitsOf(*model, ids);
  Tensor h0;
  ForwardOptions look;
  look.observer = [&](int64_t loop, int64_t, absl::string_view name,
                      const Var& value) {
    if (name == "h" && loop == 0) h0 = value.value();
  };
  LogitsOf(*model, ids, look);
  Tape tape(*ctx, Tape::kRecord);
  ForwardOptions options;
  options.embedded = tape.Leaf(h0);
  const Var logits = model->Logits(tape, ids, options);
  EXPECT_EQ(ToDoubles(*ctx, logits.value()), plain);
  LT2_CHECK_OK(tape.Backward(logits));
  ASSERT_TRUE(options.embedded.grad().defined());
  double sum = 0;
  for (double g : ToDoubles(*ctx, options.embedded.grad())) sum += g * g;
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace lt2::model
