#include "kernels/linear_attention/linear_attention.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/linear_attention/linear_attention_testing.h"
#include "kernels/linear_attention/recurrence_reference.h"

namespace lt2::kernels {
namespace {

using testing::CpuContext;
using testing::MeetsContract;
using testing::Near;

RecurrenceOutputs RunCpu(const RecurrenceShape& shape,
                         const RecurrenceInputs& in, int threads = 1) {
  auto ctx = CpuContext(threads);
  auto out = RunRecurrence<LinearAttentionFamily>(*ctx, DType::kF32, shape, in);
  LT2_CHECK(out.ok(), out.status().ToString());
  return *out;
}

RecurrenceInputs Random(uint64_t seed, const RecurrenceShape& shape,
                        Decay decay, RecurrenceCaseOptions options = {}) {
  options.decay = decay;
  return RandomRecurrence(seed, shape, options);
}

void ExpectCpuMeetsContract(const RecurrenceShape& shape,
                            const RecurrenceInputs& in) {
  SCOPED_TRACE(Name(in.decay));
  ExpectMeetsContract(RunCpu(shape, in), shape, in);
}

TEST(LinearAttentionReference, OneTokenByHand) {
  // S = 0.5 * 4 = 2, then 2 + 2 * 3 = 8, o = 10 * 8 * 5.
  RecurrenceInputs in;
  in.q = {5};
  in.k = {2};
  in.v = {3};
  in.g = {std::log(0.5)};
  in.initial_state = {4};
  in.scale = 10;
  for (const Decay decay : {Decay::kHead, Decay::kToken, Decay::kChannel}) {
    in.decay = decay;
    const RecurrenceOutputs out = RecurrenceReference<double>({}, in);
    EXPECT_NEAR(out.final_state[0], 8, 1e-15);
    EXPECT_NEAR(out.o[0], 400, 1e-13);
  }
}

TEST(LinearAttentionReference, EveryDecayIsADecayPerChannel) {
  const RecurrenceShape shape = {2, 7, 2, 2, 3, 4};
  for (const Decay decay : {Decay::kNone, Decay::kHead, Decay::kToken}) {
    const RecurrenceInputs in = Random(1, shape, decay);
    RecurrenceInputs wide = in;
    wide.decay = Decay::kChannel;
    wide.g.clear();
    for (int64_t row = 0; row < shape.batch * shape.seq * 2; ++row) {
      const double g = decay == Decay::kNone   ? 0.0
                       : decay == Decay::kHead ? in.g[row % 2]
                                               : in.g[row];
      wide.g.insert(wide.g.end(), shape.d_k, g);
    }
    const RecurrenceOutputs a = RecurrenceReference<double>(shape, in);
    const RecurrenceOutputs b = RecurrenceReference<double>(shape, wide);
    EXPECT_TRUE(Near(a.o, b.o, 1e-15));
    EXPECT_TRUE(Near(a.dk, b.dk, 1e-14));
    for (size_t i = 0; i < a.dg.size(); ++i) {
      double sum = 0;
      for (int64_t c = 0; c < shape.d_k; ++c) sum += b.dg[i * shape.d_k + c];
      EXPECT_NEAR(a.dg[i], sum, 1e-13);
    }
  }
}

TEST(LinearAttentionReference, GradientIsTheFiniteDifference) {
  for (const Decay decay : kAllDecays) {
    SCOPED_TRACE(Name(decay));
    const int64_t heads = decay == Decay::kChannel ? 2 : 1;
    const RecurrenceShape shape = {2, 4, heads, 2, 3, 2};
    ExpectGradientIsFiniteDifference(shape, Random(2, shape, decay));
  }
}

TEST(LinearAttention, MeetsTheContractAtEveryEdgeLength) {
  uint64_t seed = 10;
  for (const Decay decay : kAllDecays) {
    for (const int64_t seq :
         {1, 2, 15, 16, 17, 31, 32, 33, 37, 63, 64, 65, 130}) {
      // Many batch rows where there are few tokens: an RMS error needs samples.
      const int64_t batch = seq < 10 ? 20 : 2;
      for (const RecurrenceShape& shape :
           {RecurrenceShape{batch, seq, 2, 2, 16, 24},
            RecurrenceShape{batch, seq, 1, 1, 40, 7}}) {
        ExpectCpuMeetsContract(shape, Random(++seed, shape, decay));
      }
    }
  }
}

TEST(LinearAttention, MeetsTheContractAtManySizes) {
  const RecurrenceShape shapes[] = {
      {200, 5, 1, 1, 1, 1},   {2, 37, 3, 3, 5, 3},     {3, 20, 1, 1, 16, 24},
      {1, 70, 2, 2, 33, 17},  {1, 100, 2, 2, 48, 96},  {1, 70, 1, 1, 96, 192},
      {1, 40, 1, 1, 20, 300}, {1, 65, 1, 1, 128, 128}, {1, 40, 1, 1, 200, 8}};
  uint64_t seed = 100;
  for (const Decay decay : kAllDecays) {
    for (const RecurrenceShape& shape : shapes) {
      ExpectCpuMeetsContract(shape, Random(++seed, shape, decay));
    }
  }
}

TEST(LinearAttention, MeetsTheContractWithGroupedValueHeads) {
  // Mamba2 has one query and key head for all.
  uint64_t seed = 200;
  for (const Decay decay : {Decay::kNone, Decay::kHead, Decay::kToken}) {
    for (const RecurrenceShape& shape :
         {RecurrenceShape{2, 50, 2, 4, 8, 12},
          RecurrenceShape{1, 70, 1, 3, 33, 17},
          RecurrenceShape{2, 40, 1, 8, 16, 32}}) {
      ExpectCpuMeetsContract(shape, Random(++seed, shape, decay));
    }
  }
}

TEST(LinearAttention, MeetsTheContractWithoutStates) {
  uint64_t seed = 300;
  for (const Decay decay : kAllDecays) {
    RecurrenceCaseOptions options;
    options.states = false;
    const RecurrenceShape shape = {2, 70, 2, 2, 16, 8};
    ExpectCpuMeetsContract(shape, Random(++seed, shape, decay, options));
  }
}

TEST(LinearAttention, MeetsTheContractWithExtremeDecays) {
  const RecurrenceShape shape = {1, 131, 2, 2, 16, 24};
  for (const Decay decay : {Decay::kToken, Decay::kChannel}) {
    RecurrenceInputs in = Random(400, shape, decay);
    SetExtremeDecays(&in);
    ExpectCpuMeetsContract(shape, in);
  }
}

TEST(LinearAttention, StrongDecaysMeetTheContract) {
  // What HGRN2's and KDA's gates reach: products far below 1, yet not 0.
  uint64_t seed = 410;
  for (const Decay decay : {Decay::kToken, Decay::kChannel}) {
    for (const double min_g : {-2.0, -8.0, -40.0}) {
      RecurrenceCaseOptions options;
      options.min_g = min_g;
      const RecurrenceShape shape = {2, 70, 2, 2, 40, 16};
      ExpectCpuMeetsContract(shape, Random(++seed, shape, decay, options));
    }
  }
}

TEST(LinearAttention, TotalDecayEverywhereStaysFinite) {
  const RecurrenceShape shape = {1, 70, 1, 1, 8, 8};
  for (const Decay decay : {Decay::kHead, Decay::kToken, Decay::kChannel}) {
    for (const double g : {-100.0, -1e30}) {
      RecurrenceInputs in = Random(401, shape, decay);
      for (double& x : in.g) x = g;
      const RecurrenceOutputs out = RunCpu(shape, in);
      for (const auto& [name, values] : Fields(out)) {
        for (const double x : *values) {
          ASSERT_TRUE(std::isfinite(x)) << name << " " << Name(decay) << g;
        }
      }
    }
  }
}

TEST(LinearAttention, SegmentsAndStepsMatchTheWhole) {
  const RecurrenceShape shape = {2, 75, 2, 2, 16, 24};
  RecurrenceCaseOptions options;
  options.gradient = false;
  for (const Decay decay : kAllDecays) {
    SCOPED_TRACE(Name(decay));
    for (const bool states : {true, false}) {
      options.states = states;
      const RecurrenceInputs in = Random(500, shape, decay, options);
      auto ctx = CpuContext();
      const std::vector<std::vector<int64_t>> cuts = {
          {}, {1}, {74}, {16}, {15, 17}, {32, 64}, {1, 2, 3, 40}};
      for (const auto& cut : cuts) {
        auto out = RunRecurrenceInSegments<LinearAttentionFamily>(
            *ctx, DType::kF32, shape, in, cut);
        ASSERT_TRUE(out.ok()) << out.status();
        ExpectMeetsContract(*out, shape, in);
      }
      auto out = RunRecurrenceInSegments<LinearAttentionFamily>(
          *ctx, DType::kF32, shape, in, {}, /*steps=*/true);
      ASSERT_TRUE(out.ok()) << out.status();
      ExpectMeetsContract(*out, shape, in);
    }
  }
}

TEST(LinearAttention, StepsWithGroupedValueHeadsMatchTheWhole) {
  const RecurrenceShape shape = {2, 9, 1, 4, 8, 12};
  RecurrenceCaseOptions options;
  options.gradient = false;
  const RecurrenceInputs in = Random(502, shape, Decay::kToken, options);
  auto ctx = CpuContext();
  auto out = RunRecurrenceInSegments<LinearAttentionFamily>(
      *ctx, DType::kF32, shape, in, {}, /*steps=*/true);
  ASSERT_TRUE(out.ok()) << out.status();
  ExpectMeetsContract(*out, shape, in);
}

TEST(LinearAttention, GradientPassesThroughTheStateBetweenSegments) {
  const RecurrenceShape shape = {1, 40, 1, 1, 8, 8};
  for (const Decay decay : kAllDecays) {
    SCOPED_TRACE(Name(decay));
    ExpectGradientPassesBetweenSegments(
        shape, Random(501, shape, decay), 23,
        [](const auto& s, const auto& in) { return RunCpu(s, in); });
  }
}

TEST(LinearAttention, ContractRejectsASumOfDecaysThatIsOffByOneToken) {
  const RecurrenceShape shape = {1, 70, 1, 1, 16, 16};
  for (const Decay decay : {Decay::kHead, Decay::kToken, Decay::kChannel}) {
    const RecurrenceInputs in = Random(600, shape, decay);
    const RecurrenceOutputs fp64 = RecurrenceReference<double>(shape, in);
    const RecurrenceOutputs plain = RecurrenceReference<float>(shape, in);
    const RecurrenceOutputs wrong =
        RecurrencePlainChunked(shape, in, DType::kF32, /*wrong=*/true);
    const auto w = Fields(wrong), p = Fields(plain), f = Fields(fp64);
    for (size_t i = 0; i < f.size(); ++i) {
      EXPECT_FALSE(
          MeetsContract(*w[i].second, *p[i].second, *f[i].second, DType::kF32))
          << f[i].first << " with " << Name(decay);
    }
  }
}

TEST(LinearAttention, PlainChunkedFormulaIsTheRecurrence) {
  const RecurrenceShape shape = {1, 131, 2, 2, 16, 24};
  for (const Decay decay : kAllDecays) {
    const RecurrenceInputs in = Random(601, shape, decay);
    const RecurrenceOutputs fp64 = RecurrenceReference<double>(shape, in);
    const RecurrenceOutputs f32 =
        RecurrencePlainChunked(shape, in, DType::kF32);
    const RecurrenceOutputs bf16 =
        RecurrencePlainChunked(shape, in, DType::kBF16);
    const auto f = Fields(fp64), a = Fields(f32), b = Fields(bf16);
    ASSERT_EQ(a.size(), f.size());
    for (size_t i = 0; i < f.size(); ++i) {
      // A few unit roundoffs, accumulated over about 100 operations.
      EXPECT_TRUE(Near(*a[i].second, *f[i].second, 1e-5))
          << f[i].first << " with " << Name(decay);
      EXPECT_TRUE(Near(*b[i].second, *f[i].second, 5e-2))
          << f[i].first << " with " << Name(decay);
    }
  }
}

TEST(LinearAttention, SameBitsTwiceAndForAnyThreadCount) {
  for (const Decay decay : kAllDecays) {
    const int64_t v_heads = decay == Decay::kChannel ? 2 : 6;
    const RecurrenceShape shape = {2, 50, 2, v_heads, 16, 24};
    const RecurrenceInputs in = Random(700, shape, decay);
    const RecurrenceOutputs one = RunCpu(shape, in, 1),
                            again = RunCpu(shape, in, 1);
    const RecurrenceOutputs three = RunCpu(shape, in, 3);
    const auto a = Fields(one), b = Fields(again), c = Fields(three);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(*a[i].second, *b[i].second) << a[i].first;
      EXPECT_EQ(*a[i].second, *c[i].second) << a[i].first;
    }
  }
}

TEST(LinearAttention, NoTokensPassTheStateOn) {
  for (const Decay decay : kAllDecays) {
    const RecurrenceShape shape = {2, 0, 2, 2, 3, 4};
    const RecurrenceInputs in = Random(800, shape, decay);
    EXPECT_EQ(RunCpu(shape, in).final_state, in.initial_state);
    RecurrenceCaseOptions options;
    options.states = false;
    for (const double x :
         RunCpu(shape, Random(801, shape, decay, options)).final_state) {
      EXPECT_EQ(x, 0);
    }
    const RecurrenceShape none = {0, 3, 2, 2, 3, 4};
    EXPECT_TRUE(RunCpu(none, Random(802, none, decay)).o.empty());
  }
  auto ctx = CpuContext();
  LinearAttentionGradArgs grad;
  grad.forward.q = grad.forward.k = *ctx->Zeros(DType::kF32, {2, 0, 1, 3});
  grad.forward.v = grad.dout = *ctx->Zeros(DType::kF32, {2, 0, 2, 4});
  grad.forward.initial_state = *ctx->Zeros(DType::kF32, {2, 2, 3, 4});
  LinearAttentionGradResults results;
  ASSERT_TRUE(LinearAttentionGrad(*ctx, grad, &results).ok());
  for (const double x : testing::ToDoubles(*ctx, results.dinitial_state)) {
    EXPECT_EQ(x, 0);
  }
}

TEST(LinearAttention, ConstantDecayGetsNoGradient) {
  const RecurrenceShape shape = {1, 5, 1, 2, 3, 4};
  EXPECT_TRUE(RunCpu(shape, Random(803, shape, Decay::kHead)).dg.empty());
  EXPECT_FALSE(RunCpu(shape, Random(803, shape, Decay::kToken)).dg.empty());
}

TEST(LinearAttention, ErrorsNameTheOffendingValues) {
  auto ctx = CpuContext();
  LinearAttentionArgs good;
  good.q = good.k = *ctx->Zeros(DType::kF32, {1, 5, 2, 3});
  good.v = *ctx->Zeros(DType::kF32, {1, 5, 4, 7});
  const auto with = [&](const Shape& shape, DType dtype = DType::kF32) {
    LinearAttentionArgs args = good;
    args.g = *ctx->Zeros(dtype, shape);
    return args;
  };
  for (const LinearAttentionArgs& args : {good, with({4}), with({1, 5, 4})}) {
    EXPECT_TRUE(LinearAttentionSupports(args).ok());
  }
  const auto message = [](const LinearAttentionArgs& args) {
    return std::string(LinearAttentionSupports(args).message());
  };
  EXPECT_NE(message(with({2})).find("[2]"), std::string::npos);
  EXPECT_NE(message(with({1, 5, 2})).find("[1, 5, 2]"), std::string::npos);
  EXPECT_NE(message(with({4}, DType::kBF16)).find("g"), std::string::npos);
  // Per channel, but with grouped value heads.
  EXPECT_NE(message(with({1, 5, 4, 3})).find("value heads"), std::string::npos);
  LinearAttentionArgs bad = good;
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
  bad.q = Tensor();
  EXPECT_NE(message(bad).find("q is undefined"), std::string::npos);
  LinearAttentionResults results;
  EXPECT_EQ(LinearAttentionStep(*ctx, good, &results).code(),
            absl::StatusCode::kInvalidArgument);
  LinearAttentionGradResults grads;
  EXPECT_EQ(LinearAttentionGrad(*ctx, {good}, &grads).code(),
            absl::StatusCode::kInvalidArgument);
}

// What other people's code computed.
void ExpectRecorded(const RecurrenceRecorded& c, double limit) {
  ExpectNearRecorded(c, RecurrenceReference<double>(c.shape, c.inputs), limit);
  SCOPED_TRACE(c.name);
  ExpectCpuMeetsContract(c.shape, c.inputs);
}

TEST(LinearAttention, MatchesRecordedThirdPartyValues) {
  const std::string directory = testing::Env("LT2_DATA_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_DATA_DIR is not set";
  const auto cases = ReadRecurrenceOracles(directory, LinearAttentionOracles());
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_EQ(cases->size(), 4u);
  // fp64 results, written with 9 digits.
  for (const RecurrenceRecorded& c : *cases) ExpectRecorded(c, 1e-7);
}

TEST(LinearAttention, MatchesGoldenFiles) {
  const std::string directory = testing::Env("LT2_GOLDEN_DIR");
  if (directory.empty()) GTEST_SKIP() << "LT2_GOLDEN_DIR is not set";
  const auto cases = ReadRecurrenceGolden(directory, LinearAttentionGolden());
  ASSERT_TRUE(cases.ok()) << cases.status();
  EXPECT_FALSE(cases->empty()) << "no files in " << directory;
  // These were computed in f32: at most 200 tokens of sums of 128 products,
  // each some 2^-24.
  for (const RecurrenceRecorded& c : *cases) ExpectRecorded(c, 2e-5);
}

}  // namespace
}  // namespace lt2::kernels
