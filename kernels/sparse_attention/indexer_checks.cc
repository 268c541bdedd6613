// Cases and whole test bodies of indexer_testing.h.

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer_testing.h"

namespace lt2::kernels {
namespace {

IndexerCase MakeCase(int64_t batch, int64_t queries, int64_t keys,
                     int64_t heads, int64_t dim, int64_t top_k) {
  IndexerCase c;
  c.shape.batch = batch;
  c.shape.queries = queries;
  c.shape.keys = keys;
  c.shape.heads = heads;
  c.shape.dim = dim;
  c.shape.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
  c.top_k = top_k;
  return c;
}

bool PowerOfTwo(int64_t n) { return (n & (n - 1)) == 0; }

// Most that a score may differ from the exact one, by the contract.
double ScoreError(const std::vector<double>& plain,
                  const std::vector<double>& exact) {
  double error = 0, most = 0;
  for (size_t s = 0; s < exact.size(); ++s) {
    error = std::max(error, std::abs(plain[s] - exact[s]));
    most = std::max(most, std::abs(exact[s]));
  }
  return 2 * error + std::ldexp(most, -22);
}

}  // namespace

::testing::AssertionResult IsTopK(const std::vector<int32_t>& row,
                                  const std::vector<double>& scores,
                                  double tolerance) {
  const int64_t count = std::min(row.size(), scores.size());
  std::vector<bool> chosen(scores.size(), false);
  double least = std::numeric_limits<double>::infinity();
  for (int64_t j = 0; j < static_cast<int64_t>(row.size()); ++j) {
    if (j >= count) {
      if (row[j] == -1) continue;
      return ::testing::AssertionFailure()
             << "entry " << j << " is " << row[j] << ", only " << count
             << " tokens are visible";
    }
    if (row[j] < 0 || row[j] >= static_cast<int64_t>(scores.size()) ||
        (j > 0 && row[j] <= row[j - 1])) {
      return ::testing::AssertionFailure()
             << "entry " << j << " is " << row[j]
             << ", not ascending or not in [0, " << scores.size() << ")";
    }
    chosen[row[j]] = true;
    least = std::min(least, scores[row[j]]);
  }
  for (size_t s = 0; s < scores.size(); ++s) {
    if (!chosen[s] && count > 0 && scores[s] > least + tolerance) {
      return ::testing::AssertionFailure()
             << "token " << s << " with score " << scores[s]
             << " was left out, the least chosen score is " << least;
    }
  }
  return ::testing::AssertionSuccess();
}

std::vector<IndexerCase> IndexerCases(const std::vector<int64_t>& dims) {
  std::vector<IndexerCase> cases;
  for (int64_t dim : dims) {
    for (int64_t length : {0, 1, 2, 15, 16, 17, 63, 64, 65, 131, 300}) {
      cases.push_back(MakeCase(1, length, length, 4, dim, 16));
    }
    cases.push_back(MakeCase(2, 97, 97, 1, dim, 1));
    cases.push_back(MakeCase(2, 61, 61, 3, dim, 61));
    cases.push_back(MakeCase(1, 61, 61, 8, dim, 200));
    cases.push_back(MakeCase(1, 40, 263, 8, dim, 129));
    cases.push_back(MakeCase(0, 4, 4, 2, dim, 3));
    cases.push_back(MakeCase(2, 0, 9, 2, dim, 3));
    // Caches: decoding, a row without tokens, queries before the first token.
    cases.push_back(MakeCase(3, 1, 600, 4, dim, 64));
    cases.back().shape.lengths = {600, 0, 65};
    cases.push_back(MakeCase(3, 5, 70, 4, dim, 7));
    cases.back().shape.lengths = {70, 3, 30};
    // Options.
    const size_t plain = cases.size();
    for (size_t n = 0; n < plain; n += 3) {
      cases.push_back(cases[n]);
      cases.back().weighted = false;
      cases.push_back(cases[n]);
      cases.back().shape.relu = false;
      cases.push_back(cases[n]);
      cases.back().dense = true;
      cases.back().heads = 6;
      cases.back().kv_heads = 2;
      cases.push_back(cases.back());
      cases.back().weighted = cases.back().shape.relu = false;
    }
  }
  return cases;
}

void ExpectTopKIsExact(Context& ctx, DType dtype,
                       const std::vector<IndexerCase>& cases) {
  for (size_t n = 0; n < cases.size(); ++n) {
    IndexerCase c = cases[n];
    const IndexerInputs in = MakeIndexerInputs(c, dtype, 10 + n);
    const auto exact = IndexerScoresReference(c.shape, in.values);
    const auto plain = PlainIndexerScores(c.shape, in.values);
    const auto actual = RunIndexerTopK(ctx, c, dtype, in);
    ASSERT_EQ(actual.size(), exact.size() * c.top_k) << c.ToString();
    for (size_t row = 0; row < exact.size(); ++row) {
      const std::vector<int32_t> chosen(actual.begin() + row * c.top_k,
                                        actual.begin() + (row + 1) * c.top_k);
      EXPECT_TRUE(
          IsTopK(chosen, exact[row], 2 * ScoreError(plain[row], exact[row])))
          << c.ToString() << " query " << row;
    }
    // 1 / heads is exact then.
    if (!c.weighted && !PowerOfTwo(c.shape.heads)) continue;
    c.shape.scale = 0.25;
    const IndexerInputs integers = MakeIntegerInputs(c, 10 + n);
    EXPECT_EQ(RunIndexerTopK(ctx, c, dtype, integers),
              IndexerTopKReference(c.shape, integers.values, c.top_k))
        << c.ToString();
  }
}

void ExpectLossMeetsContract(Context& ctx, DType dtype,
                             const std::vector<IndexerCase>& cases) {
  lt2::testing::ContractPool pool;
  for (size_t n = 0; n < cases.size(); ++n) {
    const IndexerCase& c = cases[n];
    const IndexerInputs in = MakeIndexerInputs(c, dtype, 500 + n);
    const auto exact = IndexerLossReference(
        c.shape, in.values, IndexerSets(c.shape, in.indices, c.dense),
        in.target);
    const auto plain = PlainIndexerLoss(c, dtype, in);
    const auto actual = RunIndexerLoss(ctx, c, dtype, in);
    const std::string label = c.ToString();
    pool.Add("loss", label, DType::kF32, {actual.loss}, {plain.loss},
             {exact.loss});
    pool.Add("dq", label, dtype, actual.dq, plain.dq, exact.dq);
    pool.Add("dk", label, dtype, actual.dk, plain.dk, exact.dk);
    pool.Add("dw", label, DType::kF32, actual.dw, plain.dw, exact.dw);
    // dloss is a factor; a power of two is an exact one.
    const auto half = RunIndexerLoss(ctx, c, dtype, in, 0.5);
    for (const auto& [x, y] :
         {std::tie(half.dq, actual.dq), std::tie(half.dk, actual.dk),
          std::tie(half.dw, actual.dw)}) {
      for (size_t e = 0; e < x.size(); ++e) {
        ASSERT_NEAR(2 * x[e], y[e], 1e-30) << label << " element " << e;
      }
    }
  }
  pool.Check();
}

void ExpectLossReadsOnlyItsSets(Context& ctx, DType dtype) {
  IndexerCase c = MakeCase(2, 9, 40, 4, 16, 5);
  c.shape.lengths = {33, 20};
  for (bool dense : {false, true}) {
    c.dense = dense;
    const IndexerInputs in = MakeIndexerInputs(c, dtype, 1);
    const RowLists sets = IndexerSets(c.shape, in.indices, dense);
    IndexerInputs poisoned = in;
    for (int64_t b = 0; b < 2; ++b) {
      std::vector<bool> seen(40, false);
      for (int64_t t = 0; t < 9; ++t) {
        for (int64_t s : sets[b * 9 + t]) seen[s] = true;
      }
      for (int64_t s = 0; s < 40; ++s) {
        if (seen[s]) continue;
        std::fill_n(poisoned.values.k.begin() + (b * 40 + s) * 16, 16, NAN);
        const ListAttentionShape& t = in.target.shape;
        std::fill_n(poisoned.target.k.begin() + t.KeyRow(b, s, 0),
                    t.kv_heads * t.dim, NAN);
      }
    }
    const auto clean = RunIndexerLoss(ctx, c, dtype, in);
    const auto dirty = RunIndexerLoss(ctx, c, dtype, poisoned);
    EXPECT_EQ(dirty.loss, clean.loss) << "dense " << dense;
    EXPECT_EQ(dirty.dq, clean.dq) << "dense " << dense;
    EXPECT_EQ(dirty.dk, clean.dk) << "dense " << dense;
    EXPECT_EQ(dirty.dw, clean.dw) << "dense " << dense;
  }
}

void ExpectTopKOfSegmentsEqualsWhole(Context& ctx, DType dtype) {
  const IndexerCase whole = MakeCase(2, 90, 90, 4, 16, 20);
  const IndexerInputs in = MakeIndexerInputs(whole, dtype, 2);
  const auto expected = RunIndexerTopK(ctx, whole, dtype, in);
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1},
                                   {1, 20},
                                   {20, 21},
                                   {21, 64},
                                   {64, 90}}) {
    IndexerCase part = whole;
    part.shape.queries = end - begin;
    part.shape.lengths.assign(2, static_cast<int32_t>(end));
    IndexerInputs piece = in;
    piece.values.q = Rows(in.values.q, 2, 90, begin, end);
    piece.values.w = Rows(in.values.w, 2, 90, begin, end);
    // What a cache holds past its length does not matter.
    for (int64_t b = 0; b < 2; ++b) {
      std::fill(piece.values.k.begin() + (b * 90 + end) * 16,
                piece.values.k.begin() + (b + 1) * 90 * 16, NAN);
    }
    EXPECT_EQ(RunIndexerTopK(ctx, part, dtype, piece),
              Rows(expected, 2, 90, begin, end))
        << begin << " to " << end;
  }
}

