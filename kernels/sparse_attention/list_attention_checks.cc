// Cases and whole test bodies of list_attention_testing.h.

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::ContractPool;
using lt2::testing::MeetsContract;

ListAttentionShape MakeShape(int64_t batch, int64_t queries, int64_t keys,
                             int64_t heads, int64_t kv_heads, Dims dims) {
  ListAttentionShape s;
  s.batch = batch;
  s.queries = queries;
  s.keys = keys;
  s.heads = heads;
  s.kv_heads = kv_heads;
  s.dim = dims.dim;
  s.value_dim = dims.value_dim;
  s.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dims.dim)));
  return s;
}

// Only what is finite: -inf marks an empty list and is compared exactly.
std::vector<double> Finite(const std::vector<double>& x) {
  std::vector<double> result;
  for (double v : x) {
    if (v != -std::numeric_limits<double>::infinity()) result.push_back(v);
  }
  return result;
}

// Positions of -inf agree, and o is 0 there.
void ExpectEmptyListsGiveZero(const ListCase& c, const RowLists& lists,
                              const ListAttentionValues& actual) {
  const ListAttentionShape& s = c.shape;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t i = 0; i < s.queries; ++i) {
      for (int64_t h = 0; h < s.heads; ++h) {
        const bool empty = ListOf(s, lists, b, i, h).empty();
        const double lse = actual.lse[s.LseIndex(b, i, h)];
        EXPECT_EQ(lse == -std::numeric_limits<double>::infinity(), empty)
            << c.ToString() << " query " << i << " head " << h;
        for (int64_t d = 0; empty && d < s.value_dim; ++d) {
          EXPECT_EQ(actual.o[s.OutputRow(b, i, h) + d], 0.0)
              << c.ToString() << " query " << i << " head " << h;
        }
      }
    }
  }
}

}  // namespace

std::vector<ListCase> SelectedCases(const std::vector<Dims>& dims) {
  std::vector<ListCase> cases;
  for (Dims d : dims) {
    // S = L, one token to a block, one list for all heads (DSA).
    for (int64_t length : {1, 2, 7, 31, 67, 130}) {
      cases.push_back(SelectedCase(MakeShape(1, length, length, 2, 1, d), 1, 1,
                                   std::min<int64_t>(length, 24)));
    }
    cases.push_back(SelectedCase(MakeShape(2, 41, 41, 4, 2, d), 1, 1, 70));
    cases.push_back(SelectedCase(MakeShape(1, 37, 150, 16, 1, d), 1, 1, 65));
    // Blocks, a list for each key head (NSA).
    for (int64_t length : {1, 15, 16, 17, 79}) {
      cases.push_back(
          SelectedCase(MakeShape(1, length, length, 6, 2, d), 16, 2, 3));
    }
    cases.push_back(SelectedCase(MakeShape(2, 50, 101, 17, 1, d), 13, 1, 4));
    cases.push_back(SelectedCase(MakeShape(1, 90, 90, 3, 3, d), 64, 3, 2));
    cases.push_back(SelectedCase(MakeShape(1, 20, 20, 32, 1, d), 8, 1, 2));
    // Caches: decoding, an empty row, queries before the first token.
    cases.push_back(
        SelectedCase(MakeShape(3, 1, 40, 4, 2, d), 1, 1, 9, {40, 0, 17}));
    cases.push_back(
        SelectedCase(MakeShape(3, 5, 40, 4, 2, d), 8, 2, 3, {40, 3, 17}));
    cases.push_back(
        SelectedCase(MakeShape(2, 1, 200, 16, 1, d), 1, 1, 130, {199, 131}));
    // No list at all.
    cases.push_back(SelectedCase(MakeShape(1, 3, 3, 2, 1, d), 1, 1, 0));
    // Nothing to do.
    cases.push_back(SelectedCase(MakeShape(2, 0, 0, 2, 1, d), 4, 1, 2));
    cases.push_back(SelectedCase(MakeShape(0, 3, 3, 2, 1, d), 4, 1, 2));
    cases.push_back(SelectedCase(MakeShape(2, 0, 5, 2, 1, d), 4, 1, 2));
  }
  return cases;
}

std::vector<ListCase> CompressedCases(const std::vector<Dims>& dims) {
  std::vector<ListCase> cases;
  for (Dims d : dims) {
    for (int64_t length : {0, 1, 7, 8, 9, 15, 16, 83}) {
      cases.push_back(
          CompressedCase(MakeShape(1, length, 0, 2, 1, d), length, 8));
    }
    cases.push_back(CompressedCase(MakeShape(2, 70, 0, 6, 2, d), 140, 1));
    cases.push_back(CompressedCase(MakeShape(1, 33, 0, 16, 1, d), 263, 2));
    cases.push_back(CompressedCase(MakeShape(1, 60, 0, 17, 1, d), 61, 5));
    cases.push_back(CompressedCase(MakeShape(1, 60, 0, 3, 3, d), 60, 64));
    cases.push_back(
        CompressedCase(MakeShape(3, 1, 0, 4, 2, d), 40, 4, {40, 3, 17}));
    cases.push_back(
        CompressedCase(MakeShape(3, 6, 0, 4, 2, d), 43, 4, {43, 2, 16}));
    cases.push_back(
        CompressedCase(MakeShape(2, 1, 0, 16, 1, d), 520, 4, {519, 260}));
  }
  return cases;
}

