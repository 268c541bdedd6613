// Selected and compressed attention on the GPU against the fp64 reference: bf16
// with tensor cores forward and backward, f32 forward.

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/list_attention_testing.h"
#include "kernels/sparse_attention/selected_attention.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CudaContext;
using lt2::testing::MeetsContract;

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16;

ListAttentionShape Shape4(int64_t batch, int64_t queries, int64_t keys,
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

// Head dimensions around the pieces of 16, 64 and 128 columns.
const std::vector<Dims> kDims = {
    {8, 8}, {24, 40}, {64, 64}, {80, 16}, {128, 128}};

TEST(SelectedAttentionCuda, MeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectForwardMeetsContract(*ctx, kBF16, SelectedCases(kDims));
}

TEST(SelectedAttentionCuda, GradientMeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectGradientMeetsContract(*ctx, kBF16, SelectedCases(kDims));
}

TEST(SelectedAttentionCuda, MeetsTheContractInF32) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectForwardMeetsContract(*ctx, kF32, SelectedCases({{8, 24}, {64, 64}}));
}

// Key and value dimensions beyond 128: the latent attention of DeepSeek, and
// pairs on both sides of the switch between tiles of 64 and of 16 query heads.
TEST(SelectedAttentionCuda, LatentDimensionsMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<ListCase> cases;
  for (Dims d : {Dims{576, 512}, Dims{192, 128}, Dims{256, 256}, Dims{320, 256},
                 Dims{136, 144}, Dims{576, 576}}) {
    cases.push_back(SelectedCase(Shape4(1, 70, 70, 16, 1, d), 1, 1, 24));
    cases.push_back(SelectedCase(Shape4(1, 40, 90, 40, 2, d), 16, 2, 4));
  }
  ExpectForwardMeetsContract(*ctx, kBF16, cases);
  ExpectGradientMeetsContract(*ctx, kBF16, cases);
}

// Lists of a length and groups of a size that fill several tiles and several
// parts; blocks longer than a tile; every group size around 16 and 64.
TEST(SelectedAttentionCuda, ManyTilesMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Dims d{32, 32};
  std::vector<ListCase> cases = {
      SelectedCase(Shape4(1, 700, 700, 16, 1, d), 1, 1, 200),
      SelectedCase(Shape4(1, 500, 1000, 16, 1, d), 64, 1, 5),
      SelectedCase(Shape4(1, 600, 600, 8, 2, d), 96, 2, 3),
      SelectedCase(Shape4(1, 300, 300, 4, 4, d), 200, 4, 2),
      SelectedCase(Shape4(1, 300, 300, 2, 1, d), 1000, 1, 1),
      SelectedCase(Shape4(1, 200, 200, 65, 1, d), 16, 1, 3),
      SelectedCase(Shape4(1, 120, 120, 130, 1, d), 32, 1, 2),
      SelectedCase(Shape4(1, 150, 150, 33, 1, d), 1, 1, 90),
  };
  ExpectForwardMeetsContract(*ctx, kBF16, cases);
  ExpectGradientMeetsContract(*ctx, kBF16, cases);
}

// Groups and dimensions on both sides of the switch between a warp to a query
// (at most 8 heads and 128 columns) and tiles of 16 heads, and its switch at 64
// columns; lists of one entry (one in five is -1: no list at all), shorter and
// longer than the 16 and 32 positions that a warp takes, and padded; caches.
std::vector<ListCase> WarpCases() {
  std::vector<ListCase> cases;
  for (int64_t group : {1, 2, 3, 7, 8, 9}) {
    for (Dims d : {Dims{24, 40}, Dims{64, 64}, Dims{128, 128}, Dims{72, 8},
                   Dims{64, 136}, Dims{136, 64}, Dims{192, 192}}) {
      for (int64_t selected : {1, 15, 17, 33, 64, 100}) {
        cases.push_back(
            SelectedCase(Shape4(1, 70, 70, group, 1, d), 1, 1, selected));
      }
      cases.push_back(
          SelectedCase(Shape4(2, 9, 60, 2 * group, 2, d), 1, 2, 40));
      cases.push_back(
          SelectedCase(Shape4(2, 19, 60, 2 * group, 2, d), 13, 1, 3));
      cases.push_back(SelectedCase(Shape4(3, 2, 60, 2 * group, 2, d), 1, 1, 40,
                                   {60, 0, 17}));
      cases.push_back(CompressedCase(Shape4(2, 40, 0, group, 1, d), 80, 2));
    }
  }
  return cases;
}

TEST(SelectedAttentionCuda, WarpsAndTilesMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectForwardMeetsContract(*ctx, kBF16, WarpCases());
}

TEST(SelectedAttentionCuda, GradientOfWarpsAndTilesMeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectGradientMeetsContract(*ctx, kBF16, WarpCases());
}

