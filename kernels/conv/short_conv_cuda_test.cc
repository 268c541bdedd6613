#include "gtest/gtest.h"
#include "kernels/conv/short_conv.h"
#include "kernels/conv/short_conv_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::ContractPool;
using ::lt2::testing::CudaContext;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

TEST(ShortConvCuda, MeetsTheContractForAnyShape) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    for (int64_t width : {1, 2, 3, 4, 5, 8}) {
      // Around the chunks of 8 and 32 steps.
      for (int64_t seq : {1, 3, 4, 7, 8, 9, 31, 32, 33, 70}) {
        for (int64_t channels : {1, 8, 33, 40}) {
          for (bool state : {false, true}) {
            const ShortConvProblem problem = MakeShortConvProblem(
                dtype, 2, seq, channels, width, state && width > 1, true);
            AddToPool(problem, RunShortConv(*ctx, problem), &pool);
          }
        }
      }
    }
    pool.Check();
  }
}

TEST(ShortConvCuda, MeetsTheContractForManyTokensAndChannels) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (bool silu : {false, true}) {
      ContractPool pool;
      // More chunks than slabs times chunks per block; several channel tiles.
      for (int64_t channels : {8, 520}) {
        const ShortConvProblem problem = MakeShortConvProblem(
            dtype, 3, channels == 8 ? 30001 : 333, channels, 4, true, silu);
        AddToPool(problem, RunShortConv(*ctx, problem), &pool);
      }
      pool.Check();
    }
  }
}

TEST(ShortConvCuda, MeetsTheContractWithABias) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    for (int64_t width : {1, 4, 8}) {
      for (int64_t seq : {1, 9, 33, 3000}) {
        for (int64_t channels : {1, 33, 40, 136}) {
          for (bool silu : {false, true}) {
            const ShortConvProblem problem = MakeShortConvProblem(
                dtype, 2, seq, channels, width, width > 1, silu, 1, true);
            AddToPool(problem, RunShortConv(*ctx, problem), &pool);
          }
        }
      }
    }
    pool.Check();
  }
}

TEST(ShortConvCuda, ABiasOfZeroHasTheBitsOfNone) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const ShortConvProblem none =
      MakeShortConvProblem(DType::kBF16, 2, 300, 40, 4, true, true);
  ShortConvProblem zero = none;
  zero.in.bias.assign(40, 0.0);
  const ShortConvActual one = RunShortConv(*ctx, none);
  const ShortConvActual two = RunShortConv(*ctx, zero);
  EXPECT_EQ(one.output.y, two.output.y);
  EXPECT_EQ(one.grad.dx, two.grad.dx);
  EXPECT_EQ(one.grad.dweight, two.grad.dweight);
}

TEST(ShortConvCuda, MeetsTheContractForUnalignedTensors) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ContractPool pool;
    const ShortConvProblem problem =
        MakeShortConvProblem(dtype, 2, 21, 16, 4, true, true);
    AddToPool(problem, RunShortConv(*ctx, problem, true), &pool);
    pool.Check();
  }
}

TEST(ShortConvCuda, MeetsTheContractForExtremeValues) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (double scale : {0.0, 1e-20, 40.0, 1e15}) {
      ContractPool pool;
      const ShortConvProblem problem =
          MakeShortConvProblem(dtype, 3, 20, 17, 4, true, true, scale);
      AddToPool(problem, RunShortConv(*ctx, problem), &pool);
      pool.Check();
    }
  }
}

TEST(ShortConvCuda, SplitIntoSegmentsHasTheBitsOfTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (int64_t width : {2, 4, 8}) {
      for (int64_t channels : {9, 16}) {
        const ShortConvProblem problem = MakeShortConvProblem(
            dtype, 2, 40, channels, width, true, true, 1, channels == 16);
        const ShortConvReferenceOutput whole =
            RunShortConv(*ctx, problem).output;
        const std::vector<std::vector<int64_t>> splits = {
            {40},
            {20, 20},
            {1, 39},
            {39, 1},
            {2, 1, 0, 2, 35},
            {9, 31},
            std::vector<int64_t>(40, 1)};
        for (const std::vector<int64_t>& lengths : splits) {
          const auto parts = RunInSegments(*ctx, problem, lengths);
          EXPECT_EQ(parts.y, whole.y) << problem.ToString();
          EXPECT_EQ(parts.final_state, whole.final_state) << problem.ToString();
        }
      }
    }
  }
}

TEST(ShortConvCuda, SameBitsEveryTime) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const ShortConvProblem problem =
      MakeShortConvProblem(DType::kBF16, 3, 1000, 40, 4, true, true, 1, true);
  const ShortConvActual one = RunShortConv(*ctx, problem);
  const ShortConvActual two = RunShortConv(*ctx, problem);
  EXPECT_EQ(one.output.y, two.output.y);
  EXPECT_EQ(one.grad.dx, two.grad.dx);
  EXPECT_EQ(one.grad.dweight, two.grad.dweight);
  EXPECT_EQ(one.grad.dbias, two.grad.dbias);
}

TEST(ShortConvCuda, EmptySequencesKeepTheStateAndGiveNoGradient) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (bool state : {false, true}) {
    const ShortConvProblem problem =
        MakeShortConvProblem(DType::kBF16, 2, 0, 3, 4, state, true, 1, true);
    const ShortConvActual actual = RunShortConv(*ctx, problem);
    EXPECT_TRUE(actual.output.y.empty());
    EXPECT_EQ(actual.output.final_state,
              state ? problem.in.state : std::vector<double>(2 * 3 * 3));
    EXPECT_EQ(actual.grad.dweight, std::vector<double>(3 * 4));
    EXPECT_EQ(actual.grad.dbias, std::vector<double>(3));
  }
}

}  // namespace
}  // namespace lt2::kernels
