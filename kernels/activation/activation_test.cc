#include "kernels/activation/activation.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/activation/activation_testing.h"
#include "kernels/activation/interleave_testing.h"

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

TEST(DecayGate, IsLinearForLargeAndExponentialForSmallInputs) {
  auto ctx = CpuContext();
  const Tensor a = ToTensor(*ctx, DType::kF32, {4, 1}, {1000, 100, -50, -80});
  const Tensor zero = *ctx->Zeros(DType::kF32, {1});
  Tensor g;
  ASSERT_TRUE(DecayGate(*ctx, {a, zero, zero}, &g).ok());
  const std::vector<double> values = ToDoubles(*ctx, g);
  EXPECT_EQ(values[0], -1000);
  EXPECT_EQ(values[1], -100);
  EXPECT_NEAR(values[2] / -std::exp(-50.0), 1, 1e-6);
  EXPECT_NEAR(values[3] / -std::exp(-80.0), 1, 1e-6);
}

TEST(Softplus, OfLogSigmoidArgsIsLinearFarBelowAndExponentialFarAbove) {
  auto ctx = CpuContext();
  const Tensor x = ToTensor(*ctx, DType::kF32, {4, 1}, {-1000, -99, 49, 79});
  const Tensor one = ToTensor(*ctx, DType::kF32, {1}, {1});
  Tensor g;
  ASSERT_TRUE(Softplus(*ctx, LogSigmoidArgs(x, one, 16), &g).ok());
  const std::vector<double> values = ToDoubles(*ctx, g);
  EXPECT_EQ(values[0], -999.0 / 16);
  EXPECT_EQ(values[1], -98.0 / 16);
  EXPECT_NEAR(values[2] / (-std::exp(-50.0) / 16), 1, 1e-6);
  EXPECT_NEAR(values[3] / (-std::exp(-80.0) / 16), 1, 1e-6);
}

// HGRN2's key 1 - e^g with g = logsigmoid(x), which in this form keeps its
// digits where e^g is close to 1.
TEST(Sigmoid, OfSlopeMinusOneIsOneMinusTheExponentialOfLogSigmoid) {
  auto ctx = CpuContext();
  const std::vector<double> inputs = {-30, -3, 0, 2, 20, 60};
  const Tensor x = ToTensor(*ctx, DType::kF32, {6}, inputs);
  Tensor k;
  ASSERT_TRUE(Sigmoid(*ctx, {x, 1.0f, DType::kF32, -1.0f}, &k).ok());
  const std::vector<double> values = ToDoubles(*ctx, k);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const double g = -std::log1p(std::exp(-inputs[i]));
    EXPECT_NEAR(values[i] / -std::expm1(g), 1, 1e-6) << inputs[i];
  }
}

// GDN's gate with the same rate for d_k channels is KDA's.
TEST(DecayGate, OfOneHeadPerChannelIsThatOfTheExpandedRates) {
  auto ctx = CpuContext();
  auto grouped =
      MakeActivationProblem(ActivationOp::kDecayGate, DType::kF32, 20, 12);
  auto expanded = grouped;
  grouped.in.p.resize(3);
  for (int c = 0; c < 12; ++c) expanded.in.p[c] = grouped.in.p[c / 4];
  const ActivationOutput one = RunActivation(*ctx, grouped);
  const ActivationOutput two = RunActivation(*ctx, expanded);
  EXPECT_EQ(one.y, two.y);
  EXPECT_EQ(one.da, two.da);
  EXPECT_EQ(one.dq, two.dq);
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

TEST(Cast, RoundsToNearestEvenAndBack) {
  auto ctx = CpuContext();
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> values = testing::Uniform(1, 1001, -100, 100);
  values.insert(values.end(), {1.00390625, 1.01171875, -0.0, inf, -inf});
  const int64_t n = values.size();
  const Tensor x = ToTensor(*ctx, DType::kF32, {n}, values);
  Tensor narrow, wide, same;
  ASSERT_TRUE(Cast(*ctx, {x, DType::kBF16}, &narrow).ok());
  ASSERT_TRUE(Cast(*ctx, {narrow, DType::kF32}, &wide).ok());
  EXPECT_EQ(wide.dtype(), DType::kF32);
  EXPECT_EQ(ToDoubles(*ctx, wide), testing::Rounded(DType::kBF16, values));
  ASSERT_TRUE(Cast(*ctx, {x, DType::kF32}, &same).ok());
  EXPECT_EQ(ToDoubles(*ctx, same), ToDoubles(*ctx, x));
  EXPECT_FALSE(CastSupports({x, DType::kI32}).ok());
}

TEST(Interleave, HasTheBitsOfTheDefinitionAndTakeEveryUndoesIt) {
  auto ctx = CpuContext(3);
  for (int64_t n : {1, 2, 3, 5}) {
    for (const Shape& shape :
         {Shape{1, 1}, Shape{2, 5}, Shape{2, 3, 1}, Shape{3, 70, 8},
          Shape{1, 7, 3, 5}, Shape{0, 4, 2}, Shape{2, 0, 2}, Shape{2, 4, 0}}) {
      ExpectInterleaves(*ctx, DType::kF32, shape, n);
    }
  }
}

// The transpose: <Interleave(x), z> = <x, TakeEvery(z)>.
TEST(Interleave, IsTheGradientOfTakeEvery) {
  auto ctx = CpuContext();
  const auto x = testing::Uniform(1, 2 * 3 * 4, -1, 1);
  const auto z = testing::Uniform(2, 2 * 9 * 4, -1, 1);
  Tensor y, w;
  ASSERT_TRUE(
      Interleave(*ctx, {ToTensor(*ctx, DType::kF32, {2, 3, 4}, x), 3, 1}, &y)
          .ok());
  ASSERT_TRUE(
      TakeEvery(*ctx, {ToTensor(*ctx, DType::kF32, {2, 9, 4}, z), 3, 1}, &w)
          .ok());
  auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  EXPECT_NEAR(dot(ToDoubles(*ctx, y), z), dot(x, ToDoubles(*ctx, w)), 1e-6);
}

// The gates of NSA's three branches, which are neighbours: [.., heads, 3].
TEST(TakeEvery, PicksOneOfInterleavedChannels) {
  auto ctx = CpuContext();
  const Tensor x =
      ToTensor(*ctx, DType::kF32, {1, 6, 1}, {0, 1, 2, 10, 11, 12});
  Tensor y;
  ASSERT_TRUE(TakeEvery(*ctx, {x, 3, 2}, &y).ok());
  EXPECT_EQ(ToDoubles(*ctx, y), (std::vector<double>{2, 12}));
}

TEST(Interleave, WrongArgumentsAreErrorsThatNameThem) {
  auto ctx = CpuContext();
  const Tensor x = *ctx->Zeros(DType::kF32, {2, 4});
  Tensor y;
  EXPECT_EQ(Interleave(*ctx, {x, 2, 2}, &y).message(),
            "Interleave: slot: expected 0 to 1, got 2");
  EXPECT_FALSE(InterleaveSupports({x, 0, 0}).ok());
  EXPECT_FALSE(InterleaveSupports({x, 2, -1}).ok());
  EXPECT_FALSE(InterleaveSupports({Tensor(), 2, 0}).ok());
  EXPECT_FALSE(InterleaveSupports({x.Reshape({8}), 2, 0}).ok());
  EXPECT_EQ(TakeEvery(*ctx, {x, 3, 0}, &y).message(),
            "TakeEvery: x: expected a length that is a multiple of 3, got "
            "f32[2, 4]@cpu");
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
