#include "kernels/norm/norm.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/norm/norm_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::FiniteDifferences;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Near;
using ::lt2::testing::ToTensor;

TEST(NormReference, GradientIsTheFiniteDifference) {
  for (NormKind kind : kAllNormKinds) {
    SCOPED_TRACE(NormKindName(kind));
    const NormProblem problem = MakeNormProblem(kind, DType::kF32, 3, 5);
    const NormReferenceGrad grad =
        NormGradReference<double>(problem.in, problem.dy);
    // The loss sum(dy * y) as a function of one input vector.
    auto difference = [&](std::vector<double> NormReferenceInput::*which) {
      return FiniteDifferences(
          [&](const std::vector<double>& values) {
            NormReferenceInput in = problem.in;
            in.*which = values;
            const std::vector<double> y = NormReference<double>(in).y;
            double loss = 0;
            for (size_t i = 0; i < y.size(); ++i) loss += problem.dy[i] * y[i];
            return loss;
          },
          problem.in.*which);
    };
    EXPECT_TRUE(Near(grad.dx, difference(&NormReferenceInput::x), 1e-7));
    EXPECT_TRUE(
        Near(grad.dweight, difference(&NormReferenceInput::weight), 1e-7));
    EXPECT_TRUE(Near(grad.dgate, difference(&NormReferenceInput::gate), 1e-7));
  }
}

TEST(Norm, MeetsTheContractForAnyDim) {
  auto ctx = CpuContext(2);
  for (NormKind kind : kAllNormKinds) {
    testing::ContractPool pool;
    for (int64_t dim : {1, 2, 3, 7, 15, 16, 17, 31, 33, 96, 128, 257, 2048}) {
      const NormProblem problem = MakeNormProblem(kind, DType::kF32, 7, dim);
      AddToPool(problem, RunNorm(*ctx, problem), &pool);
    }
    pool.Check();
  }
}

TEST(Norm, MeetsTheContractForAnyNumberOfRows) {
  auto ctx = CpuContext(2);
  for (NormKind kind : kAllNormKinds) {
    testing::ContractPool pool;
    for (int64_t rows : {1, 2, 16, 17, 63, 64, 65, 129, 1000}) {
      const NormProblem problem = MakeNormProblem(kind, DType::kF32, rows, 48);
      AddToPool(problem, RunNorm(*ctx, problem), &pool);
    }
    pool.Check();
  }
}

TEST(Norm, MeetsTheContractForExtremeValues) {
  auto ctx = CpuContext();
  for (NormKind kind : kAllNormKinds) {
    for (double scale : {0.0, 1e-18, 1e-4, 1e4, 1e15}) {
      testing::ContractPool pool;
      const NormProblem problem =
          MakeNormProblem(kind, DType::kF32, 5, 33, scale);
      AddToPool(problem, RunNorm(*ctx, problem), &pool);
      pool.Check();
    }
  }
}

TEST(Norm, SaturatedGatesStayFinite) {
  auto ctx = CpuContext();
  NormProblem problem =
      MakeNormProblem(NormKind::kSiluGated, DType::kF32, 2, 4);
  problem.in.gate = {-1e30, -100, -88, -20, 20, 88, 100, 1e30};
  for (double v : RunNorm(*ctx, problem).grad.dx) {
    EXPECT_TRUE(std::isfinite(v)) << v;
  }
}

TEST(Norm, ContractRejectsAGradientWithoutTheProjection) {
  for (NormKind kind : kAllNormKinds) {
    const NormProblem problem = MakeNormProblem(kind, DType::kF32, 7, 96);
    const NormActual exact = ExactNorm(problem), plain = PlainNorm(problem);
    // dx = rstd v alone: a norm whose rstd is taken for a constant. It shows in
    // what v was: the exact dx plus rstd xhat dot.
    NormReferenceInput in = problem.in;
    std::vector<double> wrong = exact.grad.dx;
    for (int64_t row = 0; row < problem.rows; ++row) {
      double dot = 0;
      const double rstd = exact.output.rstd[row];
      for (int64_t i = 0; i < in.dim; ++i) {
        const int64_t k = row * in.dim + i;
        dot += problem.dy[k] * exact.output.y[k] / (in.mean ? in.dim : 1);
      }
      for (int64_t i = 0; i < in.dim; ++i) {
        const int64_t k = row * in.dim + i;
        wrong[k] += rstd * in.x[k] * rstd * dot;
      }
    }
    EXPECT_FALSE(
        MeetsContract(wrong, plain.grad.dx, exact.grad.dx, DType::kF32));
  }
}

