// The bodies of the CUDA tests that linear attention and the delta rule share.
// Family is LinearAttentionFamily or DeltaRuleFamily; `base` says which
// recurrence (delta or not) and which decay. bf16 results are held against fp64
// with RecurrencePlainChunked in bf16 as the measure; where nothing is said,
// gradients too.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CUDA_TESTING_H_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CUDA_TESTING_H_

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/contract_pool.h"
#include "kernels/linear_attention/recurrence_testing.h"

namespace lt2::kernels {

// The last part of a parametrised test's name.
inline std::string DecayName(const ::testing::TestParamInfo<Decay>& decay) {
  switch (decay.param) {
    case Decay::kNone:
      return "None";
    case Decay::kHead:
      return "Head";
    case Decay::kToken:
      return "Token";
    case Decay::kChannel:
      return "Channel";
  }
  return "";
}

template <typename Family>
RecurrenceOutputs RunCuda(const RecurrenceShape& shape,
                          const RecurrenceInputs& in) {
  auto ctx = testing::CudaContext();
  auto out = RunRecurrence<Family>(*ctx, DType::kBF16, shape, in);
  LT2_CHECK(out.ok(), out.status().ToString());
  return *out;
}

// The type a result has on the GPU.
inline DType CudaResultType(const std::string& name) {
  const bool act = name == "o" || name == "dq" || name == "dk" || name == "dv";
  return act ? DType::kBF16 : DType::kF32;
}

// Adds a case to the pool that the contract is checked on: a single case has
// too few rounding errors for an RMS where a result is one number per chunk.
inline void AddToPool(testing::ContractPool* pool,
                      const RecurrenceOutputs& actual,
                      const RecurrenceShape& shape,
                      const RecurrenceInputs& in) {
  const std::string label = Describe(shape);
  const RecurrenceOutputs fp64 = RecurrenceReference<double>(shape, in);
  const RecurrenceOutputs plain =
      RecurrencePlainChunked(shape, in, DType::kBF16);
  const auto a = Fields(actual), p = Fields(plain), f = Fields(fp64);
  ASSERT_EQ(a.size(), f.size()) << label;
  ASSERT_EQ(p.size(), f.size()) << label;
  for (size_t i = 0; i < f.size(); ++i) {
    ASSERT_EQ(a[i].first, f[i].first) << label;
    pool->Add(f[i].first, label, CudaResultType(f[i].first), *a[i].second,
              *p[i].second, *f[i].second);
  }
}

inline RecurrenceInputs RandomBf16(uint64_t seed, const RecurrenceShape& shape,
                                   RecurrenceCaseOptions options) {
  options.act = DType::kBF16;
  return RandomRecurrence(seed, shape, options);
}

template <typename Family>
void ExpectContractAt(const std::vector<RecurrenceShape>& shapes,
                      const RecurrenceCaseOptions& options, uint64_t seed) {
  testing::ContractPool pool;
  for (const RecurrenceShape& shape : shapes) {
    const RecurrenceInputs in = RandomBf16(++seed, shape, options);
    AddToPool(&pool, RunCuda<Family>(shape, in), shape, in);
  }
  pool.Check();
}

inline std::vector<RecurrenceShape> EdgeLengths() {
  std::vector<RecurrenceShape> shapes;
  for (const int64_t seq :
       {1, 2, 15, 16, 17, 31, 33, 48, 63, 64, 65, 127, 128, 129, 197}) {
    shapes.push_back({2, seq, 2, 2, 32, 48});
  }
  return shapes;
}

inline std::vector<RecurrenceShape> ManySizes() {
  return {
      {2, 37, 1, 1, 16, 16},   {2, 100, 2, 2, 16, 256}, {2, 90, 2, 2, 48, 96},
      {2, 70, 1, 1, 128, 16},  {2, 130, 2, 2, 64, 64},  {2, 130, 2, 2, 96, 192},
      {2, 70, 1, 1, 128, 128}, {2, 70, 1, 1, 128, 256}, {2, 90, 2, 2, 112, 80}};
}

// Value heads that share a query head; the last shape is Mamba2's.
inline std::vector<RecurrenceShape> GroupedHeads() {
  return {{2, 90, 2, 4, 32, 32}, {2, 90, 2, 6, 32, 32}, {1, 70, 1, 8, 64, 48}};
}

// Enough blocks for the wide slices of the sequential kernels.
inline std::vector<RecurrenceShape> ManyHeads() {
  return {{8, 70, 16, 16, 32, 64}};
}

// Gates from none to e^-100 within a few tokens.
template <typename Family>
void ExpectContractWithExtremeDecays(RecurrenceCaseOptions options,
                                     uint64_t seed) {
  testing::ContractPool pool;
  for (const int64_t d_k : {16, 32, 48}) {
    const RecurrenceShape shape = {2, 131, 2, 2, d_k, 32};
    RecurrenceInputs in = RandomBf16(++seed, shape, options);
    SetExtremeDecays(&in);
    AddToPool(&pool, RunCuda<Family>(shape, in), shape, in);
  }
  pool.Check();
}

template <typename Family>
void ExpectFiniteUnderTotalDecay(const RecurrenceCaseOptions& options) {
  const RecurrenceShape shape = {1, 130, 1, 1, 16, 16};
  RecurrenceInputs in = RandomBf16(401, shape, options);
  for (double& g : in.g) g = -100;
  const RecurrenceOutputs out = RunCuda<Family>(shape, in);
  for (const auto& [name, values] : Fields(out)) {
    for (const double x : *values) ASSERT_TRUE(std::isfinite(x)) << name;
  }
}

// Any split into segments, and single steps, against the whole.
template <typename Family>
void ExpectContractInSegments(RecurrenceCaseOptions options, uint64_t seed) {
  testing::ContractPool pool;
  const RecurrenceShape shape = {2, 150, 2, 2, 32, 48};
  options.gradient = false;
  for (const bool states : {true, false}) {
    options.states = states;
    const RecurrenceInputs in = RandomBf16(++seed, shape, options);
    auto ctx = testing::CudaContext();
    const std::vector<std::vector<int64_t>> cuts = {
        {}, {1}, {149}, {64}, {63, 65}, {1, 2, 3, 130}};
    for (const auto& cut : cuts) {
      auto out =
          RunRecurrenceInSegments<Family>(*ctx, DType::kBF16, shape, in, cut);
      ASSERT_TRUE(out.ok()) << out.status();
      AddToPool(&pool, *out, shape, in);
    }
    auto out = RunRecurrenceInSegments<Family>(*ctx, DType::kBF16, shape, in,
                                               {}, true);
    ASSERT_TRUE(out.ok()) << out.status();
    AddToPool(&pool, *out, shape, in);
  }
  pool.Check();
}

// f32: whole sequences and single steps, at sizes that fit no tile.
template <typename Family>
void ExpectContractInF32(RecurrenceCaseOptions options, uint64_t seed) {
  options.gradient = false;
  for (const bool steps : {false, true}) {
    for (const int64_t d_k : {1, 7, 64, 128}) {
      SCOPED_TRACE(absl::StrCat("d_k ", d_k, steps ? ", steps" : ""));
      const RecurrenceShape shape = {2, 67, 2, 2, d_k, 37};
      const RecurrenceInputs in = RandomRecurrence(++seed, shape, options);
      auto ctx = testing::CudaContext();
      auto out = steps ? RunRecurrenceInSegments<Family>(*ctx, DType::kF32,
                                                         shape, in, {}, true)
                       : RunRecurrence<Family>(*ctx, DType::kF32, shape, in);
      ASSERT_TRUE(out.ok()) << out.status();
      ExpectMeetsContract(*out, shape, in);
    }
  }
}

// The same assertion must reject the wrong twin.
inline void ExpectContractRejectsTwin(const RecurrenceCaseOptions& options) {
  const RecurrenceShape shape = {1, 70, 1, 1, 16, 16};
  const RecurrenceInputs in = RandomBf16(600, shape, options);
  const RecurrenceOutputs fp64 = RecurrenceReference<double>(shape, in);
  const RecurrenceOutputs plain =
      RecurrencePlainChunked(shape, in, DType::kBF16);
  const RecurrenceOutputs wrong =
      RecurrencePlainChunked(shape, in, DType::kBF16, /*wrong=*/true);
  const auto w = Fields(wrong), p = Fields(plain), f = Fields(fp64);
  int rejected = 0;
  for (size_t i = 0; i < f.size(); ++i) {
    const bool passes = testing::MeetsContract(
        *w[i].second, *p[i].second, *f[i].second, CudaResultType(f[i].first));
    if (f[i].first == "o" || f[i].first == "dk") {
      EXPECT_FALSE(passes) << f[i].first;
    }
    rejected += !passes;
  }
  EXPECT_GE(rejected, 4) << "of " << f.size();
}

template <typename Family>
void ExpectSameBitsTwice(const RecurrenceShape& shape,
                         const RecurrenceCaseOptions& options) {
  const RecurrenceInputs in = RandomBf16(700, shape, options);
  const RecurrenceOutputs one = RunCuda<Family>(shape, in);
  const RecurrenceOutputs two = RunCuda<Family>(shape, in);
  const auto a = Fields(one), b = Fields(two);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(*a[i].second, *b[i].second) << a[i].first;
  }
}

