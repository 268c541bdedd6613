// Selected attention on the CPU against the reference.

#include "kernels/sparse_attention/selected_attention.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::MeetsContract;
using lt2::testing::Near;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;

constexpr DType kF32 = DType::kF32;

TEST(SelectedAttentionCpu, MeetsTheContract) {
  auto ctx = CpuContext();
  ExpectForwardMeetsContract(
      *ctx, kF32, SelectedCases({{1, 1}, {5, 3}, {16, 16}, {72, 64}}));
}

TEST(SelectedAttentionCpu, GradientMeetsTheContract) {
  auto ctx = CpuContext();
  ExpectGradientMeetsContract(
      *ctx, kF32, SelectedCases({{1, 1}, {5, 3}, {16, 16}, {72, 64}}));
}

TEST(SelectedAttentionCpu, UnseenRowsAreNotRead) {
  auto ctx = CpuContext();
  ExpectUnseenRowsAreNotRead(*ctx, kF32, SelectedCases({{8, 16}}));
}

TEST(SelectedAttentionCpu, SegmentsWithLengthsEqualWhole) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.batch = 2;
  s.queries = s.keys = 67;
  s.heads = 6;
  s.kv_heads = 2;
  s.dim = s.value_dim = 8;
  ExpectSegmentsEqualWhole(*ctx, kF32, SelectedCase(s, 1, 1, 20));
  ExpectSegmentsEqualWhole(*ctx, kF32, SelectedCase(s, 8, 2, 4));
}

TEST(SelectedAttentionCpu, SameBitsTwiceForAnyThreadCountAndBatch) {
  ListAttentionShape s;
  s.batch = 3;
  s.queries = 33;
  s.keys = 80;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 24;
  s.value_dim = 16;
  const ListCase c = SelectedCase(s, 8, 2, 5, {80, 10, 61});
  auto one = CpuContext(1), three = CpuContext(3);
  ExpectSameBits(*one, kF32, c);
  ExpectSameBits(*three, kF32, c);
  const ListInputs in = MakeListInputs(c, kF32, 9);
  EXPECT_EQ(RunListAttention(*one, c, kF32, in).o,
            RunListAttention(*three, c, kF32, in).o);
  const auto a = RunListAttentionGrad(*one, c, kF32, in);
  const auto b = RunListAttentionGrad(*three, c, kF32, in);
  EXPECT_EQ(a.dq, b.dq);
  EXPECT_EQ(a.dk, b.dk);
  EXPECT_EQ(a.dv, b.dv);
}

TEST(SelectedAttentionCpu, WrongTwinsAreRejected) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = s.keys = 60;
  s.heads = 2;
  s.dim = s.value_dim = 8;
  s.scale = 0.35;
  ExpectWrongTwinsRejected(*ctx, kF32, SelectedCase(s, 1, 1, 20));
  ExpectWrongTwinsRejected(*ctx, kF32, SelectedCase(s, 8, 1, 3));
}

// A gradient that forgets delta is not accepted either.
TEST(SelectedAttentionCpu, GradientWithoutDeltaIsRejected) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = s.keys = 40;
  s.dim = s.value_dim = 8;
  const ListCase c = SelectedCase(s, 4, 1, 3);
  const ListInputs in = MakeListInputs(c, kF32, 10);
  const Shape shape{1, 40, 1, 8};
  SelectedAttentionGradArgs args;
  args.forward = {ToTensor(*ctx, kF32, shape, in.q),
                  ToTensor(*ctx, kF32, shape, in.k),
                  ToTensor(*ctx, kF32, shape, in.v),
                  IndexTensor(*ctx, {1, 40, 1, 3}, in.indices),
                  Tensor(),
                  4,
                  1.0f};
  SelectedAttentionResults forward;
  ASSERT_TRUE(SelectedAttention(*ctx, args.forward, &forward).ok());
  args.o = *ctx->Zeros(kF32, shape);
  args.lse = forward.lse;
  args.dout = ToTensor(*ctx, kF32, shape, in.dout);
  SelectedAttentionGradResults grads;
  ASSERT_TRUE(SelectedAttentionGrad(*ctx, args, &grads).ok());
  const auto exact = ListAttentionGradReference(c.shape, ListsOf(c, in), in.q,
                                                in.k, in.v, in.dout);
  const auto plain = PlainListAttentionGrad(c, kF32, in);
  EXPECT_TRUE(
      MeetsContract(ToDoubles(*ctx, grads.dv), plain.dv, exact.dv, kF32));
  EXPECT_FALSE(
      MeetsContract(ToDoubles(*ctx, grads.dq), plain.dq, exact.dq, kF32));
  EXPECT_FALSE(
      MeetsContract(ToDoubles(*ctx, grads.dk), plain.dk, exact.dk, kF32));
}

TEST(SelectedAttentionCpu, OneTokenIsCopied) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.batch = 2;
  s.queries = s.keys = 20;
  s.dim = s.value_dim = 4;
  const ListCase c = SelectedCase(s, 1, 1, 1);
  ListInputs in = MakeListInputs(c, kF32, 12);
  for (int32_t i = 0; i < 40; ++i) in.indices[i] = i % 20;
  EXPECT_EQ(RunListAttention(*ctx, c, kF32, in).o, in.v);
  const auto g = RunListAttentionGrad(*ctx, c, kF32, in);
  EXPECT_TRUE(Near(g.dv, in.dout, 1e-6));
  for (double x : g.dq) EXPECT_NEAR(x, 0, 1e-6);
  for (double x : g.dk) EXPECT_NEAR(x, 0, 1e-6);
}

