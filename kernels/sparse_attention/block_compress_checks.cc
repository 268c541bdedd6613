// Cases and whole test bodies of block_compress_testing.h.

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/block_compress_testing.h"
#include "kernels/sparse_attention/indexer_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::Rounded;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;
using lt2::testing::Uniform;

std::vector<double> Lse(const ListCase& c, const ListInputs& in) {
  return Rounded(
      DType::kF32,
      ListAttentionReference(c.shape, ListsOf(c, in), in.q, in.k, in.v).lse);
}

BlockChoice ChoiceOf(const BlockCase& c) {
  return {c.compressed.tokens, c.compressed.block_size, c.top_n,
          c.compressed.lengths};
}

// The scores in float.
std::vector<std::vector<double>> PlainBlockScores(
    const BlockCase& c, const ListInputs& in, const std::vector<double>& lse) {
  const ListAttentionShape& s = c.compressed.shape;
  const RowLists visible = ListsOf(c.compressed, in);
  const int64_t group = s.heads / s.kv_heads;
  std::vector<std::vector<double>> result;
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t i = 0; i < s.queries; ++i) {
      for (int64_t kv = 0; kv < s.kv_heads; ++kv) {
        std::vector<double> scores;
        for (int64_t block : ListOf(s, visible, b, i, kv * group)) {
          float sum = 0;
          for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
            float dot = 0;
            for (int64_t d = 0; d < s.dim; ++d) {
              dot += static_cast<float>(in.q[s.QueryRow(b, i, h) + d]) *
                     static_cast<float>(in.k[s.KeyRow(b, block, h) + d]);
            }
            sum += std::exp(static_cast<float>(s.scale) * dot -
                            static_cast<float>(lse[s.LseIndex(b, i, h)]));
          }
          scores.push_back(sum / static_cast<float>(group));
        }
        result.push_back(scores);
      }
    }
  }
  return result;
}

// The scores that decide: forced blocks above all others, in order of
// precedence, invisible ones other than the query's own left out.
std::vector<double> Precedence(std::vector<double> scores, int64_t position,
                               int64_t block_size) {
  const std::vector<int64_t> forced = ForcedBlocks(position, block_size);
  double bonus = 100;
  for (int64_t block : forced) {
    if (block == static_cast<int64_t>(scores.size())) scores.push_back(0);
    scores[block] = bonus--;
  }
  return scores;
}

}  // namespace

std::vector<BlockCase> BlockCases(const std::vector<Dims>& dims) {
  std::vector<BlockCase> cases;
  for (const ListCase& c : CompressedCases(dims)) {
    for (int64_t top_n : {1, 2, 3, 5, 16}) cases.push_back({c, top_n});
  }
  return cases;
}

std::vector<int32_t> RunSelectBlocks(Context& ctx, const BlockCase& c,
                                     DType dtype, const ListInputs& in) {
  const ListAttentionShape& s = c.compressed.shape;
  SelectBlocksArgs args;
  args.q = ToTensor(ctx, dtype, {s.batch, s.queries, s.heads, s.dim}, in.q);
  args.kc = ToTensor(ctx, dtype, {s.batch, s.keys, s.kv_heads, s.dim}, in.k);
  args.lse = ToTensor(ctx, DType::kF32, {s.batch, s.heads, s.queries},
                      Lse(c.compressed, in));
  args.lengths = LengthsTensor(ctx, c.compressed.lengths);
  args.tokens = c.compressed.lengths.empty() ? c.compressed.tokens : 0;
  args.block_size = c.compressed.block_size;
  args.top_n = c.top_n;
  args.scale = static_cast<float>(s.scale);
  Tensor indices;
  LT2_CHECK_OK(SelectBlocks(ctx, args, &indices));
  return ToInts(ctx, indices);
}

void ExpectSelectBlocksIsExact(Context& ctx, DType dtype,
                               const std::vector<BlockCase>& cases) {
  for (size_t n = 0; n < cases.size(); ++n) {
    const BlockCase& c = cases[n];
    const ListAttentionShape& s = c.compressed.shape;
    const std::string label =
        absl::StrCat(c.compressed.ToString(), " top_n ", c.top_n);
    ListInputs in = MakeListInputs(c.compressed, dtype, 700 + n, 2.0);
    const std::vector<double> lse = Lse(c.compressed, in);
    const auto exact = BlockScoresReference(s, ChoiceOf(c), in.q, in.k, lse);
    const auto plain = PlainBlockScores(c, in, lse);
    const auto actual = RunSelectBlocks(ctx, c, dtype, in);
    ASSERT_EQ(actual.size(), exact.size() * c.top_n) << label;
    for (size_t row = 0; row < exact.size(); ++row) {
      const int64_t query = static_cast<int64_t>(row) / s.kv_heads;
      const int64_t position =
          PositionOf(c.compressed.lengths, c.compressed.tokens, s.queries,
                     query / s.queries, query % s.queries);
      double error = std::ldexp(1.0, -22);
      for (size_t b = 0; b < exact[row].size(); ++b) {
        error = std::max(error, 2 * std::abs(plain[row][b] - exact[row][b]));
      }
      const std::vector<int32_t> chosen(actual.begin() + row * c.top_n,
                                        actual.begin() + (row + 1) * c.top_n);
      EXPECT_TRUE(IsTopK(
          chosen, Precedence(exact[row], position, c.compressed.block_size),
          2 * error))
          << label << " row " << row;
    }
    std::fill(in.q.begin(), in.q.end(), 0.0);
    EXPECT_EQ(RunSelectBlocks(ctx, c, dtype, in),
              SelectBlocksReference(s, ChoiceOf(c), in.q, in.k,
                                    Lse(c.compressed, in)))
        << label;
  }
}

