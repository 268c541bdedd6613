// Forward pass and gradient: the reference against finite differences and
// identities, the CPU form against the reference.

#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>

#include "gtest/gtest.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::FiniteDifferences;
using lt2::testing::MeetsContract;
using lt2::testing::Near;

constexpr DType kF32 = DType::kF32;

AttentionShape SmallShape() {
  AttentionShape s;
  s.batch = 2;
  s.queries = 4;
  s.keys = 6;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 3;
  s.scale = 0.7;
  return s;
}

double Loss(const AttentionShape& s, const AttentionInputs& in) {
  const std::vector<double> o = AttentionReference(s, in.q, in.k, in.v).o;
  double loss = 0;
  for (size_t i = 0; i < o.size(); ++i) loss += o[i] * in.dout[i];
  return loss;
}

TEST(AttentionReference, GradientIsThatOfFiniteDifferences) {
  for (int64_t window : {0, 1, 3}) {
    AttentionShape s = SmallShape();
    s.window = window;
    AttentionInputs in = MakeAttentionInputs(s, kF32, 1);
    const AttentionGradients g =
        AttentionGradReference(s, in.q, in.k, in.v, in.dout);
    auto differences = [&](std::vector<double>* x) {
      const std::vector<double> original = *x;
      const auto result = FiniteDifferences(
          [&](const std::vector<double>& moved) {
            *x = moved;
            return Loss(s, in);
          },
          original);
      *x = original;
      return result;
    };
    // With window 1 there is one key and no dependence on q and k at all.
    if (window != 1) {
      EXPECT_TRUE(Near(g.dq, differences(&in.q), 1e-8)) << s;
      EXPECT_TRUE(Near(g.dk, differences(&in.k), 1e-8)) << s;
    }
    EXPECT_TRUE(Near(g.dv, differences(&in.v), 1e-8)) << s;
  }
}

TEST(AttentionReference, EqualScoresGiveTheMeanOfTheWindow) {
  AttentionShape s;
  s.queries = s.keys = 5;
  s.window = 2;
  const std::vector<double> q(5, 0.0), k(5, 1.0), v = {1, 2, 4, 8, 16};
  const AttentionValues a = AttentionReference(s, q, k, v);
  EXPECT_TRUE(Near(a.o, {1, 1.5, 3, 6, 12}, 1e-14));
  EXPECT_TRUE(Near(
      a.lse, {0, std::log(2), std::log(2), std::log(2), std::log(2)}, 1e-14));
}

void Append(std::vector<double>* to, const std::vector<double>& from) {
  to->insert(to->end(), from.begin(), from.end());
}

TEST(AttentionCpu, MeetsTheContractOnEdgeShapes) {
  auto ctx = CpuContext();
  // Of the log-sum-exps some shapes have one: too few for a ratio of errors.
  std::vector<double> actual_lse, plain_lse, exact_lse;
  for (const AttentionShape& s : EdgeShapes({1, 5, 16, 64, 128})) {
    const AttentionInputs in = MakeAttentionInputs(s, kF32, 2, 2.0);
    const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
    const AttentionValues plain = PlainAttention(s, kF32, in);
    const AttentionValues actual = RunAttention(*ctx, s, kF32, in);
    EXPECT_TRUE(MeetsContract(actual.o, plain.o, exact.o, kF32)) << s;
    Append(&actual_lse, actual.lse);
    Append(&plain_lse, plain.lse);
    Append(&exact_lse, exact.lse);
  }
  EXPECT_TRUE(MeetsContract(actual_lse, plain_lse, exact_lse, kF32));
}

