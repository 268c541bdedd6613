// The CUDA forms against fp64, with the plain chunked formula in bf16 as the
// measure (delta_rule_testing.h), and against third-party values.

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"
#include "kernels/delta_rule/delta_rule.h"
#include "kernels/delta_rule/delta_rule_reference.h"
#include "kernels/delta_rule/delta_rule_testing.h"

namespace lt2::kernels {
namespace {

using testing::ContractPool;
using testing::CudaContext;
using testing::MeetsContract;
using testing::Near;
using testing::RmsRatio;

constexpr DType kBf = DType::kBF16;

DeltaRuleOutputs RunCuda(const DeltaRuleShape& shape,
                         const DeltaRuleInputs& in) {
  auto ctx = CudaContext();
  auto out = RunDeltaRule(*ctx, kBf, shape, in);
  LT2_CHECK(out.ok(), out.status().ToString());
  return *out;
}

// The type a result has on the GPU.
DType ResultType(const std::string& name) {
  const bool act = name == "o" || name == "dq" || name == "dk" || name == "dv";
  return act ? kBf : DType::kF32;
}

// Adds a case to the pool that the contract is checked on. Part of dg is one
// number per chunk and head, so that a single case has too few rounding errors
// for an RMS.
void AddTo(ContractPool* pool, const DeltaRuleOutputs& actual,
           const DeltaRuleShape& shape, const DeltaRuleInputs& in) {
  const std::string label = absl::StrCat(
      "batch ", shape.batch, " seq ", shape.seq, " heads ", shape.heads, "/",
      shape.v_heads, " d_k ", shape.d_k, " d_v ", shape.d_v);
  const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(shape, in);
  const DeltaRuleOutputs plain = DeltaRulePlainChunked(shape, in, kBf);
  const auto a = Fields(actual), p = Fields(plain), f = Fields(fp64);
  ASSERT_EQ(a.size(), f.size()) << label;
  for (size_t i = 0; i < f.size(); ++i) {
    ASSERT_EQ(a[i].first, f[i].first) << label;
    pool->Add(f[i].first, label, ResultType(f[i].first), *a[i].second,
              *p[i].second, *f[i].second);
  }
}

DeltaRuleInputs Random(uint64_t seed, const DeltaRuleShape& shape,
                       DeltaRuleCaseOptions options = {}) {
  options.act = kBf;
  return RandomDeltaRule(seed, shape, options);
}

void RunInto(ContractPool* pool, const DeltaRuleShape& shape,
             const DeltaRuleInputs& in) {
  AddTo(pool, RunCuda(shape, in), shape, in);
}

TEST(DeltaRuleCuda, MeetsTheContractAtEveryEdgeLength) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  uint64_t seed = 10;
  for (const int64_t seq : {1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 200}) {
    const DeltaRuleShape shape = {2, seq, 2, 2, 32, 48};
    RunInto(&pool, shape, Random(++seed, shape));
  }
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractAtManySizes) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  const DeltaRuleShape shapes[] = {
      {2, 37, 1, 1, 16, 16},   {2, 100, 2, 2, 16, 256}, {2, 90, 2, 2, 48, 96},
      {2, 70, 1, 1, 128, 16},  {2, 130, 2, 2, 64, 64},  {2, 130, 2, 2, 96, 192},
      {2, 70, 1, 1, 128, 128}, {2, 70, 1, 1, 128, 256}, {2, 90, 2, 2, 112, 80}};
  uint64_t seed = 100;
  for (const DeltaRuleShape& shape : shapes) {
    RunInto(&pool, shape, Random(++seed, shape));
  }
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractWithGroupedValueHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  for (const int64_t v_heads : {2, 4, 6}) {
    const DeltaRuleShape shape = {2, 90, 2, v_heads, 32, 32};
    RunInto(&pool, shape, Random(150 + v_heads, shape));
  }
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractWithManyHeads) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  // Enough blocks for the wide slices of the sequential kernels.
  const DeltaRuleShape shape = {8, 70, 16, 16, 32, 64};
  RunInto(&pool, shape, Random(170, shape));
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractWithoutGateAndStates) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  uint64_t seed = 200;
  for (const bool gate : {true, false}) {
    for (const bool states : {true, false}) {
      DeltaRuleCaseOptions options;
      options.gate = gate;
      options.states = states;
      const DeltaRuleShape shape = {2, 150, 2, 2, 32, 32};
      RunInto(&pool, shape, Random(++seed, shape, options));
    }
  }
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractWithNegativeEigenvalues) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  DeltaRuleCaseOptions options;
  options.max_beta = 2;
  options.min_g = -0.05;
  uint64_t seed = 300;
  for (const int64_t d_k : {16, 64, 128}) {
    const DeltaRuleShape shape = {2, 150, 2, 2, d_k, 32};
    RunInto(&pool, shape, Random(++seed, shape, options));
  }
  pool.Check();
}

