// The indexer on the GPU.

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer.h"
#include "kernels/sparse_attention/indexer_reference.h"
#include "kernels/sparse_attention/indexer_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CudaContext;
using lt2::testing::MeetsContract;

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

TEST(IndexerCuda, TopKIsExactWithTiesAndFewKeys) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectTopKIsExact(*ctx, kBF16, IndexerCases({8, 40, 64, 128}));
  ExpectTopKIsExact(*ctx, kF32, IndexerCases({8, 64}));
}

// Several slabs of queries, rows of many tiles: integers, so that the indices
// are those of the reference to the last.
TEST(IndexerCuda, TopKOfLongRowsIsExact) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  IndexerCase c;
  c.shape.queries = 70;
  c.shape.heads = 2;
  c.shape.dim = 16;
  for (const auto& [batch, keys, top_k] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 5000, 2048},
        {3, 4096, 512},
        {1, 140000, 2048},
        {1, 2500, 2499}}) {
    c.shape.batch = batch;
    c.shape.keys = keys;
    c.top_k = top_k;
    const IndexerInputs in = MakeIntegerInputs(c, 20);
    EXPECT_EQ(RunIndexerTopK(*ctx, c, kBF16, in),
              IndexerTopKReference(c.shape, in.values, top_k))
        << c.ToString();
  }
}

// Rows of n scores: no ties, ties of every kind, scores that differ in their
// last bits or in nothing, and what is no number.
std::vector<std::vector<double>> HardRows(int64_t n) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> specials = {NAN, -0.0, -kInfinity, 1,
                                        0,   -1,   NAN,        kInfinity};
  uint32_t state = 1;
  auto random = [&](int bits) {
    state = state * 1664525u + 1013904223u;
    return static_cast<int>(state >> (32 - bits));
  };
  std::vector<std::vector<double>> rows(14, std::vector<double>(n));
  for (int64_t s = 0; s < n; ++s) {
    const double x = static_cast<double>(s);
    rows[0][s] = x;
    rows[1][s] = -x;
    rows[2][s] = 5;
    rows[3][s] = s % 2 == 0 ? 0.0 : -0.0;
    rows[4][s] = NAN;
    rows[5][s] = -kInfinity;
    rows[6][s] = static_cast<double>(s % 3) - 1;
    rows[7][s] = specials[s % specials.size()];
    rows[8][s] = 8388608 + random(12);  // the last 12 bits of a float
    rows[9][s] = -8388608 - random(2);
    rows[10][s] = std::ldexp(random(8) - 128, random(6) - 32);
    rows[11][s] = std::max(random(8) - 128, 0);  // half of them 0
    rows[12][s] = s == n / 2 ? 1 : NAN;
    rows[13][s] = s < n / 2 ? 1 : 2;
  }
  return rows;
}

// One head whose scores are the given ones, each row of them a batch row; the
// last `queries` of the sequence choose.
void ExpectTopKOfRows(Context& ctx, DType dtype, int64_t keys, int64_t queries,
                      int64_t top_k) {
  const std::vector<std::vector<double>> rows = HardRows(keys);
  IndexerCase c;
  c.shape.batch = static_cast<int64_t>(rows.size());
  c.shape.queries = queries;
  c.shape.keys = keys;
  c.shape.heads = 1;
  c.shape.dim = 8;
  c.shape.scale = 1;
  c.shape.relu = false;
  c.top_k = top_k;
  IndexerInputs in;
  in.values.q.assign(c.shape.q_numel(), 0.0);
  for (size_t n = 0; n < in.values.q.size(); n += 8) in.values.q[n] = 1;
  in.values.k.assign(c.shape.k_numel(), 0.0);
  in.values.w.assign(c.shape.w_numel(), 1.0);
  std::vector<std::vector<double>> scores;
  for (size_t b = 0; b < rows.size(); ++b) {
    scores.push_back(lt2::testing::Rounded(dtype, rows[b]));
    for (int64_t s = 0; s < keys; ++s) {
      in.values.k[(static_cast<int64_t>(b) * keys + s) * 8] = scores[b][s];
    }
  }
  const std::vector<int32_t> actual = RunIndexerTopK(ctx, c, dtype, in);
  ASSERT_EQ(actual.size(), rows.size() * queries * top_k) << c.ToString();
  auto at = actual.begin();
  for (size_t b = 0; b < rows.size(); ++b) {
    for (int64_t t = 0; t < queries; ++t, at += top_k) {
      const int64_t limit = keys - queries + t + 1;
      EXPECT_EQ(std::vector<int32_t>(at, at + top_k),
                TopKOf({scores[b].begin(), scores[b].begin() + limit}, top_k))
          << Name(dtype) << " row " << b << ", " << limit << " of " << keys
          << " keys, top_k " << top_k;
    }
  }
}

