// Transitions whose rank, spectrum and even entries are known.

#include "evals/probes/transition.h"

#include <cmath>
#include <numeric>

#include "evals/probes/svd.h"
#include "gtest/gtest.h"
#include "kernels/core/testing.h"

namespace lt2::evals {
namespace {

constexpr int64_t kDim = 8;

std::vector<double> Unit(std::vector<double> k) {
  double sum = 0;
  for (double x : k) sum += x * x;
  for (double& x : k) x /= std::sqrt(sum);
  return k;
}

std::vector<double> Axis(int64_t i) {
  std::vector<double> k(kDim);
  k[i] = 1;
  return k;
}

Spectrum Of(const Transition& t) {
  const auto spectrum = SpectrumOf(t);
  LT2_CHECK(spectrum.ok(), spectrum.status().ToString());
  return *spectrum;
}

TEST(Svd, KnownMatrices) {
  // diag(3, -2) beside a zero column; a rotation; rank one.
  const auto diagonal = SingularValues({3, 0, 0, 0, -2, 0}, 2, 3);
  ASSERT_TRUE(diagonal.ok());
  EXPECT_NEAR((*diagonal)[0], 3, 1e-14);
  EXPECT_NEAR((*diagonal)[1], 2, 1e-14);
  const auto rotation = SingularValues({0.6, -0.8, 0.8, 0.6}, 2, 2);
  ASSERT_TRUE(rotation.ok());
  EXPECT_NEAR((*rotation)[1], 1, 1e-14);
  const auto one = SingularValues({1, 2, 2, 4}, 2, 2);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(NumericalRank(*one, 1e-12), 1);
  EXPECT_NEAR((*one)[0], 5, 1e-14);
  EXPECT_FALSE(SingularValues({1, std::nan(""), 0, 1}, 2, 2).ok());
  EXPECT_TRUE(SingularValues({}, 0, 0)->empty());
}

TEST(Svd, EffectiveRankCountsEqualValuesAndIgnoresNothing) {
  EXPECT_NEAR(EffectiveRank({2, 2, 2}), 3, 1e-12);
  EXPECT_NEAR(EffectiveRank({5, 0, 0}), 1, 1e-12);
  EXPECT_EQ(EffectiveRank({0, 0}), 0);
  EXPECT_GT(EffectiveRank({1, 0.01}), 1);
  EXPECT_EQ(NumericalRank({0, 0}, 0.1), 0);
}

TEST(Transition, IdenticalKeysHaveRankOneHoweverManyLoops) {
  const std::vector<double> k = Unit(testing::Uniform(1, kDim));
  for (double beta : {1e-6, 0.3, 1.0, 1.7}) {
    Transition t(kDim);
    for (int loop = 1; loop <= 20; ++loop) {
      t.Apply(k, beta);
      EXPECT_EQ(Of(t).rank, 1) << beta << " " << loop;
      EXPECT_NEAR(Of(t).effective_rank, 1, 1e-9);
    }
  }
}

TEST(Transition, OrthogonalKeysHaveRankMinOfLoopsAndDim) {
  Transition t(kDim);
  EXPECT_EQ(Of(t).rank, 0);
  for (int64_t loop = 1; loop <= 2 * kDim; ++loop) {
    t.Apply(Axis((loop - 1) % kDim), 0.5);
    EXPECT_EQ(Of(t).rank, std::min(loop, kDim));
    if (loop <= kDim) {
      EXPECT_NEAR(Of(t).effective_rank, static_cast<double>(loop), 1e-9);
    }
  }
}

TEST(Transition, ReachesTheFullRankOfRandomKeysAndNeverMoreThanLoops) {
  Transition t(kDim);
  for (int64_t loop = 1; loop <= kDim + 2; ++loop) {
    t.Apply(Unit(testing::Uniform(100 + loop, kDim)), 0.9);
    EXPECT_EQ(Of(t).rank, std::min(loop, kDim));
  }
}

TEST(Transition, NearlyEqualKeysAreTellApartButDominatedByOne) {
  std::vector<double> a = Axis(0), b = Axis(0);
  b[1] = 1e-4;
  Transition t(kDim);
  t.Apply(a, 1);
  t.Apply(Unit(b), 1);
  EXPECT_EQ(Of(t).rank, 2);
  EXPECT_EQ(Of(t).rank_percent, 1);
}

TEST(Transition, NormIsAtMostOneForBetaUpToTwoAndMoreBeyond) {
  Transition decayed(kDim), plain(kDim), wrong(kDim);
  for (int loop = 0; loop < 12; ++loop) {
    const std::vector<double> k = Unit(testing::Uniform(loop, kDim));
    plain.Apply(k, 2.0 * (loop + 1) / 12);
    decayed.Apply(k, 1.5, {-0.1});
    wrong.Apply(k, 2.5);
  }
  EXPECT_LE(Of(plain).norm, 1 + 1e-12);
  EXPECT_LE(Of(decayed).norm, std::exp(-1.2) + 1e-12);
  EXPECT_LE(Of(decayed).norm_undecayed, 1 + 1e-12);
  // The check has teeth: with beta > 2 a factor's eigenvalue is below -1.
  EXPECT_GT(Of(wrong).norm, 1.01);
}

// Swaps entries i and j: I - 2 k k' with k = (e_i - e_j) / sqrt 2.
void Swap(int64_t i, int64_t j, Transition* t) {
  std::vector<double> k = Axis(i);
  k[j] = -1;
  t->Apply(Unit(k), 2);
}

TEST(Transition, TranspositionsMakeAnyPermutationInDimMinusOneLoops) {
  // The cycle i -> i + 1 needs dim - 1 transpositions, no fewer.
  Transition t(kDim);
  for (int64_t i = 0; i + 1 < kDim; ++i) Swap(i, i + 1, &t);
  for (int64_t row = 0; row < kDim; ++row) {
    for (int64_t column = 0; column < kDim; ++column) {
      EXPECT_NEAR(t.a()[row * kDim + column], column == (row + 1) % kDim, 1e-14)
          << row << " " << column;
    }
  }
  EXPECT_EQ(Of(t).rank, kDim - 1);
  EXPECT_NEAR(Of(t).norm, 1, 1e-12);
}

TEST(Transition, LaterLoopsMultiplyFromTheLeft) {
  // (0 1) first, then (1 2): a row vector's view of S_3 is not abelian.
  Transition a(kDim), b(kDim);
  Swap(0, 1, &a);
  Swap(1, 2, &a);
  Swap(1, 2, &b);
  Swap(0, 1, &b);
  // e_0 -> e_1 -> e_2 in a; e_0 -> e_0 -> e_1 in b.
  EXPECT_NEAR(a.a()[2 * kDim + 0], 1, 1e-14);
  EXPECT_NEAR(b.a()[1 * kDim + 0], 1, 1e-14);
}

TEST(Transition, DecayComesBeforeTheReflectionAndScalesChannels) {
  std::vector<double> g(kDim, 0.0);
  g[0] = std::log(0.5);
  Transition t(kDim);
  std::vector<double> k = Axis(0);
  k[1] = 1;
  t.Apply(Unit(k), 1, g);
  // (I - k k') Diag(1/2, 1, ..): column 0 halved, not row 0.
  EXPECT_NEAR(t.a()[0 * kDim + 0], 0.25, 1e-14);
  EXPECT_NEAR(t.a()[0 * kDim + 1], -0.5, 1e-14);
  EXPECT_NEAR(t.a()[1 * kDim + 0], -0.25, 1e-14);
  // The rank looks at the undecayed product.
  EXPECT_EQ(Of(t).rank, 1);
}

}  // namespace
}  // namespace lt2::evals
