#include "evals/stats/distributions.h"

#include <cmath>

#include "gtest/gtest.h"

namespace lt2::evals {
namespace {

constexpr double kPi = 3.14159265358979323846;

TEST(Normal, QuantileMatchesTables) {
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-14);
  EXPECT_NEAR(NormalQuantile(0.8), 0.8416212335729143, 1e-14);
  EXPECT_NEAR(NormalQuantile(0.995), 2.5758293035489004, 1e-14);
  EXPECT_EQ(NormalQuantile(0.5), 0.0);
}

TEST(Normal, QuantileInvertsTheDistributionFarIntoTheTail) {
  for (double p : {1e-300, 1e-20, 1e-5, 0.01, 0.3, 0.49999}) {
    EXPECT_NEAR(NormalCdf(NormalQuantile(p)) / p, 1, 1e-12) << p;
  }
  EXPECT_NEAR(NormalQuantile(0.99) + NormalQuantile(0.01), 0, 1e-13);
}

TEST(IncompleteBeta, MatchesBinomialSums) {
  // I_x(k, n-k+1) = P(Binomial(n, x) >= k)
  for (int n : {1, 2, 5, 13}) {
    for (int k = 1; k <= n; ++k) {
      for (double x : {0.0, 1e-6, 0.1, 0.5, 0.77, 0.999, 1.0}) {
        double sum = 0;
        for (int i = k; i <= n; ++i) {
          double binomial = 1;
          for (int j = 0; j < i; ++j) binomial = binomial * (n - j) / (j + 1);
          sum += binomial * std::pow(x, i) * std::pow(1 - x, n - i);
        }
        EXPECT_NEAR(IncompleteBeta(k, n - k + 1, x), sum, 1e-13)
            << n << " " << k << " " << x;
      }
    }
  }
}

TEST(StudentT, MatchesClosedForms) {
  for (double t : {-30.0, -3.0, -0.5, 0.0, 0.1, 1.0, 12.0}) {
    EXPECT_NEAR(StudentTCdf(t, 1), 0.5 + std::atan(t) / kPi, 1e-14);
    EXPECT_NEAR(StudentTCdf(t, 2), 0.5 + t / (2 * std::sqrt(2 + t * t)), 1e-14);
    const double u = t / std::sqrt(3);
    EXPECT_NEAR(StudentTCdf(t, 3), 0.5 + (u / (1 + u * u) + std::atan(u)) / kPi,
                1e-14);
    EXPECT_NEAR(StudentTCdf(t, 1e7), NormalCdf(t), 1e-6);
  }
  EXPECT_EQ(StudentTCdf(INFINITY, 3), 1);
  EXPECT_EQ(StudentTCdf(-INFINITY, 3), 0);
}

TEST(StudentT, MatchesTheIntegralOfItsDensity) {
  for (double degrees : {0.7, 4.5, 9.0, 37.0}) {
    const double scale =
        std::exp(std::lgamma((degrees + 1) / 2) - std::lgamma(degrees / 2)) /
        std::sqrt(degrees * kPi);
    const auto density = [&](double t) {
      return scale * std::pow(1 + t * t / degrees, -(degrees + 1) / 2);
    };
    const double t = 2.3;
    constexpr int kSteps = 2000;  // Simpson's rule on [0, t]
    double sum = density(0) + density(t);
    for (int i = 1; i < kSteps; ++i) {
      sum += (i % 2 == 1 ? 4 : 2) * density(t * i / kSteps);
    }
    EXPECT_NEAR(StudentTCdf(t, degrees), 0.5 + sum * t / kSteps / 3, 1e-11)
        << degrees;
  }
}

TEST(StudentT, QuantileMatchesTables) {
  EXPECT_NEAR(StudentTQuantile(0.975, 1), 12.706204736174698, 1e-9);
  EXPECT_NEAR(StudentTQuantile(0.975, 4), 2.7764451051977987, 1e-11);
  EXPECT_NEAR(StudentTQuantile(0.975, 30), 2.0422724563012373, 1e-11);
  EXPECT_NEAR(StudentTQuantile(0.05, 10), -1.8124611228107335, 1e-11);
}

TEST(LogBinomial, MatchesPascalsTriangle) {
  double row[40] = {1};
  for (int n = 0; n < 40; ++n) {
    for (int k = 0; k <= n; ++k) {
      EXPECT_NEAR(LogBinomial(n, k), std::log(row[k]), 1e-12 * (n + 1));
    }
    for (int k = n + 1; k > 0 && n < 39; --k) row[k] += row[k - 1];
  }
}

}  // namespace
}  // namespace lt2::evals
