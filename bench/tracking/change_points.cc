#include "bench/tracking/change_points.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "bench/tracking/rank_tests.h"
#include "kernels/core/philox.h"

namespace lt2::bench {
namespace {

using Values = std::vector<double>;

// Values cut to the quartiles and 3 IQR beyond, so that an outlier hides
// nothing; as they are where the quartiles are equal.
Values WithoutExtremes(absl::Span<const double> values) {
  Values cut(values.begin(), values.end());
  if (cut.empty()) return cut;
  const double q1 = Quantile(cut, 0.25), q3 = Quantile(cut, 0.75);
  const double margin = 3 * (q3 - q1);
  if (margin == 0) return cut;
  for (double& value : cut) {
    value = std::clamp(value, q1 - margin, q3 + margin);
  }
  return cut;
}

class Finder {
 public:
  Finder(Values logs, const ChangePointOptions& options)
      : logs_(std::move(logs)), options_(options) {}

  absl::StatusOr<std::vector<ChangePoint>> Run() {
    const int64_t n = static_cast<int64_t>(logs_.size());
    for (int64_t start = 0;; start += options_.window / 2) {
      const int64_t end = std::min<int64_t>(n, start + options_.window);
      Divide(start, end);
      if (end == n) break;
    }
    return Prune();
  }

 private:
  void Divide(int64_t start, int64_t end) {
    const Values values =
        WithoutExtremes(absl::MakeConstSpan(logs_).subspan(start, end - start));
    const EnergySplit split = BestEnergySplit(values);
    if (split.place == 0 || !Significant(values, split.statistic, start)) {
      return;
    }
    candidates_.insert(start + split.place);
    Divide(start, start + split.place);
    Divide(start + split.place, end);
  }

  // Whether at most a share p of permutations, the given order among them,
  // reaches the statistic. Stops as soon as that is known.
  bool Significant(const Values& values, double statistic,
                   int64_t start) const {
    if (!(statistic > 0)) return false;
    const double allowed = options_.p * (options_.permutations + 1);
    Values shuffled = values;
    Philox rng(options_.seed, static_cast<uint64_t>(start),
               static_cast<uint32_t>(values.size()));
    int reached = 1;
    for (int i = 0; i < options_.permutations && reached <= allowed; ++i) {
      rng.Shuffle(shuffled);
      // Equal but for rounding is equal.
      reached += BestEnergySplit(shuffled).statistic >= statistic * (1 - 1e-12);
    }
    return reached <= allowed;
  }

  // The levels around candidate i of `points`.
  absl::StatusOr<ChangePoint> Measure(const std::vector<int64_t>& points,
                                      size_t i) const {
    const int64_t at = points[i], window = options_.window;
    const int64_t n = static_cast<int64_t>(logs_.size());
    const int64_t from = std::max(i == 0 ? 0 : points[i - 1], at - window);
    const int64_t to =
        std::min(i + 1 == points.size() ? n : points[i + 1], at + window);
    const auto all = absl::MakeConstSpan(logs_);
    const auto before = all.subspan(from, at - from);
    const auto after = all.subspan(at, to - at);
    LT2_ASSIGN_OR_RETURN(const ShiftInterval shift,
                         TwoSampleShift(before, after, 0.98));
    LT2_ASSIGN_OR_RETURN(const double up, TwoSampleAbove(before, after, 0));
    LT2_ASSIGN_OR_RETURN(const double down, TwoSampleAbove(after, before, 0));
    return ChangePoint{at, shift.estimate, shift.low, shift.high,
                       std::min(1.0, 2 * std::min(up, down))};
  }

  bool Holds(const ChangePoint& point) const {
    return point.p_value <= options_.p &&
           std::abs(point.change) >= std::log1p(options_.least_change);
  }

  // Without one point the levels beside its neighbours are longer, so
  // everything is measured again.
  absl::StatusOr<std::vector<ChangePoint>> Prune() const {
    std::vector<int64_t> points(candidates_.begin(), candidates_.end());
    while (true) {
      std::vector<ChangePoint> measured;
      size_t weakest = points.size();
      for (size_t i = 0; i < points.size(); ++i) {
        LT2_ASSIGN_OR_RETURN(const ChangePoint point, Measure(points, i));
        measured.push_back(point);
        if (!Holds(point) &&
            (weakest == points.size() ||
             std::abs(point.change) < std::abs(measured[weakest].change))) {
          weakest = i;
        }
      }
      if (weakest == points.size()) return measured;
      points.erase(points.begin() + static_cast<int64_t>(weakest));
    }
  }

  Values logs_;
  ChangePointOptions options_;
  std::set<int64_t> candidates_;
};

}  // namespace

EnergySplit BestEnergySplit(absl::Span<const double> values) {
  // Sums of |x_i - x_j| over pairs within the left part, within the right and
  // between them; moving one value to the left updates all in O(n).
  const size_t n = values.size();
  double left = 0, between = 0, right = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) right += std::abs(values[i] - values[j]);
  }
  EnergySplit best;
  for (size_t t = 1; t < n; ++t) {
    double to_left = 0, to_right = 0;
    for (size_t i = 0; i + 1 < t; ++i) {
      to_left += std::abs(values[t - 1] - values[i]);
    }
    for (size_t i = t; i < n; ++i) {
      to_right += std::abs(values[t - 1] - values[i]);
    }
    left += to_left;
    right -= to_right;
    between += to_right - to_left;
    const double a = static_cast<double>(t), b = static_cast<double>(n - t);
    const double statistic =
        a * b / (a + b) *
        (2 * between / (a * b) - 2 * left / (a * a) - 2 * right / (b * b));
    if (best.place == 0 || statistic > best.statistic) {
      best = {static_cast<int64_t>(t), statistic};
    }
  }
  return best;
}

absl::StatusOr<std::vector<ChangePoint>> FindChangePoints(
    absl::Span<const double> history, const ChangePointOptions& options) {
  if (options.window < 4 || options.window > kMostSamples ||
      !(options.p > 0 && options.p < 1) || !(options.least_change >= 0) ||
      options.permutations < 1) {
    return InvalidArgument(
        "expected a window of 4 to ", kMostSamples,
        ", p in (0, 1), a change >= 0 and permutations, got ", options.window,
        ", ", options.p, ", ", options.least_change, " and ",
        options.permutations);
  }
  if (options.p * (options.permutations + 1) < 1) {
    return InvalidArgument(options.permutations,
                           " permutations cannot show p = ", options.p);
  }
  Values logs;
  for (size_t i = 0; i < history.size(); ++i) {
    if (!(std::isfinite(history[i]) && history[i] > 0)) {
      return InvalidArgument("history: value ", i, " is ", history[i],
                             ", expected a number above 0");
    }
    logs.push_back(std::log(history[i]));
  }
  return Finder(std::move(logs), options).Run();
}

}  // namespace lt2::bench
