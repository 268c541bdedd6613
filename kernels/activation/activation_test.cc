#include "kernels/activation/activation.h"

#include <cmath>

#include "gtest/gtest.h"
#include "kernels/activation/activation_testing.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::ContractPool;
using ::lt2::testing::CpuContext;
using ::lt2::testing::FiniteDifferences;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Near;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;

TEST(ActivationReference, GradientIsTheFiniteDifference) {
  for (const auto& problem : AllActivationProblems(DType::kF32, 4, 6)) {
    SCOPED_TRACE(problem.ToString());
    const ActivationInput& in = problem.in;
    auto difference = [&](std::vector<double> ActivationInput::*which) {
      return FiniteDifferences(
          [&](const std::vector<double>& values) {
            ActivationInput moved = in;
            moved.*which = values;
            const auto y = ActivationReference<double>(problem.op, moved).y;
            double loss = 0;
            for (size_t i = 0; i < y.size(); ++i) loss += in.dy[i] * y[i];
            return loss;
          },
          in.*which);
    };
    const ActivationOutput out = ActivationReference<double>(problem.op, in);
    EXPECT_TRUE(Near(difference(&ActivationInput::a), out.da, 1e-8));
    EXPECT_TRUE(Near(difference(&ActivationInput::b), out.db, 1e-8));
    EXPECT_TRUE(Near(difference(&ActivationInput::p), out.dp, 1e-8));
    EXPECT_TRUE(Near(difference(&ActivationInput::q), out.dq, 1e-8));
    EXPECT_TRUE(Near(difference(&ActivationInput::r), out.dr, 1e-8));
  }
}

TEST(Activation, MeetsTheContractForAnyShape) {
  auto ctx = CpuContext(2);
  ContractPool pool;
  for (int64_t dim : {1, 2, 7, 8, 9, 31, 64, 65}) {
    for (int64_t rows : {1, 3, 63, 64, 65, 200}) {
      for (const auto& p : AllActivationProblems(DType::kF32, rows, dim)) {
        AddToPool(p, RunActivation(*ctx, p), &pool);
      }
    }
  }
  pool.Check();
}

TEST(Activation, MeetsTheContractForExtremeValues) {
  auto ctx = CpuContext();
  for (double scale : {0.0, 1e-20, 1e-3, 30.0, 85.0}) {
    ContractPool pool;
    for (const auto& p : AllActivationProblems(DType::kF32, 50, 8, scale)) {
      AddToPool(p, RunActivation(*ctx, p), &pool);
    }
    pool.Check();
  }
}

