#include "kernels/delta_rule/delta_rule.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/delta_rule/delta_rule_reference.h"
#include "kernels/delta_rule/delta_rule_testing.h"

namespace lt2::kernels {
namespace {

using testing::CpuContext;
using testing::MeetsContract;
using testing::Near;

DeltaRuleOutputs RunCpu(const DeltaRuleShape& shape, const DeltaRuleInputs& in,
                        int threads = 1) {
  auto ctx = CpuContext(threads);
  auto out = RunDeltaRule(*ctx, DType::kF32, shape, in);
  LT2_CHECK(out.ok(), out.status().ToString());
  return *out;
}

void ExpectCpuMeetsContract(const DeltaRuleShape& shape,
                            const DeltaRuleInputs& in) {
  ExpectMeetsContract(RunCpu(shape, in), shape, in);
}

TEST(DeltaRuleReference, OneTokenByHand) {
  // S = 0.5 * 4 = 2, u = 0.25 * (3 - 2 * 2) = -0.25, S = 1.5, o = 10 * 1.5 * 5.
  DeltaRuleInputs in;
  in.q = {5};
  in.k = {2};
  in.v = {3};
  in.beta = {0.25};
  in.g = {std::log(0.5)};
  in.initial_state = {4};
  in.scale = 10;
  const DeltaRuleOutputs out = DeltaRuleReference<double>({}, in);
  EXPECT_NEAR(out.final_state[0], 1.5, 1e-15);
  EXPECT_NEAR(out.o[0], 75, 1e-13);
}

TEST(DeltaRuleReference, OneTokenPerChannelByHand) {
  // Rows 2 and 4 become 1 and 1; S'k = 1 - 1 = 0, u = 3; S = (4, -2);
  // o = 4 * 10 + 2 * 1.
  DeltaRuleInputs in;
  in.q = {10, -1};
  in.k = {1, -1};
  in.v = {3};
  in.beta = {1};
  in.decay = Decay::kChannel;
  in.g = {std::log(0.5), std::log(0.25)};
  in.initial_state = {2, 4};
  const DeltaRuleOutputs out =
      DeltaRuleReference<double>({1, 1, 1, 1, 2, 1}, in);
  EXPECT_NEAR(out.final_state[0], 4, 1e-15);
  EXPECT_NEAR(out.final_state[1], -2, 1e-15);
  EXPECT_NEAR(out.o[0], 42, 1e-13);
}

// Kinds of gate.
DeltaRuleCaseOptions NoGate() {
  DeltaRuleCaseOptions options;
  options.gate = false;
  return options;
}
DeltaRuleCaseOptions Token() { return {}; }
DeltaRuleCaseOptions Channel() {
  DeltaRuleCaseOptions options;
  options.channel = true;
  return options;
}

TEST(DeltaRuleReference, GradientIsTheFiniteDifference) {
  for (DeltaRuleCaseOptions options : {NoGate(), Token(), Channel()}) {
    const DeltaRuleShape shape = {2, 4, options.channel ? 2 : 1, 2, 3, 2};
    options.max_beta = 2;
    ExpectGradientIsFiniteDifference(shape, RandomDeltaRule(1, shape, options));
  }
}

TEST(DeltaRule, MeetsTheContractAtEveryEdgeLength) {
  uint64_t seed = 10;
  for (const DeltaRuleCaseOptions& options : {Token(), Channel()}) {
    for (const int64_t seq :
         {1, 2, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 130}) {
      // Many batch rows where there are few tokens: an RMS error needs samples.
      const int64_t batch = seq < 10 ? 20 : 2;
      for (const DeltaRuleShape& shape :
           {DeltaRuleShape{batch, seq, 2, 2, 16, 24},
            DeltaRuleShape{batch, seq, 1, 1, 40, 7}}) {
        ExpectCpuMeetsContract(shape, RandomDeltaRule(++seed, shape, options));
      }
    }
  }
}

TEST(DeltaRule, MeetsTheContractAtManySizes) {
  const DeltaRuleShape shapes[] = {
      {200, 5, 1, 1, 1, 1},   {2, 37, 3, 3, 5, 3},     {3, 20, 1, 1, 16, 24},
      {2, 50, 2, 4, 8, 12},   {1, 70, 1, 3, 33, 17},   {1, 100, 2, 2, 48, 96},
      {1, 70, 1, 1, 96, 192}, {1, 65, 1, 1, 128, 128}, {1, 40, 1, 1, 20, 300}};
  uint64_t seed = 100;
  for (const DeltaRuleCaseOptions& options : {Token(), Channel()}) {
    for (DeltaRuleShape shape : shapes) {
      if (options.channel) shape.heads = shape.v_heads;
      ExpectCpuMeetsContract(shape, RandomDeltaRule(++seed, shape, options));
    }
  }
}

TEST(DeltaRule, MeetsTheContractWithoutGateAndStates) {
  uint64_t seed = 200;
  for (DeltaRuleCaseOptions options : {NoGate(), Token(), Channel()}) {
    for (const bool states : {true, false}) {
      options.states = states;
      const DeltaRuleShape shape = {2, 70, 2, 2, 16, 8};
      ExpectCpuMeetsContract(shape, RandomDeltaRule(++seed, shape, options));
    }
  }
}

TEST(DeltaRule, MeetsTheContractWithNegativeEigenvalues) {
  uint64_t seed = 300;
  for (DeltaRuleCaseOptions options : {Token(), Channel()}) {
    options.max_beta = 2;
    options.min_g = -0.05;
    for (const int64_t d_k : {8, 16, 64}) {
      const DeltaRuleShape shape = {1, 100, 2, 2, d_k, 16};
      ExpectCpuMeetsContract(shape, RandomDeltaRule(++seed, shape, options));
    }
  }
}

TEST(DeltaRule, MeetsTheContractWithExtremeGates) {
  const DeltaRuleShape shape = {1, 131, 2, 2, 16, 24};
  for (DeltaRuleCaseOptions options : {Token(), Channel()}) {
    options.max_beta = 2;
    DeltaRuleInputs in = RandomDeltaRule(400, shape, options);
    SetExtremeDecays(&in);
    ExpectCpuMeetsContract(shape, in);
  }
}

TEST(DeltaRule, MeetsTheContractWithStrongGates) {
  uint64_t seed = 410;
  for (DeltaRuleCaseOptions options : {Token(), Channel()}) {
    for (const double min_g : {-2.0, -8.0, -40.0}) {
      options.min_g = min_g;
      const DeltaRuleShape shape = {2, 70, 2, 2, 40, 16};
      ExpectCpuMeetsContract(shape, RandomDeltaRule(++seed, shape, options));
    }
  }
}

TEST(DeltaRule, TotalDecayEverywhereStaysFinite) {
  const DeltaRuleShape shape = {1, 70, 1, 1, 8, 8};
  for (const DeltaRuleCaseOptions& options : {Token(), Channel()}) {
    for (const double decay : {-100.0, -1e30}) {
      DeltaRuleInputs in = RandomDeltaRule(401, shape, options);
      for (double& g : in.g) g = decay;
      const DeltaRuleOutputs out = RunCpu(shape, in);
      for (const auto& [name, values] : Fields(out)) {
        for (const double x : *values) ASSERT_TRUE(std::isfinite(x)) << name;
      }
    }
  }
}

TEST(DeltaRule, SegmentsAndStepsMatchTheWhole) {
  for (DeltaRuleCaseOptions options : {NoGate(), Token(), Channel()}) {
    const DeltaRuleShape shape = {2, 75, options.channel ? 2 : 1, 2, 16, 24};
    options.gradient = false;
    for (const bool states : {true, false}) {
      options.states = states;
      const DeltaRuleInputs in = RandomDeltaRule(500, shape, options);
      auto ctx = CpuContext();
      const std::vector<std::vector<int64_t>> cuts = {
          {}, {1}, {74}, {16}, {15, 17}, {32, 64}, {1, 2, 3, 40}};
      for (const auto& cut : cuts) {
        auto out = RunDeltaRuleInSegments(*ctx, DType::kF32, shape, in, cut);
        ASSERT_TRUE(out.ok()) << out.status();
        ExpectMeetsContract(*out, shape, in);
      }
      auto out = RunDeltaRuleInSegments(*ctx, DType::kF32, shape, in, {}, true);
      ASSERT_TRUE(out.ok()) << out.status();
      ExpectMeetsContract(*out, shape, in);
    }
  }
}

TEST(DeltaRule, GradientPassesThroughTheStateBetweenSegments) {
  const DeltaRuleShape shape = {1, 40, 1, 1, 8, 8};
  for (const DeltaRuleCaseOptions& options : {NoGate(), Token(), Channel()}) {
    ExpectGradientPassesBetweenSegments(
        shape, RandomDeltaRule(501, shape, options), 23,
        [](const auto& s, const auto& in) { return RunCpu(s, in); });
  }
}

TEST(DeltaRule, ContractRejectsForgettingTheChunksOwnTokens) {
  const DeltaRuleShape shape = {1, 70, 1, 1, 16, 16};
  for (const DeltaRuleCaseOptions& options : {Token(), Channel()}) {
    const DeltaRuleInputs in = RandomDeltaRule(600, shape, options);
    const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(shape, in);
    const DeltaRuleOutputs plain = DeltaRuleReference<float>(shape, in);
    const DeltaRuleOutputs wrong =
        DeltaRulePlainChunked(shape, in, DType::kF32, /*wrong=*/true);
    const auto w = Fields(wrong), p = Fields(plain), f = Fields(fp64);
    for (size_t i = 0; i < f.size(); ++i) {
      EXPECT_FALSE(
          MeetsContract(*w[i].second, *p[i].second, *f[i].second, DType::kF32))
          << f[i].first;
    }
  }
}

TEST(DeltaRule, PlainChunkedFormulaIsTheRecurrence) {
  for (const DeltaRuleCaseOptions& options : {NoGate(), Token(), Channel()}) {
    const DeltaRuleShape shape = {1, 131, options.channel ? 2 : 1, 2, 16, 24};
    const DeltaRuleInputs in = RandomDeltaRule(601, shape, options);
    const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(shape, in);
    const DeltaRuleOutputs f32 = DeltaRulePlainChunked(shape, in, DType::kF32);
    const DeltaRuleOutputs bf16 =
        DeltaRulePlainChunked(shape, in, DType::kBF16);
    const auto f = Fields(fp64), a = Fields(f32), b = Fields(bf16);
    ASSERT_EQ(a.size(), f.size());
    for (size_t i = 0; i < f.size(); ++i) {
      // A few unit roundoffs, accumulated over about 100 operations.
      EXPECT_TRUE(Near(*a[i].second, *f[i].second, 1e-5)) << f[i].first;
      EXPECT_TRUE(Near(*b[i].second, *f[i].second, 5e-2)) << f[i].first;
    }
  }
}

TEST(DeltaRule, SameBitsTwiceAndForAnyThreadCount) {
  for (const DeltaRuleCaseOptions& options : {NoGate(), Token(), Channel()}) {
    const DeltaRuleShape shape = {2, 50, 2, options.channel ? 2 : 6, 16, 24};
    const DeltaRuleInputs in = RandomDeltaRule(700, shape, options);
    const DeltaRuleOutputs one = RunCpu(shape, in, 1),
                           again = RunCpu(shape, in, 1);
    const DeltaRuleOutputs three = RunCpu(shape, in, 3);
    const auto a = Fields(one), b = Fields(again), c = Fields(three);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(*a[i].second, *b[i].second) << a[i].first;
      EXPECT_EQ(*a[i].second, *c[i].second) << a[i].first;
    }
  }
}

TEST(DeltaRule, NoTokensPassTheStateOn) {
  auto ctx = CpuContext();
  const DeltaRuleShape shape = {2, 0, 1, 2, 3, 4};
  const DeltaRuleInputs in = RandomDeltaRule(800, shape, {});
  const DeltaRuleOutputs out = RunCpu(shape, in);
  EXPECT_EQ(out.final_state, in.initial_state);
  DeltaRuleGradArgs grad;
  grad.forward.q = grad.forward.k = *ctx->Zeros(DType::kF32, {2, 0, 1, 3});
  grad.forward.v = grad.dout = *ctx->Zeros(DType::kF32, {2, 0, 2, 4});
  grad.forward.beta = *ctx->Zeros(DType::kF32, {2, 0, 2});
  grad.forward.initial_state = *ctx->Zeros(DType::kF32, {2, 2, 3, 4});
  DeltaRuleGradResults results;
  ASSERT_TRUE(DeltaRuleGrad(*ctx, grad, &results).ok());
  for (const double x : testing::ToDoubles(*ctx, results.dinitial_state)) {
    EXPECT_EQ(x, 0);
  }
  const DeltaRuleShape none = {0, 3, 1, 2, 3, 4};
  EXPECT_TRUE(RunCpu(none, RandomDeltaRule(801, none, {})).o.empty());
}

TEST(DeltaRule, ErrorsNameTheOffendingValues) {
  auto ctx = CpuContext();
  DeltaRuleArgs good;
  good.q = good.k = *ctx->Zeros(DType::kF32, {1, 5, 2, 3});
  good.v = *ctx->Zeros(DType::kF32, {1, 5, 4, 7});
  good.beta = good.g = *ctx->Zeros(DType::kF32, {1, 5, 4});
  ASSERT_TRUE(DeltaRuleSupports(good).ok());
  const auto message = [](const DeltaRuleArgs& args) {
    return std::string(DeltaRuleSupports(args).message());
  };
  DeltaRuleArgs bad = good;
  bad.v = *ctx->Zeros(DType::kF32, {1, 5, 3, 7});
  EXPECT_NE(message(bad).find("[1, 5, 3, 7]"), std::string::npos);
  bad = good;
  bad.k = *ctx->Zeros(DType::kF32, {1, 5, 2, 4});
  EXPECT_NE(message(bad).find("k"), std::string::npos);
  bad = good;
  bad.q = bad.k = *ctx->Zeros(DType::kBF16, {1, 5, 2, 3});
  EXPECT_NE(message(bad).find("bf16"), std::string::npos);
  bad = good;
  bad.initial_state = *ctx->Zeros(DType::kF32, {1, 2, 3, 7});
  EXPECT_NE(message(bad).find("initial_state"), std::string::npos);
  bad = good;
  bad.g = *ctx->Zeros(DType::kF32, {4});
  EXPECT_NE(message(bad).find("g must be"), std::string::npos);
  bad = good;
  bad.g = *ctx->Zeros(DType::kF32, {1, 5, 4, 3});
  EXPECT_NE(message(bad).find("value heads"), std::string::npos);
  bad = good;
  bad.beta = Tensor();
  EXPECT_NE(message(bad).find("beta"), std::string::npos);
  DeltaRuleResults results;
  EXPECT_EQ(DeltaRuleStep(*ctx, good, &results).code(),
            absl::StatusCode::kInvalidArgument);
  DeltaRuleGradResults grads;
  EXPECT_EQ(DeltaRuleGrad(*ctx, {good}, &grads).code(),
            absl::StatusCode::kInvalidArgument);
}

// What other people's code computed.
void ExpectRecorded(const DeltaRuleRecorded& c, double limit) {
  ExpectNearRecorded(c, DeltaRuleReference<double>(c.shape, c.inputs), limit);
  SCOPED_TRACE(c.name);
  ExpectCpuMeetsContract(c.shape, c.inputs);
}

TEST(DeltaRule, MatchesRecordedThirdPartyValues) {
  const std::string directory = testing::Env("LT2_DATA_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  const auto cases = ReadDeltaRuleOracles(directory);
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_EQ(cases->size(), 10u);
  // fp64 results, written with 9 digits or as float32.
  for (const DeltaRuleRecorded& c : *cases) ExpectRecorded(c, 1e-7);
}

TEST(DeltaRule, MatchesGoldenFiles) {
  const std::string directory = testing::Env("LT2_GOLDEN_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_GOLDEN_DIR is not set";
  const auto cases = ReadDeltaRuleGolden(directory);
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_FALSE(cases->empty()) << "no files in " << directory;
  // These were computed in f32: at most 200 tokens of sums of 128 products,
  // each some 2^-24.
  for (const DeltaRuleRecorded& c : *cases) ExpectRecorded(c, 2e-5);
}

}  // namespace
}  // namespace lt2::kernels
