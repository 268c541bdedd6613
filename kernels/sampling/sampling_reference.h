// The definition of top-k, top-p and temperature, made runnable in fp64.

#ifndef LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_
#define LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_

#include <vector>

namespace lt2::kernels {

// The probability with which each token is drawn.
std::vector<double> SamplingReference(const std::vector<double>& logits,
                                      double temperature, int top_k,
                                      double top_p);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SAMPLING_SAMPLING_REFERENCE_H_