// The same over groups that have a warp for each query (1, 2, 3, 8) or tiles.
TEST(SelectedAttentionCuda, WarpsAndTilesHaveTheSameProperties) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t group : {1, 2, 3, 8, 9, 16}) {
    for (Dims d : {Dims{64, 64}, Dims{128, 128}}) {
      const int64_t heads = 4 * group;
      ExpectSegmentsEqualWhole(
          *ctx, kBF16, SelectedCase(Shape4(2, 40, 40, heads, 4, d), 1, 1, 20));
      ExpectUnseenRowsAreNotRead(
          *ctx, kBF16,
          {SelectedCase(Shape4(2, 6, 90, group, 1, d), 1, 1, 9, {90, 33})});
      ExpectSameBits(*ctx, kBF16,
                     SelectedCase(Shape4(3, 75, 75, heads, 4, d), 1, 1, 40));
      ExpectWrongTwinsRejected(
          *ctx, kBF16, SelectedCase(Shape4(1, 50, 50, heads, 4, d), 4, 1, 5));
    }
  }
}

TEST(SelectedAttentionCuda, SegmentsEqualTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Dims d{16, 16};
  ExpectSegmentsEqualWhole(*ctx, kBF16,
                           SelectedCase(Shape4(2, 40, 40, 4, 2, d), 8, 2, 3));
  ExpectSegmentsEqualWhole(*ctx, kF32,
                           SelectedCase(Shape4(2, 40, 40, 4, 2, d), 1, 1, 9));
}

TEST(SelectedAttentionCuda, UnseenRowsAreNotRead) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Dims d{40, 24};
  ExpectUnseenRowsAreNotRead(
      *ctx, kBF16,
      {SelectedCase(Shape4(2, 6, 90, 4, 2, d), 1, 1, 9, {90, 33}),
       SelectedCase(Shape4(2, 6, 90, 16, 1, d), 16, 1, 2, {80, 5}),
       SelectedCase(Shape4(1, 30, 30, 3, 1, d), 5, 1, 2)});
}

// The gradient by way of all visible pairs reads what no list names, and must
// not use it: whatever it is, as long as it is a number.
TEST(SelectedAttentionCuda, UnseenRowsDoNotMatterToMaskedGradients) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (double poison : {1e30, -1e30}) {
    ExpectUnseenRowsDoNotMatter(
        *ctx, kBF16,
        {SelectedCase(Shape4(2, 6, 90, 4, 2, {64, 64}), 1, 1, 5),
         SelectedCase(Shape4(1, 70, 150, 16, 1, {40, 40}), 1, 1, 7),
         SelectedCase(Shape4(1, 5, 60, 3, 1, {128, 128}), 6, 1, 2)},
        poison);
  }
}

// Around 24 keys for each token of a list, and 5 for each of a list of blocks:
// both forms of the gradient.
TEST(SelectedAttentionCuda, GradientsAroundTheMasksLimitMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<ListCase> cases;
  for (Dims d : {Dims{64, 64}, Dims{96, 96}}) {
    for (int64_t keys : {95, 96, 97, 191, 192, 193}) {
      cases.push_back(SelectedCase(Shape4(2, keys, keys, 4, 4, d), 1, 1, 4));
      cases.push_back(SelectedCase(Shape4(1, keys, keys, 8, 2, d), 1, 2, 8));
    }
    for (int64_t keys : {159, 160, 161}) {
      cases.push_back(SelectedCase(Shape4(2, keys, keys, 6, 2, d), 16, 2, 2));
    }
  }
  ExpectGradientMeetsContract(*ctx, kBF16, cases);
}

TEST(SelectedAttentionCuda, SameBitsTwiceAndForAnyBatch) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Dims d{64, 64};
  ExpectSameBits(*ctx, kBF16,
                 SelectedCase(Shape4(3, 200, 200, 16, 2, d), 1, 1, 60));
  ExpectSameBits(*ctx, kBF16,
                 SelectedCase(Shape4(3, 200, 200, 16, 2, d), 64, 2, 3));
}

TEST(SelectedAttentionCuda, WrongTwinsAreRejected) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectWrongTwinsRejected(
      *ctx, kBF16, SelectedCase(Shape4(1, 50, 50, 4, 2, {16, 16}), 4, 2, 5));
}

TEST(SelectedAttentionCuda, NaNInputsAreNotHidden) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ListCase c = SelectedCase(Shape4(1, 70, 70, 2, 1, {16, 16}), 1, 1, 1);
  ListInputs in = MakeListInputs(c, kBF16, 1);
  for (int64_t i = 0; i < 70; ++i) in.indices[i] = static_cast<int32_t>(i);
  in.k[3 * 16] = NAN;
  const auto values = RunListAttention(*ctx, c, kBF16, in);
  for (int64_t i = 0; i < 70; ++i) {
    EXPECT_EQ(std::isnan(values.o[c.shape.OutputRow(0, i, 1)]), i == 3) << i;
  }
}

