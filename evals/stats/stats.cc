#include "evals/stats/stats.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "evals/stats/distributions.h"

namespace lt2::evals {
namespace {

absl::Status CheckConfidence(double confidence) {
  if (confidence > 0 && confidence < 1) return absl::OkStatus();
  return InvalidArgument("expected a confidence in (0, 1), got ", confidence);
}

struct Moments {
  double n = 0, mean = 0;
  double variance = 0;  // unbiased; 0 for one value
};

absl::StatusOr<Moments> MomentsOf(absl::Span<const double> values,
                                  int64_t at_least) {
  if (static_cast<int64_t>(values.size()) < at_least) {
    return InvalidArgument("expected at least ", at_least, " values, got ",
                           values.size());
  }
  Moments moments;
  moments.n = static_cast<double>(values.size());
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return InvalidArgument("value ", i, " is ", values[i]);
    }
    sum += values[i];
  }
  moments.mean = sum / moments.n;
  double squares = 0;
  for (double value : values) {
    squares += (value - moments.mean) * (value - moments.mean);
  }
  if (values.size() > 1) moments.variance = squares / (moments.n - 1);
  return moments;
}

}  // namespace

absl::StatusOr<Interval> WilsonInterval(int64_t successes, int64_t n,
                                        double confidence) {
  LT2_RETURN_IF_ERROR(CheckConfidence(confidence));
  if (n < 1 || successes < 0 || successes > n) {
    return InvalidArgument("expected 0 <= successes <= n and n >= 1, got ",
                           successes, " of ", n);
  }
  const double z = NormalQuantile(0.5 + confidence / 2);
  const double dn = static_cast<double>(n);
  const double p = static_cast<double>(successes) / dn;
  const double scale = 1 + z * z / dn;
  const double centre = (p + z * z / (2 * dn)) / scale;
  const double half =
      z * std::sqrt(p * (1 - p) / dn + z * z / (4 * dn * dn)) / scale;
  // The ends at k = 0 and k = n are exact, whatever the rounding.
  const double low = successes == 0 ? 0.0 : std::max(0.0, centre - half);
  const double high = successes == n ? 1.0 : std::min(1.0, centre + half);
  return Interval{p, low, high};
}

absl::StatusOr<Interval> MeanInterval(absl::Span<const double> values,
                                      double confidence) {
  LT2_RETURN_IF_ERROR(CheckConfidence(confidence));
  LT2_ASSIGN_OR_RETURN(const Moments m, MomentsOf(values, 1));
  if (values.size() == 1) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return Interval{m.mean, -kInfinity, kInfinity};
  }
  const double half = StudentTQuantile(0.5 + confidence / 2, m.n - 1) *
                      std::sqrt(m.variance / m.n);
  return Interval{m.mean, m.mean - half, m.mean + half};
}

absl::StatusOr<Interval> WelchDifference(absl::Span<const double> a,
                                         absl::Span<const double> b,
                                         double confidence) {
  LT2_RETURN_IF_ERROR(CheckConfidence(confidence));
  LT2_ASSIGN_OR_RETURN(const Moments ma, MomentsOf(a, 2));
  LT2_ASSIGN_OR_RETURN(const Moments mb, MomentsOf(b, 2));
  const double difference = mb.mean - ma.mean;
  const double va = ma.variance / ma.n, vb = mb.variance / mb.n;
  if (va + vb == 0) return Interval{difference, difference, difference};
  // By shares of the variance, which cannot overflow or vanish.
  const double sa = va / (va + vb), sb = vb / (va + vb);
  const double degrees = 1 / (sa * sa / (ma.n - 1) + sb * sb / (mb.n - 1));
  const double half =
      StudentTQuantile(0.5 + confidence / 2, degrees) * std::sqrt(va + vb);
  return Interval{difference, difference - half, difference + half};
}

