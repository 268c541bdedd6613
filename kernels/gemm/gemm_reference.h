// The definition of a matrix product, made runnable.
//
// Real = double is the reference; Real = float is the plain formula in single
// precision that errors are compared with.

#ifndef LT2_KERNELS_GEMM_GEMM_REFERENCE_H_
#define LT2_KERNELS_GEMM_GEMM_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

// op(a) op(b) + c, row-major; c is empty for zero. a is [m, k], or [k, m] if
// transpose_a; b is [k, n], or [n, k] if transpose_b.
template <typename Real>
std::vector<double> GemmReference(int64_t m, int64_t n, int64_t k,
                                  bool transpose_a, bool transpose_b,
                                  const std::vector<double>& a,
                                  const std::vector<double>& b,
                                  const std::vector<double>& c);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_GEMM_GEMM_REFERENCE_H_