// A row's bits do not depend on the batch around it: 12 rows of 8 heads use
// wide slices of the state, one row narrow ones.
template <typename Family>
void ExpectRowsAreIndependent(const RecurrenceCaseOptions& options) {
  const RecurrenceShape many = {12, 70, 8, 8, 32, 64};
  const RecurrenceInputs in = RandomBf16(701, many, options);
  RecurrenceShape one = many;
  one.batch = 1;
  const auto first = [&](std::vector<double> x) {
    x.resize(x.size() / many.batch);
    return x;
  };
  RecurrenceInputs part = in;
  using I = RecurrenceInputs;
  for (auto member : {&I::q, &I::k, &I::v, &I::beta, &I::g, &I::initial_state,
                      &I::dout, &I::dfinal_state}) {
    if (member == &I::g && in.decay == Decay::kHead) continue;
    part.*member = first(in.*member);
  }
  const RecurrenceOutputs all = RunCuda<Family>(many, in);
  const RecurrenceOutputs alone = RunCuda<Family>(one, part);
  const auto a = Fields(all), b = Fields(alone);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(first(*a[i].second), *b[i].second) << a[i].first;
  }
}

// Forward and gradient in a CUDA graph give the bits of plain launches.
template <typename Family>
void ExpectCapturable(const RecurrenceCaseOptions& options) {
  const RecurrenceShape shape = {2, 100, 2, 2, 32, 32};
  const RecurrenceInputs in = RandomBf16(702, shape, options);
  auto ctx = testing::CudaContext();
  typename Family::GradArgs args;
  args.forward = MakeRecurrenceArgs<Family>(*ctx, DType::kBF16, shape, in);
  args.dout =
      testing::ToTensor(*ctx, DType::kBF16, args.forward.v.shape(), in.dout);
  typename Family::Results results;
  typename Family::GradResults grads;
  const auto work = [&]() -> absl::Status {
    LT2_RETURN_IF_ERROR(Family::Forward(*ctx, args.forward, &results));
    return Family::Grad(*ctx, args, &grads);
  };
  ASSERT_EQ(work(), absl::OkStatus());
  const auto o = testing::ToDoubles(*ctx, results.o);
  const auto dk = testing::ToDoubles(*ctx, grads.dk);
  auto graph = CudaGraph::Capture(*ctx, work);
  ASSERT_TRUE(graph.ok()) << graph.status();
  LT2_CHECK_OK(ctx->Zero(&results.o));
  LT2_CHECK_OK(ctx->Zero(&grads.dk));
  ASSERT_EQ((*graph)->Launch(), absl::OkStatus());
  EXPECT_EQ(testing::ToDoubles(*ctx, results.o), o);
  EXPECT_EQ(testing::ToDoubles(*ctx, grads.dk), dk);
}

