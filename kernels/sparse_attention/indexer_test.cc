// The indexer: the reference against finite differences and identities, the
// CPU form against the reference.

#include "kernels/sparse_attention/indexer.h"

#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::FiniteDifferences;
using lt2::testing::MeetsContract;
using lt2::testing::Near;

constexpr DType kF32 = DType::kF32;

IndexerCase SmallCase() {
  IndexerCase c;
  c.shape.batch = 2;
  c.shape.queries = 4;
  c.shape.keys = 6;
  c.shape.heads = 3;
  c.shape.dim = 2;
  c.shape.scale = 0.7;
  c.top_k = 3;
  c.heads = 4;
  c.kv_heads = 2;
  c.dim = 3;
  return c;
}

// With one token there is nothing to learn: the gradient is 0, and so is that
// of finite differences up to its own rounding.
TEST(IndexerReference, GradientOfTheLossIsThatOfFiniteDifferences) {
  for (bool dense : {false, true}) {
    for (bool weighted : {false, true}) {
      for (bool relu : {false, true}) {
        IndexerCase c = SmallCase();
        c.dense = dense;
        c.weighted = weighted;
        c.shape.relu = relu;
        if (dense) c.shape.lengths = {6, 5};
        const IndexerInputs in = MakeIndexerInputs(c, kF32, 1);
        const RowLists sets = IndexerSets(c.shape, in.indices, dense);
        const auto g =
            IndexerLossReference(c.shape, in.values, sets, in.target);
        auto differences = [&](std::vector<double> IndexerValues::*field) {
          return FiniteDifferences(
              [&](const std::vector<double>& moved) {
                IndexerValues values = in.values;
                values.*field = moved;
                return IndexerLossReference(c.shape, values, sets, in.target)
                    .loss;
              },
              in.values.*field);
        };
        EXPECT_GT(g.loss, 0.01);
        EXPECT_TRUE(Near(g.dq, differences(&IndexerValues::q), 1e-8))
            << c.ToString();
        EXPECT_TRUE(Near(g.dk, differences(&IndexerValues::k), 1e-8))
            << c.ToString();
        if (weighted) {
          EXPECT_TRUE(Near(g.dw, differences(&IndexerValues::w), 1e-8))
              << c.ToString();
        }
      }
    }
  }
}

// An indexer that scores as the main attention does has nothing to learn: one
// main head, and I = its scores.
TEST(IndexerReference, LossIsZeroWhereTheIndexerIsTheAttention) {
  IndexerCase c = SmallCase();
  c.shape.heads = c.heads = c.kv_heads = 1;
  c.shape.dim = c.dim = 4;
  c.shape.relu = false;
  c.weighted = false;
  c.dense = true;
  IndexerInputs in = MakeIndexerInputs(c, kF32, 2);
  in.values.q = in.target.q;
  in.values.k = in.target.k;
  c.shape.scale = in.target.shape.scale;
  const auto exact = IndexerLossReference(
      c.shape, in.values, IndexerSets(c.shape, {}, true), in.target);
  EXPECT_NEAR(exact.loss, 0, 1e-14);
  for (double x : exact.dq) EXPECT_NEAR(x, 0, 1e-7);
  auto ctx = CpuContext();
  const auto actual = RunIndexerLoss(*ctx, c, kF32, in);
  EXPECT_NEAR(actual.loss, 0, 1e-6);
  for (double x : actual.dk) EXPECT_NEAR(x, 0, 1e-6);
}

// Two tokens with equal scores and targets 1/4 and 3/4.
TEST(IndexerReference, LossOfTwoTokensIsTheClosedForm) {
  IndexerCase c;
  c.shape.keys = 2;
  c.shape.scale = 1;
  c.weighted = false;
  c.dense = true;
  c.heads = c.dim = 1;
  IndexerInputs in;
  in.values.q = {0};
  in.values.k = {1, 1};
  in.target.shape.keys = 2;
  in.target.q = {1};
  in.target.k = {0, std::log(3)};
  in.target.lse = {std::log(4)};
  const auto value = IndexerLossReference(
      c.shape, in.values, IndexerSets(c.shape, {}, true), in.target);
  EXPECT_NEAR(value.loss,
              0.25 * std::log(0.25 / 0.5) + 0.75 * std::log(0.75 / 0.5), 1e-15);
}

