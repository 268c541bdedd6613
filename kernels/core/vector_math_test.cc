#include "kernels/core/vector_math.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace lt2 {
namespace {

// Distance from `actual` to `exact` in units in the last place of `exact`.
double Ulps(float actual, double exact) {
  const float rounded = static_cast<float>(exact);
  const double unit =
      std::nextafter(rounded, std::numeric_limits<float>::infinity()) - rounded;
  return std::fabs(actual - exact) / unit;
}

float FromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

TEST(Exp, IsWithinTwoUlpOverTheWholeRange) {
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 1009) {
    const float x = FromBits(static_cast<uint32_t>(bits));
    const double exact = std::exp(static_cast<double>(x));
    const float expected = static_cast<float>(exact);
    const float actual = Exp(x);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(actual));
    } else if (std::isinf(expected) || expected == 0) {
      ASSERT_EQ(actual, expected) << x;
    } else if (expected < std::numeric_limits<float>::max()) {
      ASSERT_LE(Ulps(actual, exact), 2.0) << x;
    }
  }
}

TEST(Exp, HasTheValuesOfStdExpAtTheEdges) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_EQ(Exp(-0.0f), 1.0f);
  EXPECT_EQ(Exp(infinity), infinity);
  EXPECT_EQ(Exp(-infinity), 0.0f);
  EXPECT_TRUE(std::isfinite(Exp(88.72283f)));
  EXPECT_EQ(Exp(88.72284f), infinity);
  EXPECT_EQ(Exp(-103.9f), std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(Exp(-104.0f), 0.0f);
}

TEST(Exp, SimdAndScalarGiveTheSameBits) {
  std::vector<float> x, y;
  for (int i = -20000; i < 20000; ++i) x.push_back(0.0057f * i);
  y.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = Exp(x[i]);
  for (size_t i = 0; i < x.size(); ++i) {
    volatile float one = x[i];
    ASSERT_EQ(y[i], Exp(one));
  }
}

TEST(Sigmoid, KeepsRelativePrecisionInBothTails) {
  for (float x = -87.0f; x < 100.0f; x += 0.0137f) {
    const double exact = 1 / (1 + std::exp(-static_cast<double>(x)));
    ASSERT_LE(Ulps(Sigmoid(x), exact), 4.0) << x;
  }
  EXPECT_EQ(Sigmoid(-1e30f), 0.0f);
  EXPECT_EQ(Sigmoid(1e30f), 1.0f);
  EXPECT_TRUE(std::isnan(Sigmoid(std::nanf(""))));
}

TEST(Softplus, IsExactForLargeMagnitudes) {
  for (float x = -87.0f; x < 100.0f; x += 0.0137f) {
    const double wide = x;
    const double exact = std::fmax(wide, 0) + std::log1p(std::exp(-fabs(wide)));
    ASSERT_LE(Ulps(Softplus(x), exact), 4.0) << x;
  }
  EXPECT_EQ(Softplus(1e30f), 1e30f);
  EXPECT_EQ(Softplus(-1e30f), 0.0f);
}

TEST(LaneSum, AddsEachTermOnce) {
  for (int64_t n = 0; n < 100; ++n) {
    const float sum =
        LaneSum(n, [](int64_t i) { return static_cast<float>(i); });
    EXPECT_EQ(sum, n * (n - 1) / 2);
  }
}

}  // namespace
}  // namespace lt2
