#include "bench/scaling/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lt2::bench {
namespace {

constexpr double kPi = 3.14159265358979323846;

// P(|T| <= t) with t = tan(theta) sqrt(dof).
double StudentCoverage(double theta, int dof) {
  const double sine = std::sin(theta), cosine = std::cos(theta);
  if (dof % 2 == 0) {
    double term = 1, sum = 1;
    for (int i = 2; i <= dof - 2; i += 2) {
      term *= cosine * cosine * (i - 1) / i;
      sum += term;
    }
    return sine * sum;
  }
  double term = cosine, sum = dof > 1 ? cosine : 0;
  for (int i = 3; i <= dof - 2; i += 2) {
    term *= cosine * cosine * (i - 1) / i;
    sum += term;
  }
  return 2 / kPi * (theta + sine * sum);
}

}  // namespace

absl::StatusOr<MedianInterval> MedianOf(std::vector<double> samples,
                                        double confidence) {
  if (samples.empty()) return InvalidArgument("the median of no samples");
  for (double sample : samples) {
    if (!std::isfinite(sample)) return InvalidArgument("a sample is ", sample);
  }
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  MedianInterval result;
  result.median = (samples[(n - 1) / 2] + samples[n / 2]) / 2;
  // The tail P(Binomial(n, 1/2) < k), in logarithms: 2^-n underflows.
  size_t k = 1;
  double tail = 0, coverage = 0;
  const double log_half = -static_cast<double>(n) * std::log(2.0);
  double log_choose = 0;  // of C(n, i)
  for (size_t i = 0; 2 * (i + 1) <= n + 1; ++i) {
    tail += std::exp(log_choose + log_half);
    const double covered = std::max(0.0, 1 - 2 * tail);
    if (i == 0) coverage = covered;
    if (covered >= confidence) {
      k = i + 1;
      coverage = covered;
    }
    log_choose +=
        std::log(static_cast<double>(n - i) / static_cast<double>(i + 1));
  }
  result.low = samples[k - 1];
  result.high = samples[n - k];
  result.coverage = coverage;
  return result;
}

double StudentQuantile(double confidence, int degrees_of_freedom) {
  LT2_CHECK(degrees_of_freedom >= 1);
  double low = 0, high = kPi / 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (StudentCoverage(middle, degrees_of_freedom) < confidence ? low : high) =
        middle;
  }
  return std::tan(low) * std::sqrt(static_cast<double>(degrees_of_freedom));
}

absl::StatusOr<PowerLaw> FitPowerLaw(const Points& points, double confidence) {
  const double n = static_cast<double>(points.size());
  if (points.size() < 2) {
    return InvalidArgument("an exponent needs 2 points, got ", points.size());
  }
  double mean_x = 0, mean_y = 0;
  for (const auto& [x, y] : points) {
    if (!(x > 0) || !(y > 0) || !std::isfinite(x) || !std::isfinite(y)) {
      return InvalidArgument("the point ", x, ", ", y, " is not positive");
    }
    mean_x += std::log(x) / n;
    mean_y += std::log(y) / n;
  }
  double xx = 0, xy = 0;
  for (const auto& [x, y] : points) {
    xx += (std::log(x) - mean_x) * (std::log(x) - mean_x);
    xy += (std::log(x) - mean_x) * (std::log(y) - mean_y);
  }
  if (!(xx > 0)) return InvalidArgument("all points have the same x");
  PowerLaw law;
  law.points = static_cast<int>(points.size());
  law.exponent = xy / xx;
  double half = std::numeric_limits<double>::infinity();
  if (points.size() > 2) {
    double rest = 0;
    for (const auto& [x, y] : points) {
      const double error =
          std::log(y) - mean_y - law.exponent * (std::log(x) - mean_x);
      rest += error * error;
    }
    half = StudentQuantile(confidence, law.points - 2) *
           std::sqrt(rest / (n - 2) / xx);
  }
  law.low = law.exponent - half;
  law.high = law.exponent + half;
  return law;
}

Points Largest(const Points& points, size_t n) {
  return points.size() <= n
             ? points
             : Points(points.end() - static_cast<int64_t>(n), points.end());
}

Crossover FindCrossover(const Points& base, const Points& other) {
  // log(other / base) over the common x.
  Points ratios;
  for (const auto& [x, y] : base) {
    for (const auto& [other_x, other_y] : other) {
      if (other_x == x) ratios.push_back({std::log(x), std::log(other_y / y)});
    }
  }
  Crossover result;
  if (ratios.empty()) return result;
  result.ratio = std::exp(ratios.back().second);
  result.outcome =
      ratios.back().second > 0 ? Crossover::kNever : Crossover::kAlways;
  if (result.outcome == Crossover::kNever) return result;
  for (size_t i = ratios.size() - 1; i > 0; --i) {
    const auto& [x0, y0] = ratios[i - 1];
    const auto& [x1, y1] = ratios[i];
    if (y0 <= 0) continue;
    result.outcome = Crossover::kReached;
    result.x = std::exp(x0 + (x1 - x0) * y0 / (y0 - y1));
    break;
  }
  return result;
}

std::string NameOf(Crossover::Outcome outcome) {
  switch (outcome) {
    case Crossover::kNever:
      return "never";
    case Crossover::kReached:
      return "reached";
    case Crossover::kAlways:
      return "always";
    case Crossover::kUnknown:
      break;
  }
  return "unknown";
}

}  // namespace lt2::bench
