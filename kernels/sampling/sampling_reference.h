// The definition of the repetition penalty, temperature, top-k, top-p and
// min-p, made runnable in fp64.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_

#include <vector>

namespace lt2::kernels {

// The probability with which each token is drawn.
std::vector<double> SamplingReference(const std::vector<double>& logits,
                                      double temperature, int top_k,
                                      double top_p, double min_p = 0);

// The logits after the penalty on tokens with counts > 0.
std::vector<double> PenaltyReference(const std::vector<double>& logits,
                                     const std::vector<int>& counts,
                                     double penalty);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_