TEST(Norm, ContractRejectsEpsOutsideTheRoot) {
  for (NormKind kind : kAllNormKinds) {
    const NormProblem problem = MakeNormProblem(kind, DType::kF32, 7, 96, 1e-2);
    const NormActual exact = ExactNorm(problem), plain = PlainNorm(problem);
    std::vector<double> wrong = exact.output.y;
    for (size_t k = 0; k < wrong.size(); ++k) {
      const double rstd = exact.output.rstd[k / problem.in.dim];
      const double eps = problem.in.eps;
      const double root = std::sqrt(1 / (rstd * rstd) - eps);
      wrong[k] *= 1 / (root + eps) / rstd;
    }
    EXPECT_FALSE(
        MeetsContract(wrong, plain.output.y, exact.output.y, DType::kF32));
  }
}

TEST(Norm, SameBitsForAnyNumberOfThreadsAndEveryTime) {
  for (NormKind kind : kAllNormKinds) {
    const NormProblem problem = MakeNormProblem(kind, DType::kF32, 321, 65);
    const NormActual one = RunNorm(*CpuContext(1), problem);
    for (int threads : {1, 3}) {
      const NormActual other = RunNorm(*CpuContext(threads), problem);
      EXPECT_EQ(one.output.y, other.output.y);
      EXPECT_EQ(one.grad.dx, other.grad.dx);
      EXPECT_EQ(one.grad.dgate, other.grad.dgate);
      EXPECT_EQ(one.grad.dweight, other.grad.dweight);
    }
  }
}

TEST(Norm, NoRowsGiveEmptyResultsAndAZeroWeightGradient) {
  auto ctx = CpuContext();
  for (NormKind kind : kAllNormKinds) {
    const NormProblem problem = MakeNormProblem(kind, DType::kF32, 0, 6);
    const NormActual actual = RunNorm(*ctx, problem);
    EXPECT_TRUE(actual.output.y.empty());
    EXPECT_EQ(actual.grad.dweight,
              std::vector<double>(kind == NormKind::kL2 ? 0 : 6));
  }
}

TEST(Norm, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {2, 3, 4});
  const Tensor weight = *ctx->Zeros(DType::kF32, {4});
  RmsNormResults results;
  EXPECT_TRUE(RmsNorm(*ctx, {x, weight}, &results).ok());
  EXPECT_EQ(RmsNormSupports({x, *ctx->Zeros(DType::kF32, {3})}).message(),
            "weight: expected f32[4]@cpu, got f32[3]@cpu");
  EXPECT_EQ(RmsNorm(*ctx, {Tensor(), weight}, &results).message(),
            "RmsNorm: x: expected a tensor, got undefined");
  EXPECT_FALSE(RmsNormSupports({x, weight, -1.0f}).ok());
  EXPECT_FALSE(RmsNormSupports({x, weight, std::nanf("")}).ok());
  EXPECT_FALSE(L2NormSupports({*ctx->Zeros(DType::kBF16, {2, 4})}).ok());
  EXPECT_FALSE(L2NormSupports({*ctx->Zeros(DType::kF32, {2, 0})}).ok());
  EXPECT_FALSE(GatedRmsNormSupports({x, weight, weight}).ok());
  results.y = *ctx->Zeros(DType::kF32, {2, 12});
  EXPECT_FALSE(RmsNorm(*ctx, {x, weight}, &results).ok());
}

}  // namespace
}  // namespace lt2::kernels