TEST(Activation, SaturatesWithoutNaN) {
  auto ctx = CpuContext();
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

TEST(Activation, ResultsMayOverwriteTheFirstInput) {
  auto ctx = CpuContext();
  for (const auto& problem : AllActivationProblems(DType::kF32, 37, 12)) {
    EXPECT_EQ(RunActivation(*ctx, problem).y,
              RunActivation(*ctx, problem, false, true).y);
  }
}

// Each wrong formula must fail the assertion that the operators pass.
TEST(Activation, ContractRejectsWrongFormulas) {
  auto rejects = [](ActivationOp op,
                    std::vector<double> ActivationOutput::*which,
                    double (*wrong)(const ActivationInput&, size_t),
                    int64_t groups = 8, double slope = 1) {
    ActivationInput in = MakeActivationProblem(op, DType::kF32, 50, 8).in;
    in.p.resize(groups);
    in.slope = slope;
    const auto exact = ActivationReference<double>(op, in);
    const auto plain = ActivationReference<float>(op, in);
    std::vector<double> values;
    for (size_t i = 0; i < in.a.size(); ++i) values.push_back(wrong(in, i));
    EXPECT_FALSE(MeetsContract(values, plain.*which, exact.*which, DType::kF32))
        << ActivationOpName(op);
  };
  static const auto sg = [](double x) { return 1 / (1 + std::exp(-x)); };
  rejects(ActivationOp::kSilu, &ActivationOutput::y,  // tanh form of GELU
          [](const ActivationInput& in, size_t i) {
            return in.a[i] * sg(1.702 * in.a[i]);
          });
  rejects(ActivationOp::kSilu, &ActivationOutput::da,  // no second term
          [](const ActivationInput& in, size_t i) {
            return in.dy[i] * sg(in.a[i]);
          });
  rejects(ActivationOp::kSigmoid, &ActivationOutput::da,  // scale forgotten
          [](const ActivationInput& in, size_t i) {
            return in.dy[i] * sg(in.a[i]) * (1 - sg(in.a[i]));
          });
  rejects(ActivationOp::kSwiGlu, &ActivationOutput::y,  // roles exchanged
          [](const ActivationInput& in, size_t i) {
            return in.b[i] * sg(in.b[i]) * in.a[i];
          });
  rejects(ActivationOp::kSigmoidGate, &ActivationOutput::db,
          [](const ActivationInput& in, size_t i) {
            return in.dy[i] * in.a[i] * sg(in.b[i]);
          });
  rejects(ActivationOp::kScaledAdd, &ActivationOutput::y,  // next channel's rho
          [](const ActivationInput& in, size_t i) {
            return in.a[i] + in.p[(i + 1) % in.dim] * in.b[i];
          });
  rejects(ActivationOp::kDecayGate, &ActivationOutput::y,  // ReLU for softplus
          [](const ActivationInput& in, size_t i) {
            const double z = in.a[i] + in.q[i % in.dim];
            return -std::exp(in.p[i % in.dim]) * std::fmax(z, 0);
          });
  static const auto softplus = [](double z) { return std::log1p(std::exp(z)); };
  rejects(
      ActivationOp::kDecayGate, &ActivationOutput::y,  // heads interleaved
      [](const ActivationInput& in, size_t i) {
        const double z = in.a[i] + in.q[i % in.dim];
        return -std::exp(in.p[i % 2]) * softplus(z);
      },
      2);
  rejects(
      ActivationOp::kScaledAdd, &ActivationOutput::db,  // groups interleaved
      [](const ActivationInput& in, size_t i) {
        return in.dy[i] * in.p[i % 2];
      },
      2);
  rejects(
      ActivationOp::kSigmoid, &ActivationOutput::da,  // slope forgotten
      [](const ActivationInput& in, size_t i) {
        return in.dy[i] * in.scale * sg(in.a[i]) * (1 - sg(in.a[i]));
      },
      8, -1);
  rejects(
      ActivationOp::kMultiply, &ActivationOutput::da,  // the other factor
      [](const ActivationInput& in, size_t i) { return in.dy[i] * in.a[i]; });
  rejects(ActivationOp::kScaleRows, &ActivationOutput::y,  // the next row's s
          [](const ActivationInput& in, size_t i) {
            return in.a[i] * in.r[(i / in.dim + 1) % in.r.size()];
          });
  rejects(ActivationOp::kAddBias, &ActivationOutput::y,  // next channel's bias
          [](const ActivationInput& in, size_t i) {
            return in.a[i] + in.q[(i + 1) % in.dim];
          });
  rejects(
      ActivationOp::kSoftplus, &ActivationOutput::y,  // slope but for the bias
      [](const ActivationInput& in, size_t i) {
        return in.scale * softplus(in.slope * in.a[i] + in.q[i % in.dim]);
      },
      8, -1);
}

TEST(Activation, SameBitsForAnyNumberOfThreadsAndEveryTime) {
  for (const auto& problem : AllActivationProblems(DType::kF32, 700, 33)) {
    const ActivationOutput one = RunActivation(*CpuContext(1), problem);
    for (int threads : {1, 3}) {
      const auto other = RunActivation(*CpuContext(threads), problem);
      EXPECT_EQ(one.y, other.y);
      EXPECT_EQ(one.da, other.da);
      EXPECT_EQ(one.db, other.db);
      EXPECT_EQ(one.dp, other.dp);
      EXPECT_EQ(one.dq, other.dq);
      EXPECT_EQ(one.dr, other.dr);
    }
  }
}

TEST(Activation, NoRowsGiveEmptyResultsAndZeroParameterGradients) {
  auto ctx = CpuContext();
  for (const auto& problem : AllActivationProblems(DType::kF32, 0, 3)) {
    const auto out = RunActivation(*ctx, problem);
    EXPECT_TRUE(out.y.empty());
    for (const auto& values : {out.dp, out.dq}) {
      for (double v : values) EXPECT_EQ(v, 0);
    }
  }
}

TEST(Activation, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {2, 4});
  const Tensor other = *ctx->Zeros(DType::kF32, {2, 5});
  const Tensor bf16 = *ctx->Zeros(DType::kBF16, {2, 4});
  const Tensor vector = *ctx->Zeros(DType::kF32, {4});
  Tensor y;
  EXPECT_EQ(Silu(*ctx, {}, &y).message(),
            "Silu: x: expected a tensor, got undefined");
  EXPECT_EQ(Silu(*ctx, {bf16}, &y).message(),
            "Silu: x: expected f32, or bf16 on cuda, got bf16[2, 4]@cpu");
  EXPECT_FALSE(SiluGradSupports({x, other}).ok());
  EXPECT_FALSE(SigmoidSupports({x, 1.0f, DType::kBF16}).ok());
  EXPECT_FALSE(SigmoidGradSupports({x, other}).ok());
  EXPECT_FALSE(AddSupports({x, other}).ok());
  EXPECT_FALSE(SwiGluSupports({x, other}).ok());
  EXPECT_FALSE(SwiGluGradSupports({x, x, other}).ok());
  EXPECT_FALSE(SigmoidGateSupports({x, other}).ok());
  EXPECT_FALSE(SigmoidGateGradSupports({x, other, x}).ok());
  EXPECT_TRUE(ScaledAddSupports({x, x, vector}).ok());
  EXPECT_FALSE(ScaledAddSupports({x, x, x}).ok());
  EXPECT_FALSE(ScaledAddGradSupports({x, Tensor(), x}).ok());
  EXPECT_TRUE(DecayGateSupports({x, vector, vector}).ok());
  EXPECT_FALSE(DecayGateSupports({x, vector, x}).ok());
  EXPECT_FALSE(DecayGateGradSupports({x, vector, vector, other}).ok());
  const Tensor two = *ctx->Zeros(DType::kF32, {2});
  const Tensor three = *ctx->Zeros(DType::kF32, {3});
  EXPECT_TRUE(ScaledAddSupports({x, x, two}).ok());
  EXPECT_EQ(ScaledAdd(*ctx, {x, x, three}, &y).message(),
            "ScaledAdd: rho: expected f32[4]@cpu, got f32[3]@cpu");
  EXPECT_TRUE(DecayGateSupports({x, two, vector}).ok());
  EXPECT_FALSE(DecayGateSupports({x, three, vector}).ok());
  EXPECT_FALSE(DecayGateSupports({x, two, two}).ok());
  EXPECT_FALSE(MultiplySupports({x, other}).ok());
  EXPECT_FALSE(MultiplyGradSupports({x, x, other}).ok());
  EXPECT_TRUE(ScaleRowsSupports({x, two}).ok());
  EXPECT_EQ(ScaleRows(*ctx, {x, three}, &y).message(),
            "ScaleRows: s: expected one value for each of 2 rows of x, got "
            "f32[3]@cpu");
  EXPECT_FALSE(ScaleRowsSupports({x, Tensor()}).ok());
  EXPECT_FALSE(ScaleRowsGradSupports({x, two, other}).ok());
  EXPECT_TRUE(AddBiasSupports({x, vector}).ok());
  EXPECT_FALSE(AddBiasSupports({x, Tensor()}).ok());
  EXPECT_FALSE(AddBiasGradSupports({bf16}).ok());
  EXPECT_TRUE(SoftplusSupports({x}).ok());
  EXPECT_FALSE(SoftplusSupports({x, two}).ok());
  EXPECT_FALSE(SoftplusGradSupports({{x, vector}, other}).ok());
  y = other;
  EXPECT_FALSE(Silu(*ctx, {x}, &y).ok());
}

}  // namespace
}  // namespace lt2::kernels