absl::StatusOr<McNemarResult> McNemar(int64_t only_base, int64_t only_head,
                                      int64_t n, double confidence) {
  LT2_RETURN_IF_ERROR(CheckConfidence(confidence));
  if (n < 1 || only_base < 0 || only_head < 0 || only_base > n ||
      only_head > n - only_base) {
    return InvalidArgument("expected b, c >= 0, b + c <= n and n >= 1, got b=",
                           only_base, ", c=", only_head, ", n=", n);
  }
  const double b = static_cast<double>(only_base);
  const double c = static_cast<double>(only_head);
  const double dn = static_cast<double>(n);
  McNemarResult result;
  const double difference = (c - b) / dn;
  result.standard_error = std::sqrt((b + c) - (b - c) * (b - c) / dn) / dn;
  const double half =
      NormalQuantile(0.5 + confidence / 2) * result.standard_error;
  result.difference = {difference, difference - half, difference + half};
  result.detectable = MinimumDetectableDifference((b + c) / dn, n);

  // Terms from the largest down: term(i-1) = term(i) i / (m - i + 1).
  const int64_t m = only_base + only_head;
  const int64_t k = std::min(only_base, only_head);
  double term = 1, sum = 0;
  for (int64_t i = k; i >= 0; --i) {
    sum += term;
    if (term < sum * 1e-18) break;
    term *= static_cast<double>(i) / static_cast<double>(m - i + 1);
  }
  const double log_largest =
      LogBinomial(m, k) - static_cast<double>(m) * std::log(2.0);
  result.p_value = std::min(1.0, 2 * sum * std::exp(log_largest));
  return result;
}

absl::StatusOr<FisherResult> FisherExact(int64_t a, int64_t b, int64_t c,
                                         int64_t d) {
  constexpr int64_t kMost = int64_t{1} << 40;  // so that sums do not overflow
  for (int64_t count : {a, b, c, d}) {
    if (count < 0 || count > kMost) {
      return InvalidArgument("expected counts in [0, 2^40], got ", a, ", ", b,
                             ", ", c, ", ", d);
    }
  }
  const int64_t row = a + b, column = a + c, n = a + b + c + d;
  const int64_t first = std::max<int64_t>(0, row + column - n);
  const int64_t last = std::min(row, column);
  // ln P(x) = ln C(column, x) C(n - column, row - x) / C(n, row)
  const double whole = LogBinomial(n, row);
  const auto log_probability = [&](int64_t x) {
    return LogBinomial(column, x) + LogBinomial(n - column, row - x) - whole;
  };
  // Tables that are equally likely must not be told apart by rounding.
  const double observed = log_probability(a) + 1e-7;
  FisherResult result{0, 0, 0};
  for (int64_t x = first; x <= last; ++x) {
    const double log_p = log_probability(x);
    const double p = std::exp(log_p);
    if (log_p <= observed) result.two_sided += p;
    if (x <= a) result.less += p;
    if (x >= a) result.greater += p;
  }
  result.two_sided = std::min(1.0, result.two_sided);
  result.less = std::min(1.0, result.less);
  result.greater = std::min(1.0, result.greater);
  return result;
}

absl::StatusOr<std::vector<double>> AdjustForFalseDiscoveries(
    absl::Span<const double> p_values) {
  const size_t n = p_values.size();
  std::vector<size_t> order(n);
  for (size_t i = 0; i < n; ++i) {
    if (!(p_values[i] >= 0 && p_values[i] <= 1)) {
      return InvalidArgument("p-value ", i, " is ", p_values[i]);
    }
    order[i] = i;
  }
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return p_values[a] > p_values[b]; });
  std::vector<double> adjusted(n);
  double least = 1;
  for (size_t place = 0; place < n; ++place) {  // the largest p-value first
    const size_t i = order[place];
    least = std::min(least, p_values[i] * static_cast<double>(n) /
                                static_cast<double>(n - place));
    adjusted[i] = least;
  }
  return adjusted;
}

double MinimumDetectableDifference(double discordance, int64_t n) {
  LT2_CHECK(n >= 1 && discordance >= 0, discordance, " of ", n);
  return 2.8 * std::sqrt(discordance / static_cast<double>(n));
}

}  // namespace lt2::evals
