#include "evals/stats/distributions.h"

#include <math.h>  // lgamma_r: std::lgamma writes a global

#include <cmath>
#include <limits>

#include "kernels/core/status.h"

namespace lt2::evals {
namespace {

double LogGamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

// The x with cdf(x) = p for an increasing cdf that is symmetric about 0, by
// bisection to the last bit. Works in the lower tail, where cdf keeps its
// relative precision.
template <typename Cdf>
double SymmetricQuantile(double p, const Cdf& cdf) {
  LT2_CHECK(p > 0 && p < 1, "probability ", p);
  if (p == 0.5) return 0.0;
  const double tail = p < 0.5 ? p : 1.0 - p;
  double low = -1.0, high = 0.0;
  while (cdf(low) > tail) {
    high = low;
    low *= 2;
  }
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (cdf(middle) < tail ? low : high) = middle;
  }
  return p < 0.5 ? high : -high;
}

}  // namespace

double NormalCdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }

double NormalQuantile(double p) { return SymmetricQuantile(p, NormalCdf); }

double IncompleteBeta(double a, double b, double x) {
  LT2_CHECK(a > 0 && b > 0 && x >= 0 && x <= 1, a, " ", b, " ", x);
  if (x == 0 || x == 1) return x;
  // The fraction converges where x is below the mean.
  if (x > (a + 1) / (a + b + 2)) return 1 - IncompleteBeta(b, a, 1 - x);
  constexpr double kTiny = 1e-300;
  constexpr int kMaxTerms = 100000;
  double c = 1;
  double d = 1 / (1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m < kMaxTerms; ++m) {
    const auto step = [&](double numerator) {
      d = 1 + numerator * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + numerator / c;
      if (std::abs(c) < kTiny) c = kTiny;
      fraction *= c * d;
      return std::abs(c * d - 1);
    };
    step(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    const double change =
        step(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)));
    if (change < 2 * std::numeric_limits<double>::epsilon()) break;
  }
  const double log_front = a * std::log(x) + b * std::log1p(-x) +
                           LogGamma(a + b) - LogGamma(a) - LogGamma(b);
  return std::exp(log_front) * fraction / a;
}

double StudentTCdf(double t, double degrees) {
  LT2_CHECK(degrees > 0, "degrees of freedom ", degrees);
  if (std::isinf(t)) return t < 0 ? 0 : 1;
  const double tail =
      0.5 * IncompleteBeta(degrees / 2, 0.5, degrees / (degrees + t * t));
  return t < 0 ? tail : 1 - tail;
}

double StudentTQuantile(double p, double degrees) {
  return SymmetricQuantile(
      p, [degrees](double t) { return StudentTCdf(t, degrees); });
}

double LogBinomial(int64_t n, int64_t k) {
  LT2_CHECK(0 <= k && k <= n, k, " of ", n);
  const double dn = static_cast<double>(n), dk = static_cast<double>(k);
  return LogGamma(dn + 1) - LogGamma(dk + 1) - LogGamma(dn - dk + 1);
}

}  // namespace lt2::evals
