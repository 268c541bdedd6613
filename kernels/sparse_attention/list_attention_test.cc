// The reference of attention over lists against finite differences, and
// attention over all tokens against dense attention.

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::FiniteDifferences;
using lt2::testing::MeetsContract;
using lt2::testing::Near;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;

constexpr DType kF32 = DType::kF32;

ListAttentionShape SmallShape() {
  ListAttentionShape s;
  s.batch = 2;
  s.queries = 4;
  s.keys = 7;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 3;
  s.value_dim = 2;
  s.scale = 0.7;
  return s;
}

// d sum(o * dout) by central differences of the reference.
void ExpectGradientIsThatOfFiniteDifferences(const ListCase& c) {
  ListInputs in = MakeListInputs(c, kF32, 1);
  const RowLists lists = ListsOf(c, in);
  const auto g =
      ListAttentionGradReference(c.shape, lists, in.q, in.k, in.v, in.dout);
  auto differences = [&](std::vector<double> ListInputs::*field) {
    return FiniteDifferences(
        [&](const std::vector<double>& moved) {
          ListInputs x = in;
          x.*field = moved;
          const auto o =
              ListAttentionReference(c.shape, lists, x.q, x.k, x.v).o;
          double loss = 0;
          for (size_t i = 0; i < o.size(); ++i) loss += o[i] * in.dout[i];
          return loss;
        },
        in.*field);
  };
  EXPECT_TRUE(Near(g.dq, differences(&ListInputs::q), 1e-8)) << c.ToString();
  EXPECT_TRUE(Near(g.dk, differences(&ListInputs::k), 1e-8)) << c.ToString();
  EXPECT_TRUE(Near(g.dv, differences(&ListInputs::v), 1e-8)) << c.ToString();
}

TEST(ListAttentionReference, GradientIsThatOfFiniteDifferences) {
  const ListAttentionShape s = SmallShape();
  ExpectGradientIsThatOfFiniteDifferences(SelectedCase(s, 1, 1, 4));
  ExpectGradientIsThatOfFiniteDifferences(SelectedCase(s, 2, 2, 3));
  ExpectGradientIsThatOfFiniteDifferences(SelectedCase(s, 2, 2, 3, {7, 3}));
  ExpectGradientIsThatOfFiniteDifferences(CompressedCase(s, 7, 2));
  ExpectGradientIsThatOfFiniteDifferences(CompressedCase(s, 9, 2, {9, 5}));
}

// All blocks selected is kernels/attention, forward and backward.
TEST(SelectedAttentionCpu, SelectionOfAllTokensIsDenseAttention) {
  auto ctx = CpuContext();
  for (int64_t block_size : {1, 8, 64}) {
    ListAttentionShape s;
    s.batch = 2;
    s.queries = 50;
    s.keys = 83;
    s.heads = 6;
    s.kv_heads = 2;
    s.dim = s.value_dim = 16;
    s.scale = 0.25;
    const int64_t blocks = (83 + block_size - 1) / block_size;
    const ListCase c = SelectedCase(s, block_size, 1, blocks);
    ListInputs in = MakeListInputs(c, kF32, 11);
    in.indices.clear();
    for (int64_t row = 0; row < 100; ++row) {
      for (int64_t j = 0; j < blocks; ++j) {
        in.indices.push_back(static_cast<int32_t>((row + j) % blocks));
      }
    }
    const auto exact =
        ListAttentionReference(s, ListsOf(c, in), in.q, in.k, in.v);
    const auto plain = PlainListAttention(c, kF32, in);
    const auto g_exact = ListAttentionGradReference(s, ListsOf(c, in), in.q,
                                                    in.k, in.v, in.dout);
    const auto g_plain = PlainListAttentionGrad(c, kF32, in);

    AttentionGradArgs dense;
    dense.forward.q = ToTensor(*ctx, kF32, {2, 50, 6, 16}, in.q);
    dense.forward.k = ToTensor(*ctx, kF32, {2, 83, 2, 16}, in.k);
    dense.forward.v = ToTensor(*ctx, kF32, {2, 83, 2, 16}, in.v);
    dense.forward.scale = 0.25f;
    AttentionResults forward;
    ASSERT_TRUE(Attention(*ctx, dense.forward, &forward).ok());
    dense.o = forward.o;
    dense.lse = forward.lse;
    dense.dout = ToTensor(*ctx, kF32, {2, 50, 6, 16}, in.dout);
    AttentionGradResults grads;
    ASSERT_TRUE(AttentionGrad(*ctx, dense, &grads).ok());

    const auto o = RunListAttention(*ctx, c, kF32, in);
    const auto g = RunListAttentionGrad(*ctx, c, kF32, in);
    for (const auto& x : {o.o, ToDoubles(*ctx, forward.o)}) {
      EXPECT_TRUE(MeetsContract(x, plain.o, exact.o, kF32)) << block_size;
    }
    for (const auto& x : {o.lse, ToDoubles(*ctx, forward.lse)}) {
      EXPECT_TRUE(MeetsContract(x, plain.lse, exact.lse, kF32)) << block_size;
    }
    for (const auto& x : {g.dq, ToDoubles(*ctx, grads.dq)}) {
      EXPECT_TRUE(MeetsContract(x, g_plain.dq, g_exact.dq, kF32)) << block_size;
    }
    for (const auto& x : {g.dk, ToDoubles(*ctx, grads.dk)}) {
      EXPECT_TRUE(MeetsContract(x, g_plain.dk, g_exact.dk, kF32)) << block_size;
    }
    for (const auto& x : {g.dv, ToDoubles(*ctx, grads.dv)}) {
      EXPECT_TRUE(MeetsContract(x, g_plain.dv, g_exact.dv, kF32)) << block_size;
    }
  }
}

}  // namespace
}  // namespace lt2::kernels