TEST(IndexerCpu, TopKIsExactWithTiesAndFewKeys) {
  auto ctx = CpuContext();
  ExpectTopKIsExact(*ctx, kF32, IndexerCases({1, 7, 64}));
}

TEST(IndexerCpu, TopKOfSegmentsEqualsWhole) {
  auto ctx = CpuContext();
  ExpectTopKOfSegmentsEqualsWhole(*ctx, kF32);
}

TEST(IndexerCpu, TopKOrdersNanZerosAndInfinities) {
  auto ctx = CpuContext();
  ExpectTopKOrdersSpecialValues(*ctx, kF32);
}

// With k = 3 the query at position 2 takes all; below it there are fewer.
TEST(IndexerCpu, FewerVisibleKeysThanTopKArePadded) {
  auto ctx = CpuContext();
  IndexerCase c;
  c.shape.queries = c.shape.keys = 4;
  c.weighted = false;
  c.top_k = 3;
  IndexerInputs in;
  in.values.q = {1, 1, 1, 1};
  in.values.k = {3, 1, 2, 4};
  EXPECT_EQ(RunIndexerTopK(*ctx, c, kF32, in),
            std::vector<int32_t>({0, -1, -1, 0, 1, -1, 0, 1, 2, 0, 2, 3}));
}

TEST(IndexerCpu, LossMeetsTheContract) {
  auto ctx = CpuContext();
  ExpectLossMeetsContract(*ctx, kF32, IndexerCases({1, 16}));
}

TEST(IndexerCpu, LossReadsOnlyItsSets) {
  auto ctx = CpuContext();
  ExpectLossReadsOnlyItsSets(*ctx, kF32);
}

TEST(IndexerCpu, SelectionOfAllTokensGivesTheDenseLoss) {
  auto ctx = CpuContext();
  IndexerCase dense = SmallCase();
  dense.dense = true;
  IndexerInputs in = MakeIndexerInputs(dense, kF32, 4);
  IndexerCase all = dense;
  all.dense = false;
  all.top_k = 6;
  all.weighted = true;
  in.indices = RunIndexerTopK(*ctx, all, kF32, in);
  const auto a = RunIndexerLoss(*ctx, dense, kF32, in);
  const auto b = RunIndexerLoss(*ctx, all, kF32, in);
  EXPECT_EQ(b.loss, a.loss);
  EXPECT_EQ(b.dq, a.dq);
  EXPECT_EQ(b.dk, a.dk);
  EXPECT_EQ(b.dw, a.dw);
}

TEST(IndexerCpu, SameBitsTwiceAndForAnyThreadCount) {
  auto one = CpuContext(1), three = CpuContext(3);
  ExpectIndexerSameBits(*one, kF32);
  IndexerCase c = SmallCase();
  c.shape.batch = 5;
  c.shape.queries = 30;
  c.shape.keys = 50;
  const IndexerInputs in = MakeIndexerInputs(c, kF32, 5);
  EXPECT_EQ(RunIndexerTopK(*one, c, kF32, in),
            RunIndexerTopK(*three, c, kF32, in));
  const auto a = RunIndexerLoss(*one, c, kF32, in);
  const auto b = RunIndexerLoss(*three, c, kF32, in);
  EXPECT_EQ(b.loss, a.loss);
  EXPECT_EQ(b.dq, a.dq);
  EXPECT_EQ(b.dk, a.dk);
  EXPECT_EQ(b.dw, a.dw);
}