void ExpectForwardMeetsContract(Context& ctx, DType dtype,
                                const std::vector<ListCase>& cases) {
  ContractPool pool;
  for (size_t n = 0; n < cases.size(); ++n) {
    const ListCase& c = cases[n];
    const ListInputs in = MakeListInputs(c, dtype, 100 + n, 2.0);
    const RowLists lists = ListsOf(c, in);
    const auto exact = ListAttentionReference(c.shape, lists, in.q, in.k, in.v);
    const auto plain = PlainListAttention(c, dtype, in);
    const auto actual = RunListAttention(ctx, c, dtype, in);
    ExpectEmptyListsGiveZero(c, lists, actual);
    pool.Add("o", c.ToString(), dtype, actual.o, plain.o, exact.o);
    pool.Add("lse", c.ToString(), DType::kF32, Finite(actual.lse),
             Finite(plain.lse), Finite(exact.lse));
  }
  pool.Check();
}

void ExpectGradientMeetsContract(Context& ctx, DType dtype,
                                 const std::vector<ListCase>& cases) {
  ContractPool pool;
  for (size_t n = 0; n < cases.size(); ++n) {
    const ListCase& c = cases[n];
    const ListInputs in = MakeListInputs(c, dtype, 200 + n, 2.0);
    const auto exact = ListAttentionGradReference(c.shape, ListsOf(c, in), in.q,
                                                  in.k, in.v, in.dout);
    const auto plain = PlainListAttentionGrad(c, dtype, in);
    const auto actual = RunListAttentionGrad(ctx, c, dtype, in);
    const std::string label = c.ToString();
    pool.Add("dq", label, dtype, actual.dq, plain.dq, exact.dq);
    pool.Add("dk", label, dtype, actual.dk, plain.dk, exact.dk);
    pool.Add("dv", label, dtype, actual.dv, plain.dv, exact.dv);
  }
  pool.Check();
}

void ExpectUnseenRowsDoNotMatter(Context& ctx, DType dtype,
                                 const std::vector<ListCase>& cases,
                                 double poison) {
  for (const ListCase& c : cases) {
    const ListAttentionShape& s = c.shape;
    const ListInputs in = MakeListInputs(c, dtype, 300);
    const RowLists lists = ListsOf(c, in);
    ListInputs poisoned = in;
    for (int64_t b = 0; b < s.batch; ++b) {
      for (int64_t kv = 0; kv < s.kv_heads; ++kv) {
        std::vector<bool> seen(s.keys, false);
        const int64_t h = kv * (s.heads / s.kv_heads);
        for (int64_t i = 0; i < s.queries; ++i) {
          for (int64_t row : ListOf(s, lists, b, i, h)) seen[row] = true;
        }
        for (int64_t row = 0; row < s.keys; ++row) {
          if (seen[row]) continue;
          std::fill_n(poisoned.k.begin() + s.KeyRow(b, row, h), s.dim, poison);
          std::fill_n(poisoned.v.begin() + s.ValueRow(b, row, h), s.value_dim,
                      poison);
        }
      }
    }
    const auto clean = RunListAttention(ctx, c, dtype, in);
    const auto dirty = RunListAttention(ctx, c, dtype, poisoned);
    EXPECT_EQ(dirty.o, clean.o) << c.ToString();
    EXPECT_EQ(dirty.lse, clean.lse) << c.ToString();
    const auto grads = RunListAttentionGrad(ctx, c, dtype, in);
    const auto dirty_grads = RunListAttentionGrad(ctx, c, dtype, poisoned);
    EXPECT_EQ(dirty_grads.dq, grads.dq) << c.ToString();
    EXPECT_EQ(dirty_grads.dk, grads.dk) << c.ToString();
    EXPECT_EQ(dirty_grads.dv, grads.dv) << c.ToString();
  }
}

void ExpectUnseenRowsAreNotRead(Context& ctx, DType dtype,
                                const std::vector<ListCase>& cases) {
  ExpectUnseenRowsDoNotMatter(ctx, dtype, cases, NAN);
}