// Around the lengths at which a short row takes more registers, and at which a
// row is no longer short.
TEST(IndexerCuda, TopKOfShortRowsIsExact) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t edge : {2, 32, 64, 128, 256, 512, 1024, 2048}) {
    for (int64_t keys : {edge - 1, edge, edge + 1}) {
      for (int64_t top_k : std::set<int64_t>{1, 2, 31, 32, 33, keys / 2,
                                             keys - 1, keys, keys + 1}) {
        if (top_k < 1 || top_k > keys + 1) continue;
        // Three rows: the last block of warps is not full.
        const int64_t queries = std::min<int64_t>(keys, 3);
        for (DType dtype : {kF32, kBF16}) {
          ExpectTopKOfRows(*ctx, dtype, keys, queries, top_k);
        }
      }
    }
  }
}

TEST(IndexerCuda, TopKOfEveryPrefixIsExact) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t keys : {35, 292, 530}) {
    for (int64_t top_k : {1, 31, 64}) {
      ExpectTopKOfRows(*ctx, kF32, keys, keys, top_k);
    }
  }
}

TEST(IndexerCuda, TopKOfSegmentsEqualsWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : {kF32, kBF16}) {
    ExpectTopKOfSegmentsEqualsWhole(*ctx, dtype);
  }
}

TEST(IndexerCuda, TopKOrdersNanZerosAndInfinities) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : {kF32, kBF16}) ExpectTopKOrdersSpecialValues(*ctx, dtype);
}

TEST(IndexerCuda, LossMeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectLossMeetsContract(*ctx, kBF16, IndexerCases({8, 40, 64, 128}));
}

// Both forms of the loss on several tiles, and around where one takes over from
// the other: 8 keys for an entry, 256 columns.
TEST(IndexerCuda, LossOfManyTilesMeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<IndexerCase> cases;
  auto add = [&](int64_t batch, int64_t queries, int64_t keys, int64_t top_k,
                 int64_t heads, int64_t kv_heads, int64_t dim) {
    IndexerCase c;
    c.shape.batch = batch;
    c.shape.queries = queries;
    c.shape.keys = keys;
    c.shape.heads = 3;
    c.shape.dim = 16;
    c.shape.scale = 0.25;
    c.top_k = top_k;
    c.heads = heads;
    c.kv_heads = kv_heads;
    c.dim = dim;
    cases.push_back(c);
  };
  add(2, 150, 150, 40, 4, 4, 64);
  cases.push_back(cases.back());
  cases.back().dense = true;
  add(1, 129, 257, 64, 6, 3, 24);
  add(2, 128, 128, 16, 6, 2, 40);
  add(2, 129, 129, 16, 6, 2, 40);
  add(2, 5, 263, 300, 1, 1, 8);
  for (int64_t dim : {256, 264}) {
    add(1, 70, 70, 20, 3, 3, dim);
    cases.push_back(cases.back());
    cases.back().dense = true;
  }
  // Rows without tokens, queries before the first token.
  add(3, 9, 300, 50, 4, 4, 64);
  cases.back().shape.lengths = {300, 3, 0};
  cases.push_back(cases.back());
  cases.back().dense = true;
  ExpectLossMeetsContract(*ctx, kBF16, cases);
}

TEST(IndexerCuda, LossReadsOnlyItsSets) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectLossReadsOnlyItsSets(*ctx, kBF16);
}

TEST(IndexerCuda, SameBitsTwice) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectIndexerSameBits(*ctx, kBF16);
}

// A loss without the ReLU is not the operator's.
TEST(IndexerCuda, WrongTwinIsRejected) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  IndexerCase c;
  c.shape.queries = c.shape.keys = 60;
  c.shape.heads = 4;
  c.shape.dim = 16;
  c.top_k = 20;
  const IndexerInputs in = MakeIndexerInputs(c, kBF16, 6);
  const auto exact = IndexerLossReference(
      c.shape, in.values, IndexerSets(c.shape, in.indices, false), in.target);
  const auto plain = PlainIndexerLoss(c, kBF16, in);
  EXPECT_TRUE(MeetsContract(RunIndexerLoss(*ctx, c, kBF16, in).dq, plain.dq,
                            exact.dq, kBF16));
  IndexerCase linear = c;
  linear.shape.relu = false;
  const auto wrong = RunIndexerLoss(*ctx, linear, kBF16, in);
  EXPECT_FALSE(MeetsContract(wrong.dq, plain.dq, exact.dq, kBF16));
  EXPECT_FALSE(MeetsContract(wrong.dk, plain.dk, exact.dk, kBF16));
  EXPECT_FALSE(MeetsContract(wrong.dw, plain.dw, exact.dw, kF32));
}

}  // namespace
}  // namespace lt2::kernels
