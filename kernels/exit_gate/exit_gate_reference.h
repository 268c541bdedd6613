// The definition of ExitGate in fp64, for tests.

#ifndef LT2_KERNELS_EXIT_GATE_EXIT_GATE_REFERENCE_H_
#define LT2_KERNELS_EXIT_GATE_EXIT_GATE_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace lt2::kernels {

struct ExitGateReferenceResults {
  std::vector<double> probability;  // [loops, n]
  std::vector<int64_t> step;        // [n]
  // The distance of the sum that decided from the threshold, and of the one
  // before: choices closer than rounding are nobody's fault. [n]
  std::vector<double> margin;
};

inline ExitGateReferenceResults ExitGateReference(
    const std::vector<double>& logits, int64_t loops, int64_t n,
    double threshold) {
  ExitGateReferenceResults r;
  r.probability.resize(loops * n);
  for (int64_t i = 0; i < n; ++i) {
    double rest = 1, sum = 0, margin = 1;
    int64_t chosen = loops - 1;
    bool reached = false;
    for (int64_t t = 0; t < loops; ++t) {
      const double lam =
          t + 1 < loops ? 1 / (1 + std::exp(-logits[t * n + i])) : 1;
      r.probability[t * n + i] = lam * rest;
      sum += lam * rest;
      rest *= 1 - lam;
      if (!reached) margin = std::min(margin, std::abs(sum - threshold));
      if (!reached && sum >= threshold) {
        reached = true;
        chosen = t;
      }
    }
    r.step.push_back(chosen);
    r.margin.push_back(margin);
  }
  return r;
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EXIT_GATE_EXIT_GATE_REFERENCE_H_
