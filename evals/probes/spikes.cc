#include "evals/probes/spikes.h"

#include <algorithm>
#include <cmath>

namespace lt2::evals {

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return std::nan("");
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const size_t low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] +
         (at - static_cast<double>(low)) * (values[high] - values[low]);
}

std::vector<int64_t> SpikeStarts(const std::vector<double>& values) {
  std::vector<int64_t> starts;
  bool inside = false;
  for (size_t i = kSpikeWindow; i < values.size(); ++i) {
    std::vector<double> before(values.begin() + i - kSpikeWindow,
                               values.begin() + i);
    const double median = Quantile(before, 0.5);
    for (double& value : before) value = std::abs(value - median);
    const double deviation =
        std::max(1.4826 * Quantile(before, 0.5), 0.01 * std::abs(median));
    const bool spike = values[i] > median + kSpikeDeviations * deviation;
    if (spike && !inside) starts.push_back(static_cast<int64_t>(i));
    inside = spike;
  }
  return starts;
}

double Roughness(const std::vector<double>& values) {
  std::vector<double> steps;
  for (size_t i = kSpikeWindow + 1; i < values.size(); ++i) {
    steps.push_back(values[i] - values[i - 1]);
  }
  if (steps.empty()) return std::nan("");
  const double n = static_cast<double>(steps.size());
  double mean = 0, squares = 0;
  for (double step : steps) mean += step / n;
  for (double step : steps) squares += (step - mean) * (step - mean);
  return std::sqrt(squares / n);
}

}  // namespace lt2::evals
