#include <string>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/gemm/gemm.h"
#include "kernels/gemm/gemm_internal.h"
#include "kernels/gemm/gemm_reference.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

struct Case {
  int64_t m, n, k;
  DType in = DType::kF32, out = DType::kF32;
  bool transpose_a = false, transpose_b = false, accumulate = false;

  std::string ToString() const {
    return absl::StrCat("m ", m, " n ", n, " k ", k, " ", Name(in), " -> ",
                        Name(out), transpose_a ? " a^T" : "",
                        transpose_b ? " b^T" : "", accumulate ? " +=" : "");
  }
};

struct Inputs {
  std::vector<double> a, b, c;
};

Inputs MakeInputs(const Case& t, uint64_t seed) {
  Inputs in;
  in.a = Rounded(t.in, Uniform(seed, t.m * t.k));
  in.b = Rounded(t.in, Uniform(seed + 1, t.k * t.n));
  if (t.accumulate) in.c = Rounded(t.out, Uniform(seed + 2, t.m * t.n));
  return in;
}

GemmArgs MakeArgs(Context& ctx, const Case& t, const Inputs& in) {
  GemmArgs args;
  args.a = ToTensor(ctx, t.in,
                    t.transpose_a ? Shape{t.k, t.m} : Shape{t.m, t.k}, in.a);
  args.b = ToTensor(ctx, t.in,
                    t.transpose_b ? Shape{t.n, t.k} : Shape{t.k, t.n}, in.b);
  args.transpose_a = t.transpose_a;
  args.transpose_b = t.transpose_b;
  args.accumulate = t.accumulate;
  return args;
}

std::vector<double> Multiply(Context& ctx, const Case& t, const Inputs& in,
                             bool plain_kernel = false) {
  const GemmArgs args = MakeArgs(ctx, t, in);
  Tensor c = t.accumulate ? ToTensor(ctx, t.out, {t.m, t.n}, in.c)
                          : *ctx.Empty(t.out, {t.m, t.n});
  absl::Status status;
#if LT2_HAVE_CUDA
  status = plain_kernel ? GemmCudaPlain(ctx, args, {t.m, t.n, t.k}, &c)
                        : Gemm(ctx, args, &c);
#else
  static_cast<void>(plain_kernel);
#endif
  EXPECT_TRUE(status.ok()) << t.ToString() << ": " << status;
  return ToDoubles(ctx, c);
}

std::vector<double> Fp64(const Case& t, const Inputs& in) {
  return GemmReference<double>(t.m, t.n, t.k, t.transpose_a, t.transpose_b,
                               in.a, in.b, in.c);
}
std::vector<double> Plain(const Case& t, const Inputs& in) {
  return Rounded(t.out, GemmReference<float>(t.m, t.n, t.k, t.transpose_a,
                                             t.transpose_b, in.a, in.b, in.c));
}

TEST(GemmCuda, MeetsContractForAllTypesTransposesAndOddSizes) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const int64_t sizes[][3] = {{1, 1, 1},     {1, 64, 256},   {60, 3, 17},
                              {3, 60, 64},   {128, 128, 64}, {65, 130, 61},
                              {257, 72, 40}, {33, 257, 1000}};
  const DType types[][2] = {{DType::kF32, DType::kF32},
                            {DType::kBF16, DType::kF32},
                            {DType::kBF16, DType::kBF16}};
  for (const auto& size : sizes) {
    for (const auto& type : types) {
      for (int bits = 0; bits < 8; ++bits) {
        const Case t = {size[0],         size[1],        size[2],
                        type[0],         type[1],        (bits & 1) != 0,
                        (bits & 2) != 0, (bits & 4) != 0};
        if (t.accumulate && t.out != DType::kF32) continue;
        const Inputs in = MakeInputs(t, 7 + bits);
        const auto fp64 = Fp64(t, in), plain = Plain(t, in);
        EXPECT_TRUE(MeetsContract(Multiply(*ctx, t, in), plain, fp64, t.out))
            << t.ToString();
        EXPECT_TRUE(
            MeetsContract(Multiply(*ctx, t, in, true), plain, fp64, t.out))
            << "plain kernel, " << t.ToString();
      }
    }
  }
}