template <typename Family>
void ExpectNoTokensPassTheStateOn(const RecurrenceCaseOptions& options) {
  const RecurrenceShape shape = {2, 0, 2, 2, 16, 16};
  const RecurrenceInputs in = RandomBf16(800, shape, options);
  EXPECT_EQ(RunCuda<Family>(shape, in).final_state, in.initial_state);
}

template <typename Family>
void ExpectClearErrors(const RecurrenceCaseOptions& options) {
  auto ctx = testing::CudaContext();
  const auto error = [&](DType act, int64_t d_k, int64_t d_v) {
    const RecurrenceShape shape = {1, 5, 1, 1, d_k, d_v};
    const auto out = RunRecurrence<Family>(
        *ctx, act, shape, RandomRecurrence(900, shape, options));
    EXPECT_EQ(out.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(out.status().message());
  };
  const DType bf = DType::kBF16;
  EXPECT_NE(error(DType::kF32, 16, 16).find("only bf16"), std::string::npos);
  EXPECT_NE(error(bf, 24, 16).find("d_k = 24"), std::string::npos);
  EXPECT_NE(error(bf, 16, 24).find("d_v = 24"), std::string::npos);
  EXPECT_NE(error(bf, 144, 16).find("144"), std::string::npos);
  EXPECT_NE(error(bf, 16, 272).find("d_v = 272"), std::string::npos);
}

// Other people's values, with q, k, v and dout rounded to bf16 first. What that
// rounding alone changes, in fp64, is allowed on top of the contract. The
// recorded states and gates are f32. Sizes that bf16 does not take run forward
// in f32, which is what was recorded. HGRN2's k and g are made from something
// else and left to the CPU's test.
template <typename Family>
void ExpectRecordedOnCuda(
    const absl::StatusOr<std::vector<RecurrenceRecorded>>& cases) {
  ASSERT_TRUE(cases.ok()) << cases.status();
  testing::ContractPool pool;
  int checked = 0;
  for (const RecurrenceRecorded& c : *cases) {
    const RecurrenceShape& s = c.shape;
    if (!c.f.empty() || s.d_k > 128) continue;
    SCOPED_TRACE(c.name);
    ++checked;
    if (s.d_k % 16 != 0 || s.d_v % 16 != 0 || s.d_v > 256) {
      RecurrenceInputs forward = c.inputs;
      forward.dout.clear();
      forward.dfinal_state.clear();
      auto ctx = testing::CudaContext();
      auto out = RunRecurrence<Family>(*ctx, DType::kF32, s, forward);
      ASSERT_TRUE(out.ok()) << out.status();
      EXPECT_TRUE(testing::Near(out->o, c.outputs.o, 1e-5));
      if (c.outputs.final_state.empty()) continue;
      EXPECT_TRUE(testing::Near(out->final_state, c.outputs.final_state, 1e-5));
      continue;
    }
    RecurrenceInputs in = c.inputs;
    using I = RecurrenceInputs;
    for (auto member : {&I::q, &I::k, &I::v, &I::dout}) {
      in.*member = testing::Rounded(DType::kBF16, in.*member);
    }
    const RecurrenceOutputs actual = RunCuda<Family>(s, in);
    AddToPool(&pool, actual, s, in);
    const RecurrenceOutputs fp64 = RecurrenceReference<double>(s, in);
    const RecurrenceOutputs plain = RecurrencePlainChunked(s, in, DType::kBF16);
    const auto a = Fields(actual), f = Fields(fp64), p = Fields(plain);
    const auto r = Fields(c.outputs);
    for (size_t i = 0; i < r.size(); ++i) {
      for (size_t j = 0; j < a.size(); ++j) {
        if (a[j].first != r[i].first) continue;
        const double rounding = testing::RmsRatio(*f[j].second, *r[i].second);
        const double own =
            2 * testing::RmsRatio(*p[j].second, *f[j].second) + 0x1p-9;
        EXPECT_TRUE(testing::Near(*a[j].second, *r[i].second,
                                  rounding + (1 + rounding) * own))
            << r[i].first;
        EXPECT_LT(rounding, 0.05) << r[i].first;
      }
    }
  }
  EXPECT_GE(checked, 1);
  pool.Check();
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CUDA_TESTING_H_
