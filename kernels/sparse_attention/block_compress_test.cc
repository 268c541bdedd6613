// Means of blocks, attention over them and the choice of blocks on the CPU.

#include "kernels/sparse_attention/block_compress.h"

#include <string>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::Near;
using lt2::testing::Uniform;

constexpr DType kF32 = DType::kF32;

const std::vector<Dims>& AllDims() {
  static const auto* const dims =
      new std::vector<Dims>{{1, 1}, {5, 3}, {16, 16}, {72, 64}};
  return *dims;
}

TEST(BlockMeanReference, GradientIsTheTranspose) {
  const auto x = Uniform(1, 2 * 13 * 3), dmean = Uniform(2, 2 * 4 * 3);
  const auto mean = BlockMeanReference(2, 13, 3, 3, x);
  const auto dx = BlockMeanGradReference(2, 13, 3, 3, dmean);
  double left = 0, right = 0;
  for (size_t i = 0; i < mean.size(); ++i) left += mean[i] * dmean[i];
  for (size_t i = 0; i < x.size(); ++i) right += x[i] * dx[i];
  EXPECT_NEAR(left, right, 1e-12);
  // The token after the last complete block has no part.
  EXPECT_EQ(dx[12 * 3], 0);
}

TEST(BlockMeanCpu, MeetsTheContract) {
  auto ctx = CpuContext();
  ExpectBlockMeanMeetsContract(*ctx, kF32);
}

TEST(BlockMeanCpu, AppendStepByStepEqualsWhole) {
  auto ctx = CpuContext();
  ExpectBlockMeanAppendEqualsWhole(*ctx, kF32);
}

TEST(CompressedAttentionCpu, MeetsTheContract) {
  auto ctx = CpuContext();
  ExpectForwardMeetsContract(*ctx, kF32, CompressedCases(AllDims()));
}

TEST(CompressedAttentionCpu, GradientMeetsTheContract) {
  auto ctx = CpuContext();
  ExpectGradientMeetsContract(*ctx, kF32, CompressedCases(AllDims()));
}

TEST(CompressedAttentionCpu, UnseenBlocksAreNotRead) {
  auto ctx = CpuContext();
  ExpectUnseenRowsAreNotRead(*ctx, kF32, CompressedCases({{8, 16}}));
}

TEST(CompressedAttentionCpu, SegmentsWithLengthsEqualWhole) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.batch = 2;
  s.queries = 67;
  s.heads = 6;
  s.kv_heads = 2;
  s.dim = s.value_dim = 8;
  for (int64_t block_size : {1, 4, 67}) {
    ExpectSegmentsEqualWhole(*ctx, kF32, CompressedCase(s, 67, block_size));
  }
}

TEST(CompressedAttentionCpu, SameBitsTwiceForAnyThreadCountAndBatch) {
  ListAttentionShape s;
  s.batch = 3;
  s.queries = 33;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 24;
  s.value_dim = 16;
  const ListCase c = CompressedCase(s, 80, 4, {80, 10, 61});
  auto one = CpuContext(1), three = CpuContext(3);
  ExpectSameBits(*one, kF32, c);
  ExpectSameBits(*three, kF32, c);
  const ListInputs in = MakeListInputs(c, kF32, 9);
  EXPECT_EQ(RunListAttention(*one, c, kF32, in).o,
            RunListAttention(*three, c, kF32, in).o);
  EXPECT_EQ(RunListAttentionGrad(*one, c, kF32, in).dk,
            RunListAttentionGrad(*three, c, kF32, in).dk);
  const BlockCase blocks{c, 5};
  EXPECT_EQ(RunSelectBlocks(*one, blocks, kF32, in),
            RunSelectBlocks(*three, blocks, kF32, in));
}

TEST(CompressedAttentionCpu, WrongTwinsAreRejected) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = 60;
  s.heads = 2;
  s.dim = s.value_dim = 8;
  s.scale = 0.35;
  ExpectWrongTwinsRejected(*ctx, kF32, CompressedCase(s, 60, 3));
}

TEST(SelectBlocksCpu, IsExact) {
  auto ctx = CpuContext();
  ExpectSelectBlocksIsExact(*ctx, kF32, BlockCases({{1, 1}, {16, 16}}));
}