// A forward and backward pass in a CUDA graph: nothing synchronises, and no
// memory but the arena's is used.
TEST(SelectedAttentionCuda, IsCapturable) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const ListCase c =
      SelectedCase(Shape4(1, 130, 130, 16, 1, {64, 64}), 1, 1, 40);
  const ListInputs in = MakeListInputs(c, kBF16, 2);
  const ListAttentionShape& s = c.shape;
  const Shape kv{1, s.keys, 1, 64};
  SelectedAttentionGradArgs args;
  args.forward.q =
      lt2::testing::ToTensor(*ctx, kBF16, {1, s.queries, 16, 64}, in.q);
  args.forward.k = lt2::testing::ToTensor(*ctx, kBF16, kv, in.k);
  args.forward.v = lt2::testing::ToTensor(*ctx, kBF16, kv, in.v);
  args.forward.indices = IndexTensor(*ctx, {1, s.queries, 1, 40}, in.indices);
  args.forward.scale = static_cast<float>(s.scale);
  args.dout =
      lt2::testing::ToTensor(*ctx, kBF16, {1, s.queries, 16, 64}, in.dout);
  SelectedAttentionResults results;
  SelectedAttentionGradResults grads;
  auto work = [&]() -> absl::Status {
    LT2_RETURN_IF_ERROR(SelectedAttention(*ctx, args.forward, &results));
    args.o = results.o;
    args.lse = results.lse;
    return SelectedAttentionGrad(*ctx, args, &grads);
  };
  ASSERT_TRUE(work().ok());
  const auto expected = RunListAttentionGrad(*ctx, c, kBF16, in);
  auto graph = CudaGraph::Capture(*ctx, work);
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(ctx->Zero(&grads.dk).ok());
  ASSERT_TRUE((*graph)->Launch().ok());
  EXPECT_EQ(lt2::testing::ToDoubles(*ctx, grads.dq), expected.dq);
  EXPECT_EQ(lt2::testing::ToDoubles(*ctx, grads.dk), expected.dk);
  EXPECT_EQ(lt2::testing::ToDoubles(*ctx, grads.dv), expected.dv);
}

TEST(SelectedAttentionCuda, GradientInF32IsRejected) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Tensor x = *ctx->Zeros(kF32, {1, 2, 1, 16});
  SelectedAttentionGradArgs args;
  args.forward = {x,        x, x,   *ctx->Zeros(DType::kI32, {1, 2, 1, 1}),
                  Tensor(), 1, 1.0f};
  args.o = args.dout = x;
  args.lse = *ctx->Zeros(kF32, {1, 1, 2});
  SelectedAttentionGradResults grads;
  const absl::Status status = SelectedAttentionGrad(*ctx, args, &grads);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("bf16"), std::string::npos) << status;
}

TEST(CompressedAttentionCuda, MeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectForwardMeetsContract(*ctx, kBF16, CompressedCases(kDims));
}

TEST(CompressedAttentionCuda, GradientMeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectGradientMeetsContract(*ctx, kBF16, CompressedCases(kDims));
}

TEST(CompressedAttentionCuda, MeetsTheContractInF32) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectForwardMeetsContract(*ctx, kF32, CompressedCases({{8, 24}, {64, 64}}));
}

// Several parts of one list: 8192 query heads to a part.
TEST(CompressedAttentionCuda, LongSequencesMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const std::vector<ListCase> cases = {
      CompressedCase(Shape4(1, 1500, 0, 16, 1, {32, 32}), 1500, 16),
      CompressedCase(Shape4(1, 300, 0, 16, 1, {256, 192}), 320, 4)};
  ExpectForwardMeetsContract(*ctx, kBF16, cases);
  ExpectGradientMeetsContract(*ctx, kBF16, cases);
}

TEST(CompressedAttentionCuda, SegmentsUnseenRowsAndBits) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Dims d{16, 24};
  ExpectSegmentsEqualWhole(*ctx, kBF16,
                           CompressedCase(Shape4(2, 40, 0, 4, 2, d), 40, 4));
  ExpectUnseenRowsAreNotRead(
      *ctx, kBF16,
      {CompressedCase(Shape4(2, 6, 0, 4, 2, d), 90, 4, {81, 33}),
       CompressedCase(Shape4(1, 6, 0, 16, 1, d), 600, 4, {401})});
  ExpectSameBits(*ctx, kBF16,
                 CompressedCase(Shape4(3, 200, 0, 16, 2, d), 200, 8));
  ExpectWrongTwinsRejected(*ctx, kBF16,
                           CompressedCase(Shape4(1, 50, 0, 4, 2, d), 50, 4));
}

}  // namespace
}  // namespace lt2::kernels
