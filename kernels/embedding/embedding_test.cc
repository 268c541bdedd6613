#include "kernels/embedding/embedding.h"

#include "gtest/gtest.h"
#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "kernels/embedding/embedding_reference.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

struct Size {
  int64_t n, vocab, dim;
};

constexpr Size kSizes[] = {{0, 5, 3},     {1, 1, 1},    {4, 9, 0},    {7, 3, 5},
                           {100, 13, 31}, {257, 2, 64}, {31, 500, 33}};

std::vector<int32_t> Ids(int64_t n, int64_t vocab) {
  Philox rng(3, n);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  return ids;
}

Tensor IdTensor(Context& ctx, const std::vector<int32_t>& ids) {
  return *ctx.FromHost<int32_t>(ids, {static_cast<int64_t>(ids.size())});
}

std::vector<double> Gradient(Context& ctx, const std::vector<int32_t>& ids,
                             const std::vector<double>& dout, Size size) {
  EmbeddingGradArgs args;
  args.ids = IdTensor(ctx, ids);
  args.dout = ToTensor(ctx, DType::kF32, {size.n, size.dim}, dout);
  args.vocab = size.vocab;
  Tensor dtable;
  const absl::Status status = EmbeddingGrad(ctx, args, &dtable);
  EXPECT_TRUE(status.ok()) << status;
  return ToDoubles(ctx, dtable);
}

TEST(Embedding, CopiesRowsExactly) {
  auto ctx = CpuContext();
  for (const Size size : kSizes) {
    const auto ids = Ids(size.n, size.vocab);
    const auto table = Rounded(DType::kF32, Uniform(1, size.vocab * size.dim));
    Tensor out;
    ASSERT_TRUE(
        Embedding(*ctx,
                  {IdTensor(*ctx, ids),
                   ToTensor(*ctx, DType::kF32, {size.vocab, size.dim}, table)},
                  &out)
            .ok());
    EXPECT_EQ(out.shape(), (Shape{size.n, size.dim}));
    EXPECT_EQ(ToDoubles(*ctx, out), EmbeddingReference(ids, table, size.dim));
  }
}

TEST(EmbeddingGrad, MeetsContractAndZeroesUnusedRows) {
  auto ctx = CpuContext();
  for (const Size size : kSizes) {
    const auto ids = Ids(size.n, size.vocab);
    const auto dout = Rounded(DType::kF32, Uniform(2, size.n * size.dim));
    const auto fp64 =
        EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim);
    const auto plain =
        EmbeddingGradReference<float>(ids, dout, size.vocab, size.dim);
    EXPECT_TRUE(MeetsContract(Gradient(*ctx, ids, dout, size), plain, fp64,
                              DType::kF32))
        << "n " << size.n << " vocab " << size.vocab << " dim " << size.dim;
  }
}

TEST(EmbeddingGrad, ContractRejectsWrongTwin) {
  auto ctx = CpuContext();
  const Size size = {50, 11, 6};
  const auto ids = Ids(size.n, size.vocab);
  const auto dout = Rounded(DType::kF32, Uniform(2, size.n * size.dim));
  auto without_last = dout;
  for (int64_t d = 0; d < size.dim; ++d) {
    without_last[(size.n - 1) * size.dim + d] = 0;
  }
  EXPECT_FALSE(MeetsContract(
      Gradient(*ctx, ids, without_last, size),
      EmbeddingGradReference<float>(ids, dout, size.vocab, size.dim),
      EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim),
      DType::kF32));
}

TEST(EmbeddingGrad, ReferenceMatchesFiniteDifferences) {
  const Size size = {9, 4, 3};
  const auto ids = Ids(size.n, size.vocab);
  const auto dout = Uniform(2, size.n * size.dim);
  auto loss = [&](const std::vector<double>& table) {
    const auto out = EmbeddingReference(ids, table, size.dim);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) sum += out[i] * dout[i];
    return sum;
  };
  EXPECT_TRUE(testing::Near(
      EmbeddingGradReference<double>(ids, dout, size.vocab, size.dim),
      testing::FiniteDifferences(loss, Uniform(1, size.vocab * size.dim)),
      1e-8));
}

TEST(EmbeddingGrad, BitsDoNotDependOnThreadsOrRepetition) {
  auto one = CpuContext(1);
  auto three = CpuContext(3);
  const Size size = {300, 5, 130};
  const auto ids = Ids(size.n, size.vocab);
  const auto dout = Uniform(2, size.n * size.dim);
  const auto expected = Gradient(*one, ids, dout, size);
  EXPECT_EQ(Gradient(*one, ids, dout, size), expected);
  EXPECT_EQ(Gradient(*three, ids, dout, size), expected);
}

TEST(Embedding, IdOutsideTheTableIsAnError) {
  auto ctx = CpuContext();
  Tensor table = *ctx->Zeros(DType::kF32, {3, 2});
  for (const int32_t id : {-1, 3, 1 << 30}) {
    Tensor out, dtable;
    const absl::Status status =
        Embedding(*ctx, {IdTensor(*ctx, {0, id}), table}, &out);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(absl::StrCat("id ", id, " at position 1")),
              absl::string_view::npos);
    EXPECT_EQ(EmbeddingGrad(*ctx,
                            {IdTensor(*ctx, {0, id}),
                             *ctx->Zeros(DType::kF32, {2, 2}), 3},
                            &dtable)
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(Embedding, RejectsWrongShapesAndTypes) {
  auto ctx = CpuContext();
  Tensor ids = *ctx->Zeros(DType::kI32, {4});
  Tensor table = *ctx->Zeros(DType::kF32, {3, 2});
  Tensor out;
  auto rejects = [&](const absl::Status& status) {
    return status.code() == absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(rejects(Embedding(*ctx, {ids.Reshape({2, 2}), table}, &out)));
  EXPECT_TRUE(rejects(Embedding(*ctx, {table, table}, &out)));
  EXPECT_TRUE(rejects(Embedding(*ctx, {ids, table.Reshape({6})}, &out)));
  EXPECT_TRUE(
      rejects(Embedding(*ctx, {ids, *ctx->Zeros(DType::kBF16, {3, 2})}, &out)));
  EXPECT_TRUE(rejects(EmbeddingGrad(*ctx, {ids, table, 3}, &out)));
  EXPECT_TRUE(rejects(
      EmbeddingGrad(*ctx, {ids, *ctx->Zeros(DType::kF32, {4, 2}), -1}, &out)));
}

}  // namespace
}  // namespace lt2::kernels