TEST(AttentionCpu, GradientMeetsTheContractOnEdgeShapes) {
  auto ctx = CpuContext();
  for (const AttentionShape& s : EdgeShapes({1, 5, 16, 64, 128})) {
    if (s.keys == 1 || s.window == 1) continue;  // tested below
    const AttentionInputs in = MakeAttentionInputs(s, kF32, 3, 2.0);
    const AttentionGradients exact =
        AttentionGradReference(s, in.q, in.k, in.v, in.dout);
    const AttentionGradients plain = PlainAttentionGrad(s, kF32, in);
    const AttentionGradients actual = RunAttentionGrad(*ctx, s, kF32, in);
    EXPECT_TRUE(MeetsContract(actual.dq, plain.dq, exact.dq, kF32)) << s;
    EXPECT_TRUE(MeetsContract(actual.dk, plain.dk, exact.dk, kF32)) << s;
    EXPECT_TRUE(MeetsContract(actual.dv, plain.dv, exact.dv, kF32)) << s;
  }
}

// Each query sees itself alone: o = v, dv = dout, and the scores have no
// gradient but what rounding leaves.
TEST(AttentionCpu, WindowOfOneCopiesTheValues) {
  auto ctx = CpuContext();
  AttentionShape s;
  s.batch = 2;
  s.queries = s.keys = 130;
  s.heads = s.kv_heads = 2;
  s.dim = 24;
  s.window = 1;
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 4);
  EXPECT_EQ(RunAttention(*ctx, s, kF32, in).o, in.v);
  const AttentionGradients g = RunAttentionGrad(*ctx, s, kF32, in);
  EXPECT_TRUE(Near(g.dv, in.dout, 1e-6));
  for (double x : g.dq) EXPECT_NEAR(x, 0, 1e-4);
  for (double x : g.dk) EXPECT_NEAR(x, 0, 1e-4);
}

TEST(AttentionCpu, WindowThatCoversAllKeysEqualsNoWindow) {
  auto ctx = CpuContext();
  AttentionShape s;
  s.queries = s.keys = 150;
  s.dim = 16;
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 5);
  const std::vector<double> full = RunAttention(*ctx, s, kF32, in).o;
  for (int64_t window : {150, 151, 100000}) {
    s.window = window;
    EXPECT_EQ(RunAttention(*ctx, s, kF32, in).o, full) << window;
  }
}

TEST(AttentionCpu, SplitIntoSegmentsMatchesWhole) {
  auto ctx = CpuContext();
  for (int64_t window : {0, 40}) {
    AttentionShape s;
    s.batch = 2;
    s.queries = s.keys = 150;
    s.heads = 2;
    s.kv_heads = 1;
    s.dim = 16;
    s.window = window;
    ExpectSegmentsMatchWhole(*ctx, s, kF32, MakeAttentionInputs(s, kF32, 6),
                             {0, 1, 64, 71, 150});
  }
}

TEST(AttentionCpu, ExtremeScoresMeetTheContract) {
  auto ctx = CpuContext();
  AttentionShape s;
  const AttentionInputs in = ExtremeInputs(kF32, &s);
  const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
  const AttentionValues plain = PlainAttention(s, kF32, in);
  const AttentionValues actual = RunAttention(*ctx, s, kF32, in);
  EXPECT_GT(exact.lse[0], 9e3);
  EXPECT_TRUE(MeetsContract(actual.o, plain.o, exact.o, kF32));
  EXPECT_TRUE(MeetsContract(actual.lse, plain.lse, exact.lse, kF32));
  const AttentionGradients g = RunAttentionGrad(*ctx, s, kF32, in);
  const AttentionGradients g_plain = PlainAttentionGrad(s, kF32, in);
  const AttentionGradients g_exact =
      AttentionGradReference(s, in.q, in.k, in.v, in.dout);
  EXPECT_TRUE(MeetsContract(g.dq, g_plain.dq, g_exact.dq, kF32));
  EXPECT_TRUE(MeetsContract(g.dk, g_plain.dk, g_exact.dk, kF32));
  EXPECT_TRUE(MeetsContract(g.dv, g_plain.dv, g_exact.dv, kF32));
}