TEST(SelectedAttentionCpu, OrderOfTheIndicesDoesNotMatter) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = s.keys = 64;
  s.heads = 2;
  s.dim = s.value_dim = 8;
  const ListCase c = SelectedCase(s, 4, 1, 7);
  const ListInputs in = MakeListInputs(c, kF32, 13);
  ListInputs sorted = in;
  for (int64_t row = 0; row < 64; ++row) {
    std::sort(sorted.indices.begin() + row * 7,
              sorted.indices.begin() + (row + 1) * 7);
  }
  const auto exact =
      ListAttentionReference(s, ListsOf(c, in), in.q, in.k, in.v);
  const auto plain = PlainListAttention(c, kF32, in);
  EXPECT_TRUE(MeetsContract(RunListAttention(*ctx, c, kF32, sorted).o, plain.o,
                            exact.o, kF32));
}

TEST(SelectedAttentionCpu, ExtremeScoresMeetTheContract) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = s.keys = 90;
  s.heads = 2;
  s.dim = s.value_dim = 16;
  const ListCase c = SelectedCase(s, 1, 1, 40);
  ListInputs in = MakeListInputs(c, kF32, 14);
  // Scores of about +-1e4 with differences of order 1 among the large ones.
  for (size_t row = 0; row < in.q.size() / 16; ++row) in.q[row * 16] = 100;
  for (size_t row = 0; row < in.k.size() / 16; ++row) {
    in.k[row * 16] = row % 3 == 0 ? 100 : -100;
  }
  const auto exact =
      ListAttentionReference(s, ListsOf(c, in), in.q, in.k, in.v);
  const auto plain = PlainListAttention(c, kF32, in);
  const auto actual = RunListAttention(*ctx, c, kF32, in);
  EXPECT_TRUE(MeetsContract(actual.o, plain.o, exact.o, kF32));
  const auto g = RunListAttentionGrad(*ctx, c, kF32, in);
  const auto g_plain = PlainListAttentionGrad(c, kF32, in);
  const auto g_exact =
      ListAttentionGradReference(s, ListsOf(c, in), in.q, in.k, in.v, in.dout);
  EXPECT_TRUE(MeetsContract(g.dq, g_plain.dq, g_exact.dq, kF32));
  EXPECT_TRUE(MeetsContract(g.dk, g_plain.dk, g_exact.dk, kF32));
  EXPECT_TRUE(MeetsContract(g.dv, g_plain.dv, g_exact.dv, kF32));
}

TEST(SelectedAttentionCpu, NanStaysVisible) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = s.keys = 30;
  s.dim = s.value_dim = 8;
  const ListCase c = SelectedCase(s, 1, 1, 6);
  ListInputs in = MakeListInputs(c, kF32, 15);
  in.k[3 * 8] = NAN;
  const auto o = RunListAttention(*ctx, c, kF32, in).o;
  const RowLists lists = ListsOf(c, in);
  for (int64_t i = 0; i < 30; ++i) {
    const bool sees =
        std::find(lists[i].begin(), lists[i].end(), 3) != lists[i].end();
    EXPECT_EQ(std::isnan(o[i * 8]), sees) << i;
  }
}

TEST(SelectedAttention, RejectsWhatItCannotEvaluate) {
  auto ctx = CpuContext();
  auto f32 = [&](const Shape& shape) { return *ctx->Zeros(kF32, shape); };
  const SelectedAttentionArgs good{f32({1, 4, 4, 8}),
                                   f32({1, 6, 2, 8}),
                                   f32({1, 6, 2, 3}),
                                   *ctx->Zeros(DType::kI32, {1, 4, 2, 2}),
                                   Tensor(),
                                   4,
                                   1.0f};
  EXPECT_TRUE(SelectedAttentionSupports(good).ok());
  auto expect = [&](const SelectedAttentionArgs& args, const char* what) {
    SelectedAttentionResults results;
    const absl::Status status = SelectedAttention(*ctx, args, &results);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find(what), std::string::npos)
        << status;
  };
  SelectedAttentionArgs bad = good;
  bad.k = Tensor();
  expect(bad, "k: expected a tensor");
  bad = good;
  bad.q = f32({1, 7, 4, 8});
  bad.indices = *ctx->Zeros(DType::kI32, {1, 7, 2, 2});
  expect(bad, "7 queries but only 6 keys");
  bad = good;
  bad.q = f32({1, 4, 3, 8});
  expect(bad, "3 query heads");
  bad = good;
  bad.block_size = 0;
  expect(bad, "block_size is 0");
  bad = good;
  bad.scale = -1;
  expect(bad, "scale is -1");
  bad = good;
  bad.indices = *ctx->Zeros(DType::kI32, {1, 4, 3, 2});
  expect(bad, "2 heads or 1");
  bad = good;
  bad.indices = Tensor();
  expect(bad, "indices");
  bad = good;
  bad.indices = IndexTensor(*ctx, {1, 4, 1, 1}, {0, 1, 2, 1});
  expect(bad, "indices[2] is 2, must be in [-1, 2)");
  bad = good;
  bad.lengths = LengthsTensor(*ctx, {7});
  expect(bad, "lengths[0] is 7, must be in [0, 6]");
  bad = good;
  bad.v = *ctx->Zeros(DType::kBF16, {1, 6, 2, 3});
  expect(bad, "bf16");
}

}  // namespace
}  // namespace lt2::kernels
