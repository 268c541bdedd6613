#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "kernels/embedding/embedding.h"
#include "kernels/embedding/embedding_reference.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

// `hot` of the ids, chosen at random, are id vocab / 2.
struct Size {
  int64_t n, vocab, dim;
  double hot = 0;

  std::string ToString() const {
    return absl::StrCat("n ", n, " vocab ", vocab, " dim ", dim, " hot ", hot);
  }
};

std::vector<int32_t> Ids(const Size& size) {
  Philox rng(3, size.n);
  std::vector<int32_t> ids(size.n);
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(
        rng.Uniform() <= size.hot ? size.vocab / 2 : rng.Below(size.vocab));
  }
  return ids;
}

Tensor IdTensor(Context& ctx, const std::vector<int32_t>& ids) {
  return *ctx.FromHost<int32_t>(ids, {static_cast<int64_t>(ids.size())});
}

std::vector<double> Gradient(Context& ctx, DType dtype,
                             const std::vector<int32_t>& ids,
                             const std::vector<double>& dout,
                             const Size& size) {
  EmbeddingGradArgs args;
  args.ids = IdTensor(ctx, ids);
  args.dout = ToTensor(ctx, dtype, {size.n, size.dim}, dout);
  args.vocab = size.vocab;
  Tensor dtable;
  const absl::Status status = EmbeddingGrad(ctx, args, &dtable);
  EXPECT_TRUE(status.ok()) << status;
  return ToDoubles(ctx, dtable);
}

TEST(EmbeddingCuda, CopiesRowsExactlyAndMarksBadIds) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Size size : {Size{1, 1, 1}, Size{100, 13, 31}, Size{257, 9, 64},
                            Size{9, 500, 24}, Size{0, 3, 4}}) {
      auto ids = Ids(size);
      const auto table = Rounded(dtype, Uniform(1, size.vocab * size.dim));
      const auto expected = EmbeddingReference(ids, table, size.dim);
      if (size.n > 1) ids[1] = static_cast<int32_t>(size.vocab);
      if (size.n > 3) ids[3] = -1;
      Tensor out;
      const absl::Status status =
          Embedding(*ctx,
                    {IdTensor(*ctx, ids),
                     ToTensor(*ctx, dtype, {size.vocab, size.dim}, table)},
                    &out);
      ASSERT_TRUE(status.ok()) << status;
      const auto actual = ToDoubles(*ctx, out);
      for (int64_t i = 0; i < size.n * size.dim; ++i) {
        const int64_t row = i / size.dim;
        if (row == 1 || row == 3) {
          EXPECT_TRUE(std::isnan(actual[i])) << size.ToString() << " at " << i;
        } else {
          EXPECT_EQ(actual[i], expected[i]) << size.ToString() << " at " << i;
        }
      }
    }
  }
}

TEST(EmbeddingGradCuda, MeetsContractForAnyDistributionOfIds) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Size sizes[] = {
      {0, 5, 3},           {1, 1, 1},          {4, 9, 0},
      {255, 3, 5},         {256, 1, 33},       {257, 1, 130},
      {512, 2, 64},        {513, 1, 8},        {2000, 256, 64},
      {5000, 100, 72, .9}, {5000, 7, 129, .5}, {6007, 70000, 16, .3},
      {3000, 4, 40, 1}};
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const Size& size : sizes) {
      const auto ids = Ids(size);
      const auto dout = Rounded(dtype, Uniform(2, size.n * size.dim));
      EXPECT_TRUE(MeetsContract(
          Gradient(*ctx, dtype, ids, dout, size),
          EmbeddingGradReference<float>(ids, dout, size.vocab, size.dim),
          EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim),
          DType::kF32))
          << Name(dtype) << " " << size.ToString();
    }
  }
}

TEST(EmbeddingGradCuda, LeavesOutBadIds) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Size size = {1000, 5, 12};
  auto ids = Ids(size);
  auto dout = Rounded(DType::kF32, Uniform(2, size.n * size.dim));
  auto bad = ids;
  for (int64_t i = 0; i < size.n; i += 3) {
    bad[i] = i % 2 == 0 ? -7 : static_cast<int32_t>(size.vocab + i);
    for (int64_t d = 0; d < size.dim; ++d) dout[i * size.dim + d] = 0;
  }
  EXPECT_TRUE(MeetsContract(
      Gradient(*ctx, DType::kF32, bad, dout, size),
      EmbeddingGradReference<float>(ids, dout, size.vocab, size.dim),
      EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim),
      DType::kF32));
}

TEST(EmbeddingGradCuda, ContractRejectsWrongTwin) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Size size = {700, 11, 6};
  const auto ids = Ids(size);
  const auto dout = Rounded(DType::kF32, Uniform(2, size.n * size.dim));
  auto without_last = dout;
  for (int64_t d = 0; d < size.dim; ++d) {
    without_last[(size.n - 1) * size.dim + d] = 0;
  }
  EXPECT_FALSE(MeetsContract(
      Gradient(*ctx, DType::kF32, ids, without_last, size),
      EmbeddingGradReference<float>(ids, dout, size.vocab, size.dim),
      EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim),
      DType::kF32));
}

TEST(EmbeddingGradCuda, SameBitsEveryRun) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Size size = {20000, 50, 64, .5};
  const auto ids = Ids(size);
  const auto dout = Uniform(2, size.n * size.dim);
  const auto expected = Gradient(*ctx, DType::kF32, ids, dout, size);
  for (int repeat = 0; repeat < 5; ++repeat) {
    EXPECT_EQ(Gradient(*ctx, DType::kF32, ids, dout, size), expected);
  }
}

TEST(EmbeddingGradCuda, CanBeCaptured) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Size size = {3000, 50, 64, .5};
  EmbeddingGradArgs args;
  args.ids = IdTensor(*ctx, Ids(size));
  args.dout = ToTensor(*ctx, DType::kF32, {size.n, size.dim},
                       Uniform(2, size.n * size.dim));
  args.vocab = size.vocab;
  Tensor dtable;
  ASSERT_TRUE(EmbeddingGrad(*ctx, args, &dtable).ok());
  const auto expected = ToDoubles(*ctx, dtable);
  auto graph = CudaGraph::Capture(
      *ctx, [&] { return EmbeddingGrad(*ctx, args, &dtable); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(ctx->Zero(&dtable).ok());
  ASSERT_TRUE((*graph)->Launch().ok());
  EXPECT_EQ(ToDoubles(*ctx, dtable), expected);
}

}  // namespace
}  // namespace lt2::kernels