void ExpectBlockMeanMeetsContract(Context& ctx, DType dtype) {
  lt2::testing::ContractPool pool;
  for (int64_t block_size : {1, 5, 16, 64}) {
    for (int64_t tokens : {0, 1, 4, 5, 6, 16, 63, 64, 65, 131}) {
      const int64_t blocks = tokens / block_size, row = 3 * 8;
      const auto x = Rounded(dtype, Uniform(tokens, 2 * tokens * row));
      Tensor mean, dx;
      LT2_CHECK_OK(BlockMean(
          ctx, {ToTensor(ctx, dtype, {2, tokens, 3, 8}, x), block_size},
          &mean));
      EXPECT_EQ(mean.shape(), Shape({2, blocks, 3, 8}));
      const auto exact = BlockMeanReference(2, tokens, row, block_size, x);
      std::vector<double> plain(exact.size());
      for (size_t e = 0; e < plain.size(); ++e) {
        const int64_t b = e / (blocks * row), c = e / row % blocks;
        float sum = 0;
        for (int64_t j = 0; j < block_size; ++j) {
          sum += static_cast<float>(
              x[(b * tokens + c * block_size + j) * row + e % row]);
        }
        plain[e] = sum / static_cast<float>(block_size);
      }
      const std::string label =
          absl::StrCat("tokens ", tokens, " block ", block_size);
      pool.Add("mean", label, dtype, ToDoubles(ctx, mean),
               Rounded(dtype, plain), exact);

      const auto dmean = Rounded(dtype, Uniform(tokens + 1, 2 * blocks * row));
      LT2_CHECK_OK(BlockMeanGrad(
          ctx,
          {ToTensor(ctx, dtype, {2, blocks, 3, 8}, dmean), tokens, block_size},
          &dx));
      EXPECT_EQ(dx.shape(), Shape({2, tokens, 3, 8}));
      const auto exact_dx =
          BlockMeanGradReference(2, tokens, row, block_size, dmean);
      pool.Add("dx", label, dtype, ToDoubles(ctx, dx), Rounded(dtype, exact_dx),
               exact_dx);
    }
  }
  pool.Check();
}

void ExpectBlockMeanAppendEqualsWhole(Context& ctx, DType dtype) {
  constexpr int64_t kTokens = 41, kBlock = 5, kBlocks = 8;
  const Tensor x =
      ToTensor(ctx, dtype, {2, kTokens, 2, 8}, Uniform(9, 2 * kTokens * 16));
  Tensor whole;
  LT2_CHECK_OK(BlockMean(ctx, {x, kBlock}, &whole));
  const auto expected = ToDoubles(ctx, whole);
  // What no step has completed stays what it was: 7.
  Tensor mean = ToTensor(ctx, dtype, {2, kBlocks, 2, 8},
                         std::vector<double>(2 * kBlocks * 16, 7.0));
  // Row 1 lags behind row 0 by two tokens from the second step on.
  int64_t length = 0;
  for (int64_t appended : {4, 1, 0, 1, 12, 5, 1, 16}) {
    length += appended;
    const std::vector<int32_t> lengths = {
        static_cast<int32_t>(length),
        static_cast<int32_t>(std::max<int64_t>(0, length - 2))};
    LT2_CHECK_OK(BlockMeanAppend(
        ctx, {x, LengthsTensor(ctx, lengths), appended, kBlock}, &mean));
    const auto actual = ToDoubles(ctx, mean);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t e = 0; e < kBlocks * 16; ++e) {
        const bool complete = e / 16 < lengths[b] / kBlock;
        EXPECT_EQ(actual[b * kBlocks * 16 + e],
                  complete ? expected[b * kBlocks * 16 + e] : 7.0)
            << "row " << b << " length " << lengths[b] << " element " << e;
      }
    }
  }
}

}  // namespace lt2::kernels