// Eight blocks of two tokens; block 3 has the largest score, then 1, then 6.
TEST(SelectBlocksCpu, ForcedBlocksComeFirstAndCount) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = 17;
  s.keys = 8;
  ListCase compressed = CompressedCase(s, 17, 2);
  ListInputs in;
  in.q.assign(17, 1.0);
  in.k = {0, 3, 1, 5, 1, 1, 2, 1};
  in.v.assign(8, 0.0);
  auto chosen = [&](int64_t top_n, int64_t query) {
    const auto all = RunSelectBlocks(*ctx, {compressed, top_n}, kF32, in);
    return std::vector<int32_t>(all.begin() + query * top_n,
                                all.begin() + (query + 1) * top_n);
  };
  using Ids = std::vector<int32_t>;
  // Query 16 is in block 8, of which it is the first token.
  EXPECT_EQ(chosen(1, 16), Ids({8}));
  EXPECT_EQ(chosen(2, 16), Ids({0, 8}));
  EXPECT_EQ(chosen(3, 16), Ids({0, 7, 8}));
  EXPECT_EQ(chosen(4, 16), Ids({0, 3, 7, 8}));
  EXPECT_EQ(chosen(6, 16), Ids({0, 1, 3, 6, 7, 8}));
  // 2, 4 and 5 are tied: the lowest first.
  EXPECT_EQ(chosen(7, 16), Ids({0, 1, 2, 3, 6, 7, 8}));
  EXPECT_EQ(chosen(11, 16), Ids({0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -1}));
  // The first block alone; the first two; three forced ones.
  EXPECT_EQ(chosen(4, 0), Ids({0, -1, -1, -1}));
  EXPECT_EQ(chosen(4, 1), Ids({0, -1, -1, -1}));
  EXPECT_EQ(chosen(4, 2), Ids({0, 1, -1, -1}));
  EXPECT_EQ(chosen(4, 5), Ids({0, 1, 2, -1}));
}

// Forgetting a forced block or the average over the group is another choice.
TEST(SelectBlocksCpu, WrongTwinsAreRejected) {
  auto ctx = CpuContext();
  ListAttentionShape s;
  s.queries = 60;
  s.heads = 4;
  s.dim = s.value_dim = 8;
  const BlockCase c{CompressedCase(s, 60, 3), 5};
  const ListInputs in = MakeListInputs(c.compressed, kF32, 3, 2.0);
  const auto actual = RunSelectBlocks(*ctx, c, kF32, in);
  // The choice of the first head alone.
  ListAttentionShape one = c.compressed.shape;
  one.heads = 1;
  ListCase first = CompressedCase(one, 60, 3);
  ListInputs head = in;
  head.q.clear();
  for (int64_t i = 0; i < 60; ++i) {
    head.q.insert(head.q.end(), in.q.begin() + s.QueryRow(0, i, 0),
                  in.q.begin() + s.QueryRow(0, i, 1));
  }
  EXPECT_NE(RunSelectBlocks(*ctx, {first, 5}, kF32, head), actual);
  // Without forced blocks.
  const auto lse =
      ListAttentionReference(c.compressed.shape, ListsOf(c.compressed, in),
                             in.q, in.k, in.v)
          .lse;
  const auto scores =
      BlockScoresReference(c.compressed.shape, {60, 3, 5, {}}, in.q, in.k, lse);
  std::vector<int32_t> free;
  for (const auto& row : scores) {
    for (int32_t block : ChooseBlocks(row, -1, 3, 5)) free.push_back(block);
  }
  EXPECT_NE(free, actual);
}

TEST(BlockCompress, RejectsWhatItCannotEvaluate) {
  auto ctx = CpuContext();
  auto f32 = [&](const Shape& shape) { return *ctx->Zeros(kF32, shape); };
  auto expect = [&](const absl::Status& status, const char* what) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find(what), std::string::npos)
        << status;
  };
  CompressedAttentionArgs good;
  good.q = f32({1, 9, 4, 8});
  good.kc = f32({1, 2, 2, 8});
  good.vc = f32({1, 2, 2, 8});
  good.tokens = 9;
  good.block_size = 4;
  good.scale = 1;
  EXPECT_TRUE(CompressedAttentionSupports(good).ok());
  CompressedAttentionArgs bad = good;
  bad.tokens = 12;
  expect(CompressedAttentionSupports(bad), "12 tokens are 3 complete blocks");
  bad.tokens = 8;
  expect(CompressedAttentionSupports(bad), "9 queries but only 8 tokens");
  bad = good;
  bad.vc = f32({1, 3, 2, 8});
  expect(CompressedAttentionSupports(bad), "vc");
  bad = good;
  bad.lengths = LengthsTensor(*ctx, {12});
  CompressedAttentionResults results;
  expect(CompressedAttention(*ctx, bad, &results),
         "lengths[0] is 12, must be in [0, 11]");
  Tensor out;
  expect(BlockMean(*ctx, {f32({1, 9, 4, 8}), 0}, &out), "block_size is 0");
  expect(BlockMeanGrad(*ctx, {f32({1, 2, 4, 8}), 12, 4}, &out),
         "3 complete blocks");
  Tensor mean = f32({1, 2, 4, 8});
  expect(BlockMeanAppend(
             *ctx, {f32({1, 9, 4, 8}), LengthsTensor(*ctx, {9}), -1, 4}, &mean),
         "appended is -1");
  SelectBlocksArgs select;
  select.q = good.q;
  select.kc = good.kc;
  select.lse = f32({1, 4, 9});
  select.tokens = 9;
  select.block_size = 4;
  select.scale = 1;
  select.top_n = 0;
  expect(SelectBlocksSupports(select), "top_n is 0");
  select.top_n = 2;
  select.lse = f32({1, 9, 4});
  expect(SelectBlocksSupports(select), "lse");
}

}  // namespace
}  // namespace lt2::kernels
