#include "kernels/sampling/sampling_reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

namespace lt2::kernels {

std::vector<double> SamplingReference(const std::vector<double>& logits,
                                      double temperature, int top_k,
                                      double top_p, double min_p) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(
      order.begin(), order.end(),
      [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  std::vector<double> probabilities(logits.size(), 0.0);
  if (temperature == 0) {
    probabilities[order[0]] = 1;
    return probabilities;
  }
  if (top_k > 0 && static_cast<std::size_t>(top_k) < order.size()) {
    order.resize(top_k);
  }
  auto weight = [&](std::size_t token) {
    return std::exp((logits[token] - logits[order[0]]) / temperature);
  };
  double total = 0;
  for (std::size_t token : order) total += weight(token);
  if (top_p < 1) {
    double sum = 0;
    std::size_t kept = 0;
    while (kept < order.size() && sum < top_p * total) {
      sum += weight(order[kept++]);
    }
    order.resize(kept);
    total = sum;
  }
  if (min_p > 0) {
    std::size_t kept = 0;
    total = 0;
    while (kept < order.size() && weight(order[kept]) >= min_p) {
      total += weight(order[kept++]);
    }
    order.resize(kept);
  }
  for (std::size_t token : order) probabilities[token] = weight(token) / total;
  return probabilities;
}

std::vector<double> PenaltyReference(const std::vector<double>& logits,
                                     const std::vector<int>& counts,
                                     double penalty) {
  std::vector<double> result = logits;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    if (counts[v] == 0) continue;
    result[v] = logits[v] > 0 ? logits[v] / penalty : logits[v] * penalty;
  }
  return result;
}

}  // namespace lt2::kernels
