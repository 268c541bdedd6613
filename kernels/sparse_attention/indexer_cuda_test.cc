// The indexer on the GPU.

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer.h"
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