TEST(DeltaRuleCuda, MeetsTheContractWithExtremeGates) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  const DeltaRuleShape shape = {2, 131, 2, 2, 32, 32};
  DeltaRuleCaseOptions options;
  options.max_beta = 2;
  DeltaRuleInputs in = Random(400, shape, options);
  const double values[] = {0, -100, -1e-3, -0.5, -20, -0.01, 0, -3, -1e-6};
  for (size_t i = 0; i < in.g.size(); ++i) in.g[i] = values[i % 9];
  in.g = testing::Rounded(DType::kF32, in.g);
  RunInto(&pool, shape, in);
  pool.Check();
}

TEST(DeltaRuleCuda, TotalDecayEverywhereStaysFinite) {
  LT2_SKIP_WITHOUT_CUDA();
  const DeltaRuleShape shape = {1, 130, 1, 1, 16, 16};
  DeltaRuleInputs in = Random(401, shape);
  for (double& g : in.g) g = -100;
  const DeltaRuleOutputs out = RunCuda(shape, in);
  for (const auto& [name, values] : Fields(out)) {
    for (const double x : *values) ASSERT_TRUE(std::isfinite(x)) << name;
  }
}

TEST(DeltaRuleCuda, SegmentsAndStepsMatchTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  ContractPool pool;
  const DeltaRuleShape shape = {2, 150, 1, 2, 32, 48};
  DeltaRuleCaseOptions options;
  options.gradient = false;
  for (const bool states : {true, false}) {
    options.states = states;
    const DeltaRuleInputs in = Random(500, shape, options);
    auto ctx = CudaContext();
    const std::vector<std::vector<int64_t>> cuts = {
        {}, {1}, {149}, {64}, {63, 65}, {1, 2, 3, 130}};
    for (const auto& cut : cuts) {
      auto out = RunDeltaRuleInSegments(*ctx, kBf, shape, in, cut);
      ASSERT_TRUE(out.ok()) << out.status();
      AddTo(&pool, *out, shape, in);
    }
    auto out = RunDeltaRuleInSegments(*ctx, kBf, shape, in, {}, true);
    ASSERT_TRUE(out.ok()) << out.status();
    AddTo(&pool, *out, shape, in);
  }
  pool.Check();
}

TEST(DeltaRuleCuda, StepInF32MeetsTheContractAtOddSizes) {
  LT2_SKIP_WITHOUT_CUDA();
  for (const int64_t d_k : {1, 7, 64, 128}) {
    const DeltaRuleShape shape = {2, 20, 2, 4, d_k, 37};
    DeltaRuleCaseOptions options;
    options.gradient = false;
    const DeltaRuleInputs in = RandomDeltaRule(550 + d_k, shape, options);
    auto ctx = CudaContext();
    auto out = RunDeltaRuleInSegments(*ctx, DType::kF32, shape, in, {}, true);
    ASSERT_TRUE(out.ok()) << out.status();
    const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(shape, in);
    const DeltaRuleOutputs plain = DeltaRuleReference<float>(shape, in);
    EXPECT_TRUE(MeetsContract(out->o, plain.o, fp64.o, DType::kF32));
    EXPECT_TRUE(MeetsContract(out->final_state, plain.final_state,
                              fp64.final_state, DType::kF32));
  }
}

TEST(DeltaRuleCuda, ContractRejectsForgettingTheChunksOwnTokens) {
  LT2_SKIP_WITHOUT_CUDA();
  const DeltaRuleShape shape = {1, 70, 1, 1, 16, 16};
  const DeltaRuleInputs in = Random(600, shape);
  const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(shape, in);
  const DeltaRuleOutputs plain = DeltaRulePlainChunked(shape, in, kBf);
  const DeltaRuleOutputs wrong =
      DeltaRulePlainChunked(shape, in, kBf, /*wrong=*/true);
  const auto w = Fields(wrong), p = Fields(plain), f = Fields(fp64);
  for (size_t i = 0; i < f.size(); ++i) {
    EXPECT_FALSE(MeetsContract(*w[i].second, *p[i].second, *f[i].second,
                               ResultType(f[i].first)))
        << f[i].first;
  }
}

TEST(DeltaRuleCuda, SameBitsTwice) {
  LT2_SKIP_WITHOUT_CUDA();
  const DeltaRuleShape shape = {2, 150, 2, 6, 48, 96};
  const DeltaRuleInputs in = Random(700, shape);
  const DeltaRuleOutputs one = RunCuda(shape, in), two = RunCuda(shape, in);
  const auto a = Fields(one), b = Fields(two);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(*a[i].second, *b[i].second) << a[i].first;
  }
}

