#include "kernels/cross_entropy/cross_entropy_reference.h"

#include <algorithm>
#include <cmath>

namespace lt2::kernels {
namespace {

constexpr int32_t kIgnored = -100;

template <typename Real>
Real LogSumExp(const std::vector<double>& logits, int64_t row, int64_t vocab) {
  const auto begin = logits.begin() + row * vocab;
  const Real max = static_cast<Real>(*std::max_element(begin, begin + vocab));
  Real sum = 0;
  for (int64_t v = 0; v < vocab; ++v) {
    sum += std::exp(static_cast<Real>(begin[v]) - max);
  }
  return max + std::log(sum);
}

}  // namespace

template <typename Real>
CrossEntropyReferenceResults CrossEntropyReference(
    const std::vector<double>& logits, const std::vector<int32_t>& targets,
    int64_t vocab) {
  CrossEntropyReferenceResults results;
  Real sum = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto begin = logits.begin() + i * vocab;
    const Real lse = LogSumExp<Real>(logits, i, vocab);
    const bool counted = targets[i] != kIgnored;
    const Real loss =
        counted ? lse - static_cast<Real>(begin[targets[i]]) : Real{0};
    results.lse.push_back(lse);
    results.loss.push_back(loss);
    results.argmax.push_back(
        static_cast<double>(std::max_element(begin, begin + vocab) - begin));
    sum += loss;
    results.count += counted;
  }
  if (results.count > 0) results.mean = sum / static_cast<Real>(results.count);
  return results;
}

template <typename Real>
std::vector<double> CrossEntropyGradReference(
    const std::vector<double>& logits, const std::vector<int32_t>& targets,
    int64_t vocab) {
  Real count = 0;
  for (int32_t t : targets) count += t != kIgnored;
  std::vector<double> gradient(logits.size(), 0.0);
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] == kIgnored) continue;
    const Real lse = LogSumExp<Real>(logits, i, vocab);
    for (int64_t v = 0; v < vocab; ++v) {
      const Real p = std::exp(static_cast<Real>(logits[i * vocab + v]) - lse);
      const Real hot = v == targets[i] ? 1 : 0;
      gradient[i * vocab + v] = (p - hot) / count;
    }
  }
  return gradient;
}

template CrossEntropyReferenceResults CrossEntropyReference<double>(
    const std::vector<double>&, const std::vector<int32_t>&, int64_t);
template CrossEntropyReferenceResults CrossEntropyReference<float>(
    const std::vector<double>&, const std::vector<int32_t>&, int64_t);
template std::vector<double> CrossEntropyGradReference<double>(
    const std::vector<double>&, const std::vector<int32_t>&, int64_t);
template std::vector<double> CrossEntropyGradReference<float>(
    const std::vector<double>&, const std::vector<int32_t>&, int64_t);

}  // namespace lt2::kernels
