#include <cmath>

#include "gtest/gtest.h"
#include "kernels/activation/activation.h"
#include "kernels/activation/activation_testing.h"
#include "kernels/activation/interleave_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::ContractPool;
using ::lt2::testing::CudaContext;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

TEST(ActivationCuda, MeetsTheContractForAnyShape) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    for (int64_t dim : {1, 7, 8, 9, 31, 33, 64, 256, 264, 2048}) {
      for (int64_t rows : {1, 7, 8, 9, 65, 300}) {
        for (const auto& p : AllActivationProblems(dtype, rows, dim)) {
          AddToPool(p, RunActivation(*ctx, p), &pool);
        }
      }
    }
    pool.Check();
  }
}

// More rows than slabs times rows per block.
TEST(ActivationCuda, MeetsTheContractForManyRows) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    for (int64_t dim : {3, 16, 40}) {
      for (int64_t rows : {4095, 8193, 20011}) {
        for (const auto& p : AllActivationProblems(dtype, rows, dim)) {
          AddToPool(p, RunActivation(*ctx, p), &pool);
        }
      }
    }
    pool.Check();
  }
}

TEST(ActivationCuda, MeetsTheContractForUnalignedTensors) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    for (const auto& p : AllActivationProblems(dtype, 13, 64)) {
      AddToPool(p, RunActivation(*ctx, p, true), &pool);
    }
    pool.Check();
  }
}

TEST(ActivationCuda, SigmoidGivesEitherType) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (DType out : kTypes) {
      ContractPool pool;
      auto problem =
          MakeActivationProblem(ActivationOp::kSigmoid, dtype, 17, 29);
      problem.out = out;
      problem.in.dy = testing::Rounded(out, problem.in.dy);
      AddToPool(problem, RunActivation(*ctx, problem), &pool);
      pool.Check();
    }
  }
}

TEST(ActivationCuda, MeetsTheContractForExtremeValues) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (double scale : {0.0, 1e-20, 1e-3, 30.0, 85.0}) {
      ContractPool pool;
      for (const auto& p : AllActivationProblems(dtype, 50, 8, scale)) {
        AddToPool(p, RunActivation(*ctx, p), &pool);
      }
      pool.Check();
    }
  }
}

TEST(ActivationCuda, SaturatesWithoutNaN) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (auto& problem : AllActivationProblems(DType::kF32, 1, 8)) {
    problem.in.a = {-1e30, -1e4, -200, -89, 89, 200, 1e4, 1e30};
    problem.in.b = problem.in.a;
    const ActivationOutput out = RunActivation(*ctx, problem);
    for (const auto* values :
         {&out.y, &out.da, &out.db, &out.dp, &out.dq, &out.dr}) {
      for (double v : *values) {
        EXPECT_FALSE(std::isnan(v)) << problem.ToString();
      }
    }
  }
}

TEST(ActivationCuda, ResultsMayOverwriteTheFirstInput) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const auto& problem : AllActivationProblems(DType::kF32, 37, 16)) {
    EXPECT_EQ(RunActivation(*ctx, problem).y,
              RunActivation(*ctx, problem, false, true).y);
  }
}

TEST(ActivationCuda, SameBitsEveryTime) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const auto& problem : AllActivationProblems(DType::kBF16, 3000, 48)) {
    const ActivationOutput one = RunActivation(*ctx, problem);
    const ActivationOutput two = RunActivation(*ctx, problem);
    EXPECT_EQ(one.y, two.y);
    EXPECT_EQ(one.da, two.da);
    EXPECT_EQ(one.db, two.db);
    EXPECT_EQ(one.dp, two.dp);
    EXPECT_EQ(one.dq, two.dq);
    EXPECT_EQ(one.dr, two.dr);
  }
}

TEST(ActivationCuda, NoRowsGiveEmptyResultsAndZeroParameterGradients) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const auto& problem : AllActivationProblems(DType::kBF16, 0, 3)) {
    const auto out = RunActivation(*ctx, problem);
    EXPECT_TRUE(out.y.empty());
    for (const auto& values : {out.dp, out.dq}) {
      for (double v : values) EXPECT_EQ(v, 0);
    }
  }
}

TEST(InterleaveCuda, HasTheBitsOfTheDefinitionAndTakeEveryUndoesIt) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (int64_t n : {1, 2, 3}) {
      for (const Shape& shape :
           {Shape{1, 1}, Shape{2, 5}, Shape{2, 3, 1}, Shape{3, 700, 8},
            Shape{1, 7, 3, 5}, Shape{2, 33, 4, 64}, Shape{2, 0, 2}}) {
        ExpectInterleaves(*ctx, dtype, shape, n);
        if (shape.numel() > 0) ExpectInterleaves(*ctx, dtype, shape, n, true);
      }
    }
  }
}

TEST(CastCuda, RoundsToNearestEvenAndBack) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<double> values = testing::Uniform(1, 1001, -100, 100);
  values.insert(values.end(), {1.00390625, 1.01171875, -0.0});
  const int64_t n = values.size();
  const Tensor x = ToTensor(*ctx, DType::kF32, {n}, values);
  Tensor narrow, wide;
  ASSERT_TRUE(Cast(*ctx, {x, DType::kBF16}, &narrow).ok());
  ASSERT_TRUE(Cast(*ctx, {narrow, DType::kF32}, &wide).ok());
  EXPECT_EQ(ToDoubles(*ctx, wide), testing::Rounded(DType::kBF16, values));
}

}  // namespace
}  // namespace lt2::kernels