void ExpectSegmentsEqualWhole(Context& ctx, DType dtype,
                              const ListCase& whole) {
  const ListAttentionShape& s = whole.shape;
  const ListInputs in = MakeListInputs(whole, dtype, 400);
  const auto exact =
      ListAttentionReference(s, ListsOf(whole, in), in.q, in.k, in.v).o;
  const auto plain = PlainListAttention(whole, dtype, in).o;
  for (int64_t begin = 0; begin < s.queries;) {
    const int64_t end =
        std::min(s.queries, begin + (begin % 2 == 0 ? 1 : s.queries / 3));
    ListCase part = whole;
    part.shape.queries = end - begin;
    part.lengths.assign(s.batch, static_cast<int32_t>(end));
    auto rows = [&](const auto& x) {
      return Rows(x, s.batch, s.queries, begin, end);
    };
    ListInputs piece = in;
    piece.q = rows(in.q);
    piece.dout = rows(in.dout);
    if (!in.indices.empty()) piece.indices = rows(in.indices);
    EXPECT_TRUE(MeetsContract(RunListAttention(ctx, part, dtype, piece).o,
                              rows(plain), rows(exact), dtype))
        << part.ToString();
    begin = end;
  }
}

void ExpectSameBits(Context& ctx, DType dtype, const ListCase& c) {
  const ListAttentionShape& s = c.shape;
  const ListInputs in = MakeListInputs(c, dtype, 500);
  const auto a = RunListAttention(ctx, c, dtype, in);
  const auto again = RunListAttention(ctx, c, dtype, in);
  EXPECT_EQ(again.o, a.o);
  EXPECT_EQ(again.lse, a.lse);
  const auto g = RunListAttentionGrad(ctx, c, dtype, in);
  const auto g_again = RunListAttentionGrad(ctx, c, dtype, in);
  EXPECT_EQ(g_again.dq, g.dq);
  EXPECT_EQ(g_again.dk, g.dk);
  EXPECT_EQ(g_again.dv, g.dv);

  ListCase last = c;
  last.shape.batch = 1;
  if (!c.lengths.empty()) last.lengths = {c.lengths.back()};
  auto row = [&](const auto& x) {
    return Rows(x, 1, s.batch, s.batch - 1, s.batch);
  };
  const ListInputs one{row(in.q), row(in.k), row(in.v), row(in.dout),
                       row(in.indices)};
  EXPECT_EQ(RunListAttention(ctx, last, dtype, one).o, row(a.o));
  const auto g_last = RunListAttentionGrad(ctx, last, dtype, one);
  EXPECT_EQ(g_last.dq, row(g.dq));
  EXPECT_EQ(g_last.dk, row(g.dk));
  EXPECT_EQ(g_last.dv, row(g.dv));
}

void ExpectWrongTwinsRejected(Context& ctx, DType dtype, const ListCase& c) {
  const ListInputs in = MakeListInputs(c, dtype, 600);
  const auto actual = RunListAttention(ctx, c, dtype, in);
  const auto grads = RunListAttentionGrad(ctx, c, dtype, in);
  const auto plain = PlainListAttention(c, dtype, in);
  const auto g_plain = PlainListAttentionGrad(c, dtype, in);
  // Twins of the definition: the operator must differ from each.
  RowLists future = ListsOf(c, in), shorter = future;
  for (std::vector<int64_t>& list : future) {
    if (list.empty()) continue;
    const int64_t next = *std::max_element(list.begin(), list.end()) + 1;
    if (next < c.shape.keys) list.push_back(next);
  }
  for (std::vector<int64_t>& list : shorter) {
    if (list.size() > 1) list.pop_back();
  }
  const ListAttentionShape& s = c.shape;
  const RowLists lists = ListsOf(c, in);
  const auto exact = ListAttentionReference(s, lists, in.q, in.k, in.v);
  const auto g_exact =
      ListAttentionGradReference(s, lists, in.q, in.k, in.v, in.dout);
  EXPECT_TRUE(MeetsContract(actual.o, plain.o, exact.o, dtype));
  EXPECT_TRUE(MeetsContract(grads.dq, g_plain.dq, g_exact.dq, dtype));
  EXPECT_TRUE(MeetsContract(grads.dk, g_plain.dk, g_exact.dk, dtype));
  EXPECT_TRUE(MeetsContract(grads.dv, g_plain.dv, g_exact.dv, dtype));
  for (const RowLists& twin : {future, shorter}) {
    const auto wrong = ListAttentionReference(s, twin, in.q, in.k, in.v);
    EXPECT_FALSE(MeetsContract(wrong.o, plain.o, exact.o, dtype));
    const auto g_wrong =
        ListAttentionGradReference(s, twin, in.q, in.k, in.v, in.dout);
    EXPECT_FALSE(MeetsContract(g_wrong.dq, g_plain.dq, g_exact.dq, dtype));
    EXPECT_FALSE(MeetsContract(g_wrong.dk, g_plain.dk, g_exact.dk, dtype));
    EXPECT_FALSE(MeetsContract(g_wrong.dv, g_plain.dv, g_exact.dv, dtype));
  }
}

}  // namespace lt2::kernels
