#include "gtest/gtest.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/norm_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CudaContext;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

TEST(NormCuda, MeetsTheContractForAnyDim) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (NormKind kind : kAllNormKinds) {
      testing::ContractPool pool;
      // Around 8, 16 and 32 threads a row, a pack per lane, and the change from
      // warps to blocks.
      for (int64_t dim :
           {1,   7,   8,   31,   32,   33,   64,   72,   96,   128,  136,  192,
            248, 256, 264, 1023, 1024, 1025, 1032, 2048, 2055, 4096, 12000}) {
        const NormProblem problem = MakeNormProblem(kind, dtype, 11, dim);
        AddToPool(problem, RunNorm(*ctx, problem), &pool);
      }
      pool.Check();
    }
  }
}

TEST(NormCuda, MeetsTheContractForAnyNumberOfRows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (NormKind kind : kAllNormKinds) {
      testing::ContractPool pool;
      for (int64_t rows : {1, 7, 8, 9, 63, 513, 4095, 4097, 10007}) {
        const NormProblem problem = MakeNormProblem(kind, dtype, rows, 40);
        AddToPool(problem, RunNorm(*ctx, problem), &pool);
      }
      for (int64_t rows : {1, 511, 512, 513, 1300}) {
        const NormProblem problem = MakeNormProblem(kind, dtype, rows, 1028);
        AddToPool(problem, RunNorm(*ctx, problem), &pool);
      }
      pool.Check();
    }
  }
}

TEST(NormCuda, MeetsTheContractForUnalignedTensors) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (NormKind kind : kAllNormKinds) {
      testing::ContractPool pool;
      for (int64_t dim : {64, 2048}) {
        const NormProblem problem = MakeNormProblem(kind, dtype, 5, dim);
        AddToPool(problem, RunNorm(*ctx, problem, true), &pool);
      }
      pool.Check();
    }
  }
}

TEST(NormCuda, MeetsTheContractForExtremeValues) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (NormKind kind : kAllNormKinds) {
      for (double scale : {0.0, 1e-18, 1e-4, 1e4, 1e15}) {
        testing::ContractPool pool;
        const NormProblem problem = MakeNormProblem(kind, dtype, 5, 33, scale);
        AddToPool(problem, RunNorm(*ctx, problem), &pool);
        pool.Check();
      }
    }
  }
}

TEST(NormCuda, SameBitsEveryTime) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (NormKind kind : kAllNormKinds) {
    for (int64_t dim : {128, 2048}) {
      const NormProblem problem = MakeNormProblem(kind, DType::kBF16, 999, dim);
      const NormActual one = RunNorm(*ctx, problem);
      const NormActual two = RunNorm(*ctx, problem);
      EXPECT_EQ(one.output.y, two.output.y);
      EXPECT_EQ(one.grad.dx, two.grad.dx);
      EXPECT_EQ(one.grad.dgate, two.grad.dgate);
      EXPECT_EQ(one.grad.dweight, two.grad.dweight);
    }
  }
}

TEST(NormCuda, NoRowsGiveEmptyResultsAndAZeroWeightGradient) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (NormKind kind : kAllNormKinds) {
    const NormProblem problem = MakeNormProblem(kind, DType::kBF16, 0, 6);
    const NormActual actual = RunNorm(*ctx, problem);
    EXPECT_TRUE(actual.output.y.empty());
    EXPECT_EQ(actual.grad.dweight,
              std::vector<double>(kind == NormKind::kL2 ? 0 : 6));
  }
}

TEST(NormCuda, TooWideForTheGradientIsAnError) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {1, 12001});
  const Tensor weight = *ctx->Zeros(DType::kF32, {12001});
  const Tensor rstd = *ctx->Zeros(DType::kF32, {1});
  EXPECT_FALSE(RmsNormGradSupports({x, weight, rstd, x}).ok());
}

}  // namespace
}  // namespace lt2::kernels
