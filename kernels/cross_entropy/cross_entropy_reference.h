// The definition of cross-entropy and of its gradient, made runnable.
// Real = double is the reference, Real = float the plain formula in single
// precision that errors are compared with.

#ifndef LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_REFERENCE_H_
#define LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

struct CrossEntropyReferenceResults {
  std::vector<double> loss, lse;  // [n]
  std::vector<double> argmax;     // [n]
  double mean = 0, count = 0;
};

// logits [n, vocab]; a target of -100 is ignored.
template <typename Real>
CrossEntropyReferenceResults CrossEntropyReference(
    const std::vector<double>& logits, const std::vector<int32_t>& targets,
    int64_t vocab);

// d mean / d logits, [n, vocab].
template <typename Real>
std::vector<double> CrossEntropyGradReference(
    const std::vector<double>& logits, const std::vector<int32_t>& targets,
    int64_t vocab);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_CROSS_ENTROPY_CROSS_ENTROPY_REFERENCE_H_
