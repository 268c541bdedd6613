#include "bench/tracking/rank_tests.h"

#include <algorithm>
#include <cmath>

namespace lt2::bench {
namespace {

int Size(absl::Span<const double> values) {
  return static_cast<int>(values.size());
}

absl::Status CheckValues(const char* what, absl::Span<const double> values) {
  if (values.empty() || values.size() > kMostSamples) {
    return InvalidArgument(what, ": expected 1 to ", kMostSamples,
                           " values, got ", values.size());
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      return InvalidArgument(what, ": value ", i, " is ", values[i]);
    }
  }
  return absl::OkStatus();
}

std::vector<double> PairDifferences(absl::Span<const double> base,
                                    absl::Span<const double> head) {
  std::vector<double> differences;
  differences.reserve(base.size() * head.size());
  for (double b : base) {
    for (double h : head) differences.push_back(h - b);
  }
  return differences;
}

std::vector<double> WalshAverages(absl::Span<const double> values) {
  std::vector<double> averages;
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = i; j < values.size(); ++j) {
      averages.push_back(values[i] + (values[j] - values[i]) / 2);
    }
  }
  return averages;
}

// The interval from the k-th smallest to the k-th largest of `values`, with
// the largest k for which each side is left out with probability P(T < k) of
// at most (1 - confidence) / 2.
absl::StatusOr<ShiftInterval> RankInterval(
    std::vector<double> values, const std::vector<double>& distribution,
    double confidence) {
  if (!(confidence > 0 && confidence < 1)) {
    return InvalidArgument("expected a confidence in (0, 1), got ", confidence);
  }
  std::sort(values.begin(), values.end());
  double tail = distribution[0];
  size_t k = 1;
  while (k < (values.size() + 1) / 2 &&
         tail + distribution[k] <= (1 - confidence) / 2) {
    tail += distribution[k++];
  }
  return ShiftInterval{Median(values), values[k - 1], values[values.size() - k],
                       std::max(0.0, 1 - 2 * tail)};
}

// P(T >= the number of `values` above `shift`), T symmetric.
double TailAbove(const std::vector<double>& values,
                 const std::vector<double>& distribution, double shift) {
  size_t not_above = 0;
  for (double value : values) not_above += !(value > shift);
  double tail = 0;
  for (size_t i = 0; i <= not_above; ++i) tail += distribution[i];
  return std::min(1.0, tail);
}

}  // namespace

std::vector<double> MannWhitneyDistribution(int n, int m) {
  LT2_CHECK(n >= 0 && m >= 0 && n <= kMostSamples && m <= kMostSamples, n, " ",
            m);
  // rows[i] is the distribution of i and j samples; those of i or j = 0 are a
  // point at 0.
  std::vector<std::vector<double>> rows(n + 1, std::vector<double>{1.0});
  for (int j = 1; j <= m; ++j) {
    for (int i = 1; i <= n; ++i) {
      const double share_first = static_cast<double>(i) / (i + j);
      const double share_second = static_cast<double>(j) / (i + j);
      std::vector<double> next(i * j + 1);
      for (int u = 0; u <= (i - 1) * j; ++u) {
        next[u] += share_first * rows[i - 1][u];
      }
      for (int u = 0; u <= i * (j - 1); ++u) {
        next[u + i] += share_second * rows[i][u];
      }
      rows[i] = std::move(next);
    }
  }
  return rows[n];
}

std::vector<double> SignedRankDistribution(int n) {
  LT2_CHECK(n >= 0 && n <= kMostSamples, n);
  std::vector<double> current = {1.0};
  for (int rank = 1; rank <= n; ++rank) {
    std::vector<double> next(current.size() + rank);
    for (size_t w = 0; w < current.size(); ++w) {
      next[w] += current[w] / 2;
      next[w + rank] += current[w] / 2;
    }
    current = std::move(next);
  }
  return current;
}

std::vector<double> InversionsDistribution(int n) {
  LT2_CHECK(n >= 0 && n <= kMostSamples, n);
  std::vector<double> current = {1.0};
  for (int k = 2; k <= n; ++k) {
    std::vector<double> next(current.size() + k - 1);
    for (size_t v = 0; v < current.size(); ++v) {
      for (int more = 0; more < k; ++more) next[v + more] += current[v] / k;
    }
    current = std::move(next);
  }
  return current;
}

absl::StatusOr<ShiftInterval> TwoSampleShift(absl::Span<const double> base,
                                             absl::Span<const double> head,
                                             double confidence) {
  LT2_RETURN_IF_ERROR(CheckValues("base", base));
  LT2_RETURN_IF_ERROR(CheckValues("head", head));
  return RankInterval(PairDifferences(base, head),
                      MannWhitneyDistribution(Size(base), Size(head)),
                      confidence);
}

absl::StatusOr<ShiftInterval> PairedShift(absl::Span<const double> differences,
                                          double confidence) {
  LT2_RETURN_IF_ERROR(CheckValues("differences", differences));
  return RankInterval(WalshAverages(differences),
                      SignedRankDistribution(Size(differences)), confidence);
}

absl::StatusOr<double> TwoSampleAbove(absl::Span<const double> base,
                                      absl::Span<const double> head,
                                      double shift) {
  LT2_RETURN_IF_ERROR(CheckValues("base", base));
  LT2_RETURN_IF_ERROR(CheckValues("head", head));
  return TailAbove(PairDifferences(base, head),
                   MannWhitneyDistribution(Size(base), Size(head)), shift);
}

absl::StatusOr<double> PairedAbove(absl::Span<const double> differences,
                                   double shift) {
  LT2_RETURN_IF_ERROR(CheckValues("differences", differences));
  return TailAbove(WalshAverages(differences),
                   SignedRankDistribution(Size(differences)), shift);
}

absl::StatusOr<double> RisesTogether(absl::Span<const double> a,
                                     absl::Span<const double> b) {
  LT2_RETURN_IF_ERROR(CheckValues("a", a));
  LT2_RETURN_IF_ERROR(CheckValues("b", b));
  if (a.size() != b.size()) {
    return InvalidArgument("expected pairs, got ", a.size(), " and ", b.size());
  }
  const std::vector<double> distribution = InversionsDistribution(Size(a));
  int discordant = 0;  // ties are no evidence
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = i + 1; j < a.size(); ++j) {
      const bool together =
          (a[i] < a[j] && b[i] < b[j]) || (a[i] > a[j] && b[i] > b[j]);
      discordant += !together;
    }
  }
  double tail = 0;
  for (int v = 0; v <= discordant; ++v) tail += distribution[v];
  return std::min(1.0, tail);
}

double Quantile(std::vector<double> values, double q) {
  LT2_CHECK(!values.empty() && q >= 0 && q <= 1, values.size(), " ", q);
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double share = place - static_cast<double>(below);
  if (share == 0) return values[below];
  return (1 - share) * values[below] + share * values[above];
}

double Median(std::vector<double> values) {
  return Quantile(std::move(values), 0.5);
}

}  // namespace lt2::bench