TEST(AttentionCpu, ConstantScoresOfAnySizeGiveTheMean) {
  auto ctx = CpuContext();
  AttentionShape s;
  s.queries = s.keys = 100;
  s.dim = 1;
  for (double score : {-1e4, 0.0, 1e4}) {
    AttentionInputs in = MakeAttentionInputs(s, kF32, 8);
    in.q.assign(100, score);
    in.k.assign(100, 1.0);
    EXPECT_TRUE(Near(RunAttention(*ctx, s, kF32, in).o,
                     AttentionReference(s, in.q, in.k, in.v).o, 1e-6));
  }
}

TEST(AttentionCpu, NaNInputsAreNotHidden) {
  auto ctx = CpuContext();
  AttentionShape s;
  s.queries = s.keys = 70;
  s.dim = 8;
  AttentionInputs in = MakeAttentionInputs(s, kF32, 9);
  in.k[3 * 8] = std::nan("");
  const std::vector<double> o = RunAttention(*ctx, s, kF32, in).o;
  EXPECT_FALSE(std::isnan(o[2 * 8]));
  for (int64_t i = 3; i < 70; ++i) EXPECT_TRUE(std::isnan(o[i * 8])) << i;
}

TEST(AttentionCpu, SameBitsTwiceForAnyThreadCountAndBatch) {
  auto one = CpuContext(1), three = CpuContext(3);
  AttentionShape s;
  s.batch = 3;
  s.queries = 100;
  s.keys = 170;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 24;
  s.window = 90;
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 10);
  const AttentionValues a = RunAttention(*one, s, kF32, in);
  const AttentionGradients g = RunAttentionGrad(*one, s, kF32, in);
  for (Context* ctx : {one.get(), three.get()}) {
    const AttentionValues again = RunAttention(*ctx, s, kF32, in);
    EXPECT_EQ(again.o, a.o);
    EXPECT_EQ(again.lse, a.lse);
    const AttentionGradients g_again = RunAttentionGrad(*ctx, s, kF32, in);
    EXPECT_EQ(g_again.dq, g.dq);
    EXPECT_EQ(g_again.dk, g.dk);
    EXPECT_EQ(g_again.dv, g.dv);
  }
  AttentionShape last = s;
  last.batch = 1;
  AttentionInputs row;
  row.q = Segment(in.q, 1, 3, 2, 3);
  row.k = Segment(in.k, 1, 3, 2, 3);
  row.v = Segment(in.v, 1, 3, 2, 3);
  EXPECT_EQ(RunAttention(*one, last, kF32, row).o, Segment(a.o, 1, 3, 2, 3));
}

// The assertion has teeth: a window or a causal mask that is off by one, or a
// gradient without its delta term, does not pass it.
TEST(AttentionCpu, WrongTwinsAreRejected) {
  auto ctx = CpuContext();
  AttentionShape s;
  s.queries = s.keys = 300;
  s.dim = 16;
  s.scale = 0.25;
  s.window = 100;
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 11);
  const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
  const AttentionValues plain = PlainAttention(s, kF32, in);
  AttentionShape wide = s;
  wide.window = 101;
  EXPECT_FALSE(MeetsContract(RunAttention(*ctx, wide, kF32, in).o, plain.o,
                             exact.o, kF32));
  // One key too many: row i of a sequence with its keys moved by one.
  AttentionInputs moved = in;
  moved.k.erase(moved.k.begin(), moved.k.begin() + 16);
  moved.k.insert(moved.k.end(), 16, 0.0);
  moved.v.erase(moved.v.begin(), moved.v.begin() + 16);
  moved.v.insert(moved.v.end(), 16, 0.0);
  EXPECT_FALSE(MeetsContract(RunAttention(*ctx, s, kF32, moved).o, plain.o,
                             exact.o, kF32));

  AttentionGradArgs args;
  const Shape shape{1, 300, 1, 16};
  args.forward.q = lt2::testing::ToTensor(*ctx, kF32, shape, in.q);
  args.forward.k = lt2::testing::ToTensor(*ctx, kF32, shape, in.k);
  args.forward.v = lt2::testing::ToTensor(*ctx, kF32, shape, in.v);
  args.forward.scale = 0.25f;
  args.forward.window = 100;
  AttentionResults forward;
  ASSERT_TRUE(Attention(*ctx, args.forward, &forward).ok());
  args.lse = forward.lse;
  args.o = *ctx->Zeros(kF32, shape);  // delta = 0
  args.dout = lt2::testing::ToTensor(*ctx, kF32, shape, in.dout);
  AttentionGradResults grads;
  ASSERT_TRUE(AttentionGrad(*ctx, args, &grads).ok());
  const AttentionGradients g_exact =
      AttentionGradReference(s, in.q, in.k, in.v, in.dout);
  const AttentionGradients g_plain = PlainAttentionGrad(s, kF32, in);
  EXPECT_FALSE(MeetsContract(lt2::testing::ToDoubles(*ctx, grads.dq),
                             g_plain.dq, g_exact.dq, kF32));
  EXPECT_FALSE(MeetsContract(lt2::testing::ToDoubles(*ctx, grads.dk),
                             g_plain.dk, g_exact.dk, kF32));
}

