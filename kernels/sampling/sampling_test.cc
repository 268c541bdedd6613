#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "kernels/sampling/sampling_testing.h"
#include "kernels/sampling/sampling_weight.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Ties at 1 and at -1; probabilities from 0.002 to 0.37.
const std::vector<double>& Logits() {
  static const auto* logits =
      new std::vector<double>{-1, 1, 0.25, -4, 1, 1.5, -1, 0.5, -2, 0};
  return *logits;
}

TEST(SamplingWeight, IsTheExponentialToSinglePrecision) {
  EXPECT_EQ(TokenWeight(3, 3, 1), kFullWeight);
  for (const double x : testing::Uniform(1, 2000, -15, 0)) {
    const float difference = static_cast<float>(x);
    const double expected = std::ldexp(std::exp(double{difference}), 40);
    // The argument is rounded twice, the polynomial once or twice, and the
    // weight down to an integer.
    EXPECT_NEAR(static_cast<double>(TokenWeight(difference, 0, 1)), expected,
                1 + expected * (4 - x) * std::ldexp(1.0, -23))
        << x;
  }
  EXPECT_EQ(TokenWeight(-100, 0, 1), 0u);
  EXPECT_EQ(TokenWeight(-std::numeric_limits<float>::infinity(), 0, 1), 0u);
  EXPECT_EQ(TokenWeight(-3e38f, 3e38f, 1), 0u);
  EXPECT_EQ(TokenWeight(1, 1, std::numeric_limits<float>::infinity()),
            kFullWeight);
}

TEST(SamplingWeight, OrderedBitsKeepTheOrder) {
  const float inf = std::numeric_limits<float>::infinity();
  const float values[] = {-inf, -3e38f, -1, -1e-45f, 0, 1e-45f, 1, 3e38f, inf};
  for (size_t i = 0; i < std::size(values); ++i) {
    EXPECT_EQ(FromOrderedBits(OrderedBits(values[i])), values[i]);
    EXPECT_GT(OrderedBits(values[i]), 0u);
    if (i > 0) {
      EXPECT_LT(OrderedBits(values[i - 1]), OrderedBits(values[i]));
    }
  }
  EXPECT_EQ(OrderedBits(-0.0f), OrderedBits(0.0f));
}

TEST(SamplingWeight, DrawsComeFromThePhiloxStreamOfStepAndRow) {
  Philox rng(77, 123456789012, 5);
  EXPECT_EQ(DrawBits(77, 123456789012, 5), rng.Next64());
  EXPECT_EQ(Below(~uint64_t{0}, 10), 9u);
  EXPECT_EQ(Below(0, 10), 0u);
  EXPECT_EQ(Below(uint64_t{1} << 63, 10), 5u);
}

TEST(Sampling, DrawsFollowTheReferenceDistribution) {
  auto ctx = CpuContext();
  for (const SamplingSettings& s : ManySettings()) {
    EXPECT_TRUE(FollowDistribution(DrawMany(*ctx, Logits(), 20000, s),
                                   Expected(Logits(), s)))
        << s.ToString();
  }
}

TEST(Sampling, DistributionTestRejectsWrongTwins) {
  auto ctx = CpuContext();
  auto follows = [&](const SamplingSettings& twin, const SamplingSettings& s) {
    return FollowDistribution(DrawMany(*ctx, Logits(), 20000, twin),
                              Expected(Logits(), s));
  };
  EXPECT_FALSE(follows({1.1f}, {1.0f}));
  EXPECT_FALSE(follows({1, 4}, {1, 3}));
  EXPECT_FALSE(follows({1, 0, 0.9f}, {1, 0, 0.7f}));
  EXPECT_FALSE(follows({1, 0, 1, 1, 0, 0.3f}, {1, 0, 1, 1, 0, 0.2f}));
  // A penalty on a negative logit that divides it, too.
  EXPECT_FALSE(
      follows({1, 0, 1, 1, 0, 0, 0.5f, {1}}, {1, 0, 1, 1, 0, 0, 2, {1}}));
  // Top-p before top-k: 0.6 of all tokens instead of 0.6 of the four kept.
  EXPECT_FALSE(follows({1, 0, 0.6f}, {1, 4, 0.6f}));
}

TEST(Sampling, TiesKeepTheLowerIndex) {
  auto ctx = CpuContext();
  const std::vector<double> logits = {0, 2, 2, -1, 2, 2};
  const auto two = DrawMany(*ctx, logits, 4000, {1, 2});
  EXPECT_TRUE(FollowDistribution(two, {0, .5, .5, 0, 0, 0}));
  // Each of the four has 0.24: half of the mass needs three of them.
  const auto half = DrawMany(*ctx, logits, 4000, {1, 0, .5f});
  EXPECT_TRUE(FollowDistribution(half, {0, 1. / 3, 1. / 3, 0, 1. / 3, 0}));
  for (const SamplingSettings& greedy :
       {SamplingSettings{0}, SamplingSettings{1, 1},
        SamplingSettings{1, 0, 1e-6f}}) {
    EXPECT_EQ(DrawMany(*ctx, logits, 50, greedy), std::vector<int32_t>(50, 1));
  }
}