// The assertions have teeth.
TEST(IndexerCpu, WrongTwinsAreRejected) {
  auto ctx = CpuContext();
  IndexerCase c = SmallCase();
  c.shape.queries = c.shape.keys = 60;
  c.top_k = 20;
  const IndexerInputs in = MakeIndexerInputs(c, kF32, 6);
  // The score without its ReLU, or without its weights, is another choice.
  const auto scores = IndexerScoresReference(c.shape, in.values).back();
  EXPECT_TRUE(IsTopK(TopKOf(scores, 20), scores, 1e-5));
  IndexerShape linear = c.shape;
  linear.relu = false;
  IndexerValues equal = in.values;
  equal.w.clear();
  for (const auto& wrong : {IndexerScoresReference(linear, in.values).back(),
                            IndexerScoresReference(c.shape, equal).back()}) {
    EXPECT_FALSE(IsTopK(TopKOf(wrong, 20), scores, 1e-5));
  }
  // One token too few, one in the future, descending.
  EXPECT_FALSE(IsTopK(TopKOf(scores, 19), scores, -INFINITY));
  EXPECT_FALSE(IsTopK({0, 2}, {1, 1}, 1));
  EXPECT_FALSE(IsTopK({1, 0}, {1, 1}, 1));
  EXPECT_FALSE(IsTopK({0, -1}, {1, 1}, 1));

  // A loss without ReLU, or on a set one token short.
  const RowLists sets = IndexerSets(c.shape, in.indices, false);
  const auto exact = IndexerLossReference(c.shape, in.values, sets, in.target);
  const auto plain = PlainIndexerLoss(c, kF32, in);
  EXPECT_TRUE(MeetsContract(RunIndexerLoss(*ctx, c, kF32, in).dq, plain.dq,
                            exact.dq, kF32));
  RowLists shorter = sets;
  for (auto& set : shorter) {
    if (set.size() > 1) set.pop_back();
  }
  for (const auto& wrong :
       {IndexerLossReference(linear, in.values, sets, in.target),
        IndexerLossReference(c.shape, in.values, shorter, in.target)}) {
    EXPECT_FALSE(MeetsContract({wrong.loss}, {plain.loss}, {exact.loss}, kF32));
    EXPECT_FALSE(MeetsContract(wrong.dq, plain.dq, exact.dq, kF32));
    EXPECT_FALSE(MeetsContract(wrong.dk, plain.dk, exact.dk, kF32));
    EXPECT_FALSE(MeetsContract(wrong.dw, plain.dw, exact.dw, kF32));
  }
}

TEST(Indexer, RejectsWhatItCannotEvaluate) {
  auto ctx = CpuContext();
  auto f32 = [&](const Shape& shape) { return *ctx->Zeros(kF32, shape); };
  const IndexerArgs good{f32({2, 3, 4, 8}), f32({2, 5, 8}), f32({2, 3, 4}),
                         Tensor(), 1.0f};
  auto message = [&](const IndexerArgs& args, int64_t top_k) {
    Tensor indices;
    const absl::Status status = IndexerTopK(*ctx, args, top_k, &indices);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  auto expect = [&](const IndexerArgs& args, int64_t top_k, const char* what) {
    EXPECT_NE(message(args, top_k).find(what), std::string::npos)
        << message(args, top_k);
  };
  EXPECT_TRUE(IndexerTopKSupports(good, 2).ok());
  expect(good, 0, "top_k is 0");
  IndexerArgs bad = good;
  bad.k = f32({2, 2, 8});
  expect(bad, 2, "3 queries but only 2 keys");
  bad = good;
  bad.w = f32({2, 3, 1});
  expect(bad, 2, "indexer w");
  bad = good;
  bad.scale = NAN;
  expect(bad, 2, "indexer scale is nan");
  bad = good;
  bad.lengths = LengthsTensor(*ctx, {6, 1});
  expect(bad, 2, "lengths[0] is 6");
  bad = good;
  bad.q = *ctx->Zeros(DType::kBF16, {2, 3, 4, 8});
  expect(bad, 2, "bf16");

  IndexerLossArgs loss;
  loss.indexer = good;
  loss.attention_q = f32({2, 3, 4, 16});
  loss.attention_k = f32({2, 5, 2, 16});
  loss.attention_lse = f32({2, 4, 3});
  loss.attention_scale = 1;
  EXPECT_TRUE(IndexerLossSupports(loss).ok());
  auto rejected = [&](const IndexerLossArgs& args) {
    Tensor result;
    return IndexerLoss(*ctx, args, &result).code() ==
           absl::StatusCode::kInvalidArgument;
  };
  IndexerLossArgs wrong = loss;
  wrong.attention_k = f32({2, 4, 2, 16});
  EXPECT_TRUE(rejected(wrong));
  wrong = loss;
  wrong.attention_lse = f32({2, 3, 4});
  EXPECT_TRUE(rejected(wrong));
  wrong = loss;
  wrong.indices = *ctx->Zeros(DType::kI32, {2, 3, 2, 2});
  EXPECT_TRUE(rejected(wrong));
  wrong = loss;
  wrong.indices = IndexTensor(*ctx, {2, 3, 1, 1}, {0, 1, 2, 3, 4, 5});
  EXPECT_TRUE(rejected(wrong));
}

}  // namespace
}  // namespace lt2::kernels