TEST(AttentionCpu, EmptyInputsGiveEmptyOrZeroResults) {
  auto ctx = CpuContext();
  for (const auto& [batch, queries, keys] :
       {std::tuple<int64_t, int64_t, int64_t>{0, 3, 3}, {2, 0, 0}, {2, 0, 5}}) {
    AttentionShape s;
    s.batch = batch;
    s.queries = queries;
    s.keys = keys;
    s.heads = s.kv_heads = 2;
    s.dim = 8;
    const AttentionInputs in = MakeAttentionInputs(s, kF32, 12);
    EXPECT_TRUE(RunAttention(*ctx, s, kF32, in).o.empty());
    const AttentionGradients g = RunAttentionGrad(*ctx, s, kF32, in);
    EXPECT_TRUE(g.dq.empty());
    EXPECT_EQ(g.dk, std::vector<double>(s.k_numel(), 0.0));
    EXPECT_EQ(g.dv, std::vector<double>(s.k_numel(), 0.0));
  }
}

TEST(Attention, RejectsWhatItCannotEvaluate) {
  auto ctx = CpuContext();
  auto f32 = [&](const Shape& shape) { return *ctx->Zeros(kF32, shape); };
  auto message = [&](const AttentionArgs& args) {
    AttentionResults results;
    const absl::Status status = Attention(*ctx, args, &results);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  const AttentionArgs good{f32({1, 4, 4, 8}), f32({1, 4, 2, 8}),
                           f32({1, 4, 2, 8}), 1.0f};
  EXPECT_TRUE(AttentionSupports(good).ok());
  AttentionArgs bad = good;
  bad.q = f32({1, 5, 4, 8});
  EXPECT_NE(message(bad).find("5 queries but only 4 keys"), std::string::npos);
  bad = good;
  bad.q = f32({1, 4, 3, 8});
  EXPECT_NE(message(bad).find("3 query heads"), std::string::npos);
  bad = good;
  bad.scale = 0;
  EXPECT_NE(message(bad).find("scale is 0"), std::string::npos);
  bad = good;
  bad.window = -1;
  EXPECT_NE(message(bad).find("window is -1"), std::string::npos);
  bad = good;
  bad.v = f32({1, 4, 2, 4});
  EXPECT_NE(message(bad).find("v"), std::string::npos);
  bad = good;
  bad.q = *ctx->Zeros(DType::kBF16, {1, 4, 4, 8});
  EXPECT_NE(message(bad).find("bf16"), std::string::npos);
  bad = good;
  bad.k = Tensor();
  EXPECT_NE(message(bad).find("k is undefined"), std::string::npos);
  bad = good;
  bad.q = f32({4, 4, 8});
  EXPECT_NE(message(bad).find("batch, seq, heads, dim"), std::string::npos);
}

}  // namespace
}  // namespace lt2::kernels