TEST(Sampling, MaskedTokensAreNeverDrawn) {
  auto ctx = CpuContext();
  const std::vector<double> logits = {-kInfinity, 1, -kInfinity, 1};
  for (const SamplingSettings& s : {SamplingSettings{}, SamplingSettings{1, 3},
                                    SamplingSettings{5, 3, 0.99f}}) {
    EXPECT_TRUE(
        FollowDistribution(DrawMany(*ctx, logits, 4000, s), {0, .5, 0, .5}))
        << s.ToString();
  }
}

TEST(Sampling, HugeLogitsAndOneToken) {
  auto ctx = CpuContext();
  EXPECT_TRUE(FollowDistribution(
      DrawMany(*ctx, {3e38, -3e38, 3e38}, 4000, {1, 0, .99f}), {.5, 0, .5}));
  EXPECT_EQ(DrawMany(*ctx, {-7}, 3, {1, 5, .5f}), std::vector<int32_t>(3, 0));
}

TEST(Sampling, ADrawDependsOnItsRowSeedAndStepOnly) {
  auto ctx = CpuContext();
  auto three = CpuContext(3);
  const int64_t batch = 64, vocab = 50;
  auto logits = testing::Uniform(4, batch * vocab, -2, 2);
  const SamplingSettings s = {1, 20, 0.95f};
  const auto ids = *Draw(*ctx, logits, batch, s);
  EXPECT_EQ(*Draw(*ctx, logits, batch, s), ids);
  EXPECT_EQ(*Draw(*three, logits, batch, s), ids);
  auto others = logits;
  for (int64_t i = vocab; i < batch * vocab; ++i) others[i] = -others[i];
  EXPECT_EQ((*Draw(*ctx, others, batch, s))[0], ids[0]);
  EXPECT_NE(*Draw(*ctx, others, batch, s), ids);
  EXPECT_NE(*Draw(*ctx, logits, batch, {1, 20, 0.95f, 2, 0}), ids);
  EXPECT_NE(*Draw(*ctx, logits, batch, {1, 20, 0.95f, 1, 1}), ids);
}

TEST(Sampling, LargeVocabularyStaysInTheNucleus) {
  auto ctx = CpuContext();
  const auto logits =
      testing::Rounded(DType::kF32, testing::Uniform(5, 50257, -6, 6));
  const auto expected = SamplingReference(logits, 0.8, 50, 0.9);
  EXPECT_TRUE(FollowDistribution(DrawMany(*ctx, logits, 300, {0.8f, 50, 0.9f}),
                                 expected));
}

TEST(Sampling, MinPKeepsWhatIsLikelyEnoughOfTheBest) {
  auto ctx = CpuContext();
  // Probabilities 0.5, 0.25, 0.15, 0.1.
  const std::vector<double> logits = {std::log(.5), std::log(.25),
                                      std::log(.15), std::log(.1)};
  auto draws = [&](SamplingSettings s, float min_p) {
    s.min_p = min_p;
    return DrawMany(*ctx, logits, 6000, s);
  };
  EXPECT_TRUE(FollowDistribution(draws({}, 0.19f), {.5, .25, .15, .1}));
  EXPECT_TRUE(
      FollowDistribution(draws({}, 0.29f), {.5 / .9, .25 / .9, .15 / .9, 0}));
  EXPECT_TRUE(FollowDistribution(draws({}, 0.49f), {2. / 3, 1. / 3, 0, 0}));
  EXPECT_TRUE(FollowDistribution(draws({}, 0.51f), {1, 0, 0, 0}));
  // After top-p, which counts the mass that min-p then takes: 0.8 of all keeps
  // three tokens. It works on probabilities after the temperature.
  EXPECT_TRUE(FollowDistribution(draws({1, 0, 0.8f}, 0.19f),
                                 {.5 / .9, .25 / .9, .15 / .9, 0}));
  EXPECT_TRUE(FollowDistribution(draws({0.5f}, 0.26f), {1, 0, 0, 0}));
}

TEST(Sampling, PenaltyMakesSeenTokensLessLikelyWhateverTheirSign) {
  auto ctx = CpuContext();
  const std::vector<double> logits = {2, 2, -1, -1};
  auto greedy = [&](float penalty, std::vector<int> counts) {
    SamplingSettings s = {0};
    s.penalty = penalty;
    s.counts = std::move(counts);
    return (*Draw(*ctx, logits, 1, s))[0];
  };
  EXPECT_EQ(greedy(1.5f, {}), 0);
  EXPECT_EQ(greedy(1.5f, {4}), 1);
  EXPECT_EQ(greedy(0.5f, {0, 1}), 1);
  const std::vector<double> negative = {-1, -1.2};
  SamplingSettings s = {0};
  s.penalty = 1.25f;
  s.counts = {1, 0};
  EXPECT_EQ((*Draw(*ctx, negative, 1, s))[0], 1);
}

