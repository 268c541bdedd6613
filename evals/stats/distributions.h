// The few distributions that intervals and tests need, to double precision.

#ifndef LT2_EVALS_STATS_DISTRIBUTIONS_H_
#define LT2_EVALS_STATS_DISTRIBUTIONS_H_

#include <cstdint>

namespace lt2::evals {

// P(Z <= x) of the standard normal, and its inverse for p in (0, 1).
double NormalCdf(double x);
double NormalQuantile(double p);

// The regularised incomplete beta function I_x(a, b), a, b > 0, 0 <= x <= 1:
// the continued fraction of Abramowitz and Stegun 26.5.8, by Lentz's method.
double IncompleteBeta(double a, double b, double x);

// Student's t with `degrees` > 0 degrees of freedom (not only integers):
// P(T <= t) = 1 - I_{v/(v+t^2)}(v/2, 1/2) / 2 for t >= 0 (A&S 26.7.1).
double StudentTCdf(double t, double degrees);
double StudentTQuantile(double p, double degrees);

// ln C(n, k) for 0 <= k <= n.
double LogBinomial(int64_t n, int64_t k);

}  // namespace lt2::evals

#endif  // LT2_EVALS_STATS_DISTRIBUTIONS_H_