TEST(DeltaRuleCuda, ARowDoesNotDependOnTheBatchAroundIt) {
  LT2_SKIP_WITHOUT_CUDA();
  // 12 rows of 8 heads use wide slices of the state, one row narrow ones.
  const DeltaRuleShape many = {12, 70, 8, 8, 32, 64};
  const DeltaRuleInputs in = Random(701, many);
  DeltaRuleShape one = many;
  one.batch = 1;
  const auto first = [&](std::vector<double> x) {
    x.resize(x.size() / many.batch);
    return x;
  };
  DeltaRuleInputs part = in;
  for (auto member : {&DeltaRuleInputs::q, &DeltaRuleInputs::k,
                      &DeltaRuleInputs::v, &DeltaRuleInputs::beta,
                      &DeltaRuleInputs::g, &DeltaRuleInputs::initial_state,
                      &DeltaRuleInputs::dout, &DeltaRuleInputs::dfinal_state}) {
    part.*member = first(in.*member);
  }
  const DeltaRuleOutputs all = RunCuda(many, in), alone = RunCuda(one, part);
  const auto a = Fields(all), b = Fields(alone);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(first(*a[i].second), *b[i].second) << a[i].first;
  }
}

TEST(DeltaRuleCuda, NoTokensPassTheStateOn) {
  LT2_SKIP_WITHOUT_CUDA();
  const DeltaRuleShape shape = {2, 0, 1, 2, 16, 16};
  const DeltaRuleInputs in = Random(800, shape);
  EXPECT_EQ(RunCuda(shape, in).final_state, in.initial_state);
}

TEST(DeltaRuleCuda, UnsupportedCallsAreClearErrors) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const auto error = [&](DType act, int64_t d_k, int64_t d_v) {
    const DeltaRuleShape shape = {1, 5, 1, 1, d_k, d_v};
    const auto out =
        RunDeltaRule(*ctx, act, shape, RandomDeltaRule(900, shape, {}));
    EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(out.status().message());
  };
  EXPECT_NE(error(DType::kF32, 16, 16).find("bf16"), std::string::npos);
  EXPECT_NE(error(kBf, 24, 16).find("d_k = 24"), std::string::npos);
  EXPECT_NE(error(kBf, 16, 24).find("d_v = 24"), std::string::npos);
  EXPECT_NE(error(kBf, 144, 16).find("d_k = 144"), std::string::npos);
  EXPECT_NE(error(kBf, 16, 272).find("d_v = 272"), std::string::npos);
}

// Other people's values, with q, k, v and dout rounded to bf16 first. What that
// rounding alone changes, in fp64, is allowed on top of the contract. The
// recorded states and gates are f32.
void ExpectRecorded(const DeltaRuleRecorded& c, ContractPool* pool) {
  SCOPED_TRACE(c.name);
  DeltaRuleInputs in = c.inputs;
  for (auto member : {&DeltaRuleInputs::q, &DeltaRuleInputs::k,
                      &DeltaRuleInputs::v, &DeltaRuleInputs::dout}) {
    in.*member = testing::Rounded(kBf, in.*member);
  }
  const DeltaRuleOutputs actual = RunCuda(c.shape, in);
  AddTo(pool, actual, c.shape, in);
  const DeltaRuleOutputs fp64 = DeltaRuleReference<double>(c.shape, in);
  const DeltaRuleOutputs plain = DeltaRulePlainChunked(c.shape, in, kBf);
  const auto a = Fields(actual), f = Fields(fp64), p = Fields(plain);
  const auto r = Fields(c.outputs);
  ASSERT_EQ(r.size(), a.size());
  for (size_t i = 0; i < r.size(); ++i) {
    ASSERT_EQ(r[i].first, a[i].first);
    const double rounding = RmsRatio(*f[i].second, *r[i].second);
    const double own = 2 * RmsRatio(*p[i].second, *f[i].second) + 0x1p-9;
    EXPECT_TRUE(
        Near(*a[i].second, *r[i].second, rounding + (1 + rounding) * own))
        << r[i].first;
    EXPECT_LT(rounding, 0.05) << r[i].first;
  }
}

bool Supported(const DeltaRuleShape& s) {
  return s.d_k % 16 == 0 && s.d_v % 16 == 0 && s.d_k <= 128 && s.d_v <= 256;
}

void ExpectAllRecorded(
    const absl::StatusOr<std::vector<DeltaRuleRecorded>>& cases) {
  ASSERT_TRUE(cases.ok()) << cases.status();
  ContractPool pool;
  int checked = 0;
  for (const DeltaRuleRecorded& c : *cases) {
    if (!Supported(c.shape)) continue;
    ExpectRecorded(c, &pool);
    ++checked;
  }
  EXPECT_GE(checked, 1);
  pool.Check();
}

TEST(DeltaRuleCuda, MatchesRecordedThirdPartyValues) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_DATA_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  ExpectAllRecorded(ReadDeltaRuleOracles(directory));
}

TEST(DeltaRuleCuda, MatchesGoldenFiles) {
  LT2_SKIP_WITHOUT_CUDA();
  const std::string directory = testing::Env("LT2_GOLDEN_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_GOLDEN_DIR is not set";
  ExpectAllRecorded(ReadDeltaRuleGolden(directory));
}

}  // namespace
}  // namespace lt2::kernels