TEST(Sampling, DefaultsInvertTheSumOfAllWeights) {
  auto ctx = CpuContext();
  const int64_t batch = 200, vocab = 37;
  const auto logits =
      testing::Rounded(DType::kF32, testing::Uniform(8, batch * vocab, -4, 4));
  SamplingSettings s;
  s.seed = 12;
  s.step = 3;
  const auto ids = *Draw(*ctx, logits, batch, s);
  for (int64_t b = 0; b < batch; ++b) {
    const double* row = logits.data() + b * vocab;
    const float max = static_cast<float>(*std::max_element(row, row + vocab));
    std::vector<uint64_t> sums = {0};
    for (int64_t v = 0; v < vocab; ++v) {
      sums.push_back(sums.back() +
                     TokenWeight(static_cast<float>(row[v]), max, 1));
    }
    const uint64_t draw = Below(DrawBits(12, 3, b), sums.back());
    EXPECT_LE(sums[ids[b]], draw);
    EXPECT_GT(sums[ids[b] + 1], draw);
  }
}

TEST(Sampling, AStreamOfItsOwnMakesADrawIndependentOfTheRow) {
  auto ctx = CpuContext();
  const auto row = testing::Uniform(6, 50, -2, 2);
  std::vector<double> rows;
  for (int i = 0; i < 4; ++i) rows.insert(rows.end(), row.begin(), row.end());
  SamplingSettings s;
  const auto by_row = *Draw(*ctx, rows, 4, s);
  s.streams = {3, 0, 1, 1};
  EXPECT_EQ(*Draw(*ctx, rows, 4, s),
            (std::vector<int32_t>{by_row[3], by_row[0], by_row[1], by_row[1]}));
}

TEST(Sampling, CountsTokensOfTheVocabulary) {
  auto ctx = CpuContext();
  Tensor counts = *ctx->Zeros(DType::kI32, {2, 3});
  const std::vector<int32_t> ids = {2, 0, 2, -1, 1, 3, 1, 1};
  ASSERT_TRUE(
      CountTokens(*ctx, *ctx->FromHost<int32_t>(ids, {2, 4}), &counts).ok());
  EXPECT_EQ(*ctx->ToHost<int32_t>(counts),
            (std::vector<int32_t>{1, 0, 2, 0, 3, 0}));
  EXPECT_FALSE(
      CountTokens(*ctx, *ctx->FromHost<int32_t>(ids, {8, 1}), &counts).ok());
  EXPECT_TRUE(
      CountTokens(*ctx, *ctx->Zeros(DType::kI32, {2, 0}), &counts).ok());
}

TEST(Sampling, UnusableLogitsAreAnErrorThatNamesTheRow) {
  auto ctx = CpuContext();
  for (const double bad : {kInfinity, std::nan("")}) {
    for (const SamplingSettings& s : ManySettings()) {
      const auto ids = Draw(*ctx, {1, 2, 3, 1, bad, 2}, 2, s);
      EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(ids.status().message().find("row 1"), absl::string_view::npos);
    }
  }
  EXPECT_FALSE(Draw(*ctx, {-kInfinity, -kInfinity}, 1, {}).ok());
}

TEST(Sampling, RejectsBadSettingsAndShapes) {
  auto ctx = CpuContext();
  const std::vector<double> logits = {1, 2};
  EXPECT_FALSE(Draw(*ctx, logits, 1, {-1.0f}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {std::nanf("")}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, -1}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 0.0f}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1.5f}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, std::nanf("")}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1, 1, 0, -0.1f}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1, 1, 0, 1.1f}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1, 1, 0, std::nanf("")}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1, 1, 0, 0, 0}).ok());
  EXPECT_FALSE(Draw(*ctx, logits, 1, {1, 0, 1, 1, 0, 0, -2}).ok());
  SamplingArgs args;
  args.logits = *ctx->FromHost<float>(std::vector<float>{1, 2}, {1, 2});
  args.repetition_penalty = 2;
  Tensor none;
  EXPECT_EQ(std::string(Sample(*ctx, args, &none).message()),
            "sampling: counts: expected i32[1, 2]@cpu, got undefined");
  args = {};
  args.logits = *ctx->Zeros(DType::kF32, {2, 0});
  Tensor ids;
  EXPECT_FALSE(Sample(*ctx, args, &ids).ok());
  args.logits = *ctx->Zeros(DType::kF32, {0, 5});
  ASSERT_TRUE(Sample(*ctx, args, &ids).ok());
  EXPECT_EQ(ids.numel(), 0);
}

}  // namespace
}  // namespace lt2::kernels
