#include <algorithm>
#include <cmath>
#include <vector>

#include "evals/stats/stats.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

// Keeps these draws apart from other uses of the same seed.
constexpr uint32_t kBootstrapStream = 0xB0075724;

absl::Status CheckSide(absl::string_view side,
                       absl::Span<const double> numerators,
                       absl::Span<const double> denominators) {
  if (numerators.size() != denominators.size()) {
    return InvalidArgument(side, numerators.size(), " numerators, but ",
                           denominators.size(), " denominators");
  }
  for (size_t i = 0; i < numerators.size(); ++i) {
    const double num = numerators[i], den = denominators[i];
    if (!std::isfinite(num) || !std::isfinite(den) || den < 0 ||
        (den == 0 && num != 0)) {
      return InvalidArgument(side, "example ", i, " is ", num, " / ", den);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const BootstrapOptions& options) {
  if (options.resamples < 1 ||
      !(options.confidence > 0 && options.confidence < 1)) {
    return InvalidArgument(
        "expected resamples >= 1 and a confidence in (0, 1), got ",
        options.resamples, " and ", options.confidence);
  }
  return absl::OkStatus();
}

// Type 7 of Hyndman and Fan.
double Quantile(const std::vector<double>& sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double share = place - static_cast<double>(below);
  return sorted[below] + share * (sorted[below + 1] - sorted[below]);
}

// What one item adds to the sums of one or two sides.
struct Item {
  double num_a, den_a, num_b, den_b;
};

// statistic(sums) over resampled items.
template <typename Statistic>
absl::StatusOr<PairedDifference> Bootstrap(const std::vector<Item>& items,
                                           const BootstrapOptions& options,
                                           const Statistic& statistic) {
  if (items.empty()) {
    return InvalidArgument("no example with a denominator above 0");
  }
  const auto add = [](Item& sum, const Item& item) {
    sum.num_a += item.num_a;
    sum.den_a += item.den_a;
    sum.num_b += item.num_b;
    sum.den_b += item.den_b;
  };
  Item all{};
  for (const Item& item : items) add(all, item);
  const int64_t n = static_cast<int64_t>(items.size());
  std::vector<double> resampled(options.resamples);
  for (int r = 0; r < options.resamples; ++r) {
    Philox rng(options.seed, static_cast<uint64_t>(r), kBootstrapStream);
    Item sum{};
    for (int64_t i = 0; i < n; ++i) add(sum, items[rng.Below(n)]);
    resampled[r] = statistic(sum);
  }
  std::sort(resampled.begin(), resampled.end());
  const double tail = (1 - options.confidence) / 2;
  PairedDifference result;
  result.estimate = statistic(all);
  result.low = Quantile(resampled, tail);
  result.high = Quantile(resampled, 1 - tail);
  const auto [first, last] =
      std::equal_range(resampled.begin(), resampled.end(), 0.0);
  const int64_t smaller =
      std::min(last - resampled.begin(), resampled.end() - first);
  result.p_value = std::min(
      1.0, 2.0 * static_cast<double>(1 + smaller) / (1.0 + options.resamples));
  return result;
}

}  // namespace

absl::StatusOr<Interval> RatioBootstrap(absl::Span<const double> numerators,
                                        absl::Span<const double> denominators,
                                        const BootstrapOptions& options) {
  LT2_RETURN_IF_ERROR(CheckOptions(options));
  LT2_RETURN_IF_ERROR(CheckSide("", numerators, denominators));
  std::vector<Item> items;
  for (size_t i = 0; i < numerators.size(); ++i) {
    if (denominators[i] == 0) continue;
    items.push_back({numerators[i], denominators[i], 0, 0});
  }
  LT2_ASSIGN_OR_RETURN(const PairedDifference result,
                       Bootstrap(items, options, [](const Item& sum) {
                         return sum.num_a / sum.den_a;
                       }));
  return static_cast<const Interval&>(result);
}

absl::StatusOr<PairedDifference> PairedRatioBootstrap(
    absl::Span<const double> numerators_a,
    absl::Span<const double> denominators_a,
    absl::Span<const double> numerators_b,
    absl::Span<const double> denominators_b, const BootstrapOptions& options) {
  LT2_RETURN_IF_ERROR(CheckOptions(options));
  LT2_RETURN_IF_ERROR(CheckSide("first: ", numerators_a, denominators_a));
  LT2_RETURN_IF_ERROR(CheckSide("second: ", numerators_b, denominators_b));
  if (numerators_a.size() != numerators_b.size()) {
    return InvalidArgument("expected the same items on both sides, got ",
                           numerators_a.size(), " and ", numerators_b.size());
  }
  std::vector<Item> items;
  for (size_t i = 0; i < numerators_a.size(); ++i) {
    const double den_a = denominators_a[i], den_b = denominators_b[i];
    if (den_a == 0 && den_b == 0) continue;
    if (den_a == 0 || den_b == 0) {
      return InvalidArgument("example ", i,
                             " counts on one side only: denominators ", den_a,
                             " and ", den_b);
    }
    items.push_back({numerators_a[i], den_a, numerators_b[i], den_b});
  }
  return Bootstrap(items, options, [](const Item& sum) {
    return sum.num_b / sum.den_b - sum.num_a / sum.den_a;
  });
}

}  // namespace lt2::evals
