#include "kernels/gemm/gemm_reference.h"

namespace lt2::kernels {

template <typename Real>
std::vector<double> GemmReference(int64_t m, int64_t n, int64_t k,
                                  bool transpose_a, bool transpose_b,
                                  const std::vector<double>& a,
                                  const std::vector<double>& b,
                                  const std::vector<double>& c) {
  std::vector<double> result(m * n);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      Real sum = 0;
      for (int64_t p = 0; p < k; ++p) {
        const Real x =
            static_cast<Real>(transpose_a ? a[p * m + i] : a[i * k + p]);
        const Real y =
            static_cast<Real>(transpose_b ? b[j * k + p] : b[p * n + j]);
        sum += x * y;
      }
      if (!c.empty()) sum += static_cast<Real>(c[i * n + j]);
      result[i * n + j] = static_cast<double>(sum);
    }
  }
  return result;
}

template std::vector<double> GemmReference<double>(int64_t, int64_t, int64_t,
                                                   bool, bool,
                                                   const std::vector<double>&,
                                                   const std::vector<double>&,
                                                   const std::vector<double>&);
template std::vector<double> GemmReference<float>(int64_t, int64_t, int64_t,
                                                  bool, bool,
                                                  const std::vector<double>&,
                                                  const std::vector<double>&,
                                                  const std::vector<double>&);

}  // namespace lt2::kernels