TEST(GemmCuda, FullSinglePrecisionNotTf32) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Case t = {256, 256, 512};
  const Inputs in = MakeInputs(t, 2);
  // tf32 keeps 11 bits: an error of about 3e-4.
  EXPECT_TRUE(testing::Near(Multiply(*ctx, t, in), Fp64(t, in), 1e-6));
}

TEST(GemmCuda, ContractRejectsWrongTwin) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Case t = {64, 64, 64, DType::kBF16, DType::kF32, false, true, true};
  const Inputs in = MakeInputs(t, 3);
  Inputs twin = in;
  for (int64_t i = 0; i < t.m; ++i) twin.a[i * t.k + t.k - 1] = 0;
  EXPECT_FALSE(
      MeetsContract(Multiply(*ctx, t, twin), Plain(t, in), Fp64(t, in), t.out));
}

TEST(GemmCuda, SameBitsEveryRun) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  // Long k and a small c: where split-K would be chosen.
  for (const Case t :
       {Case{64, 64, 16384, DType::kBF16, DType::kF32, true, false, true},
        Case{512, 256, 384, DType::kBF16, DType::kBF16, false, true},
        Case{256, 100, 8192, DType::kF32, DType::kF32, true}}) {
    const Inputs in = MakeInputs(t, 9);
    const auto c = Multiply(*ctx, t, in);
    for (int repeat = 0; repeat < 10; ++repeat) {
      EXPECT_EQ(c, Multiply(*ctx, t, in)) << t.ToString();
    }
  }
}

TEST(GemmCuda, RowsDoNotDependOnOtherRows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Case t = {300, 96, 128, DType::kBF16, DType::kBF16, false, true};
  const Inputs in = MakeInputs(t, 4);
  // Row 0's content, put in every row, gives the same bits in every row.
  Inputs same = in;
  for (int64_t i = 0; i < t.m * t.k; ++i) same.a[i] = in.a[i % t.k];
  const auto c = Multiply(*ctx, t, in), d = Multiply(*ctx, t, same);
  for (int64_t i = 0; i < t.m * t.n; ++i) {
    ASSERT_EQ(d[i], c[i % t.n]) << "row " << i / t.n << " column " << i % t.n;
  }
}

TEST(GemmCuda, SlicesAtAnyAddress) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Case whole = {7, 60, 33, DType::kBF16, DType::kBF16, false, true};
  const Inputs in = MakeInputs(whole, 5);
  const GemmArgs args = MakeArgs(*ctx, whole, in);
  Tensor c = *ctx->Empty(whole.out, {7, 60});
  GemmArgs part = args;
  part.a = args.a.Slice(3, 7);  // 198 bytes into the tensor
  Tensor c_part = c.Slice(3, 7);
  ASSERT_TRUE(Gemm(*ctx, part, &c_part).ok());
  Case t = whole;
  t.m = 4;
  Inputs rows = in;
  rows.a.erase(rows.a.begin(), rows.a.begin() + 3 * t.k);
  EXPECT_TRUE(MeetsContract(ToDoubles(*ctx, c_part), Plain(t, rows),
                            Fp64(t, rows), t.out));
}

TEST(GemmCuda, EmptyExtentsAreAllowed) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const Case t : {Case{0, 3, 2}, Case{3, 0, 2}}) {
    EXPECT_TRUE(Multiply(*ctx, t, MakeInputs(t, 1)).empty());
  }
  const Case zero = {2, 3, 0, DType::kBF16, DType::kBF16};
  EXPECT_EQ(Multiply(*ctx, zero, MakeInputs(zero, 1)),
            std::vector<double>(6, 0.0));
}

TEST(GemmCuda, CanBeCaptured) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Case t = {64, 64, 4096, DType::kBF16, DType::kF32, true};
  const Inputs in = MakeInputs(t, 8);
  const GemmArgs args = MakeArgs(*ctx, t, in);
  Tensor c = *ctx->Empty(t.out, {t.m, t.n});
  ASSERT_TRUE(Gemm(*ctx, args, &c).ok());
  const auto expected = ToDoubles(*ctx, c);
  auto graph = CudaGraph::Capture(*ctx, [&] { return Gemm(*ctx, args, &c); });
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(ctx->Zero(&c).ok());
  ASSERT_TRUE((*graph)->Launch().ok());
  EXPECT_EQ(ToDoubles(*ctx, c), expected);
}

}  // namespace
}  // namespace lt2::kernels