void ExpectTopKOrdersSpecialValues(Context& ctx, DType dtype) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> scores = {NAN, -0.0, -kInfinity, 1, 0,
                                      -1,  NAN,  kInfinity,  1, -0.0};
  const int64_t keys = static_cast<int64_t>(scores.size());
  for (int64_t top_k = 1; top_k <= keys + 1; ++top_k) {
    IndexerCase c = MakeCase(1, 1, keys, 1, 8, top_k);
    c.shape.scale = 1;
    c.shape.relu = false;
    IndexerInputs in;
    in.values.q.assign(8, 0.0);
    in.values.q[0] = 1;
    in.values.k.assign(8 * keys, 0.0);
    for (int64_t s = 0; s < keys; ++s) in.values.k[s * 8] = scores[s];
    in.values.w = {1};
    EXPECT_EQ(RunIndexerTopK(ctx, c, dtype, in), TopKOf(scores, top_k))
        << top_k;
  }
}

void ExpectIndexerSameBits(Context& ctx, DType dtype) {
  for (bool dense : {false, true}) {
    IndexerCase c = MakeCase(2, 50, 77, 4, 16, 12);
    c.dense = dense;
    const IndexerInputs in = MakeIndexerInputs(c, dtype, 3);
    EXPECT_EQ(RunIndexerTopK(ctx, c, dtype, in),
              RunIndexerTopK(ctx, c, dtype, in));
    const auto a = RunIndexerLoss(ctx, c, dtype, in);
    const auto again = RunIndexerLoss(ctx, c, dtype, in);
    EXPECT_EQ(again.loss, a.loss);
    EXPECT_EQ(again.dq, a.dq);
    EXPECT_EQ(again.dk, a.dk);
    EXPECT_EQ(again.dw, a.dw);
  }
}

}  // namespace lt2::kernels
