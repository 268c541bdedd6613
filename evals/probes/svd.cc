#include "evals/probes/svd.h"

#include <algorithm>
#include <cmath>

// LAPACK inside OpenBLAS; Debian's package of it has no header for this part.
extern "C" void dgesdd_(const char* jobz, const int* m, const int* n, double* a,
                        const int* lda, double* s, double* u, const int* ldu,
                        double* vt, const int* ldvt, double* work,
                        const int* lwork, int* iwork, int* info);

namespace lt2::evals {

absl::StatusOr<std::vector<double>> SingularValues(absl::Span<const double> a,
                                                   int64_t rows, int64_t cols) {
  LT2_CHECK(static_cast<int64_t>(a.size()) == rows * cols);
  if (a.empty()) return std::vector<double>();
  for (double value : a) {
    // LAPACK may not come back from a NaN.
    if (!std::isfinite(value)) return InvalidArgument("matrix with ", value);
  }
  // Row-major a is column-major a', which has the same singular values.
  std::vector<double> copy(a.begin(), a.end());
  const int m = static_cast<int>(cols), n = static_cast<int>(rows), one = 1;
  std::vector<double> s(std::min(m, n));
  std::vector<int> iwork(8 * s.size());
  double size = 0;
  int lwork = -1, info = 0;
  dgesdd_("N", &m, &n, copy.data(), &m, s.data(), nullptr, &one, nullptr, &one,
          &size, &lwork, iwork.data(), &info);
  lwork = static_cast<int>(size);
  std::vector<double> work(std::max(1, lwork));
  if (info == 0) {
    dgesdd_("N", &m, &n, copy.data(), &m, s.data(), nullptr, &one, nullptr,
            &one, work.data(), &lwork, iwork.data(), &info);
  }
  if (info != 0) {
    return absl::InternalError(
        absl::StrCat("dgesdd of ", rows, " x ", cols, " returned ", info));
  }
  return s;
}

int64_t NumericalRank(absl::Span<const double> singular_values,
                      double relative) {
  int64_t rank = 0;
  for (double s : singular_values) {
    rank += s > relative * singular_values[0] && s > 0;
  }
  return rank;
}

double EffectiveRank(absl::Span<const double> singular_values) {
  double sum = 0, entropy = 0;
  for (double s : singular_values) sum += s;
  if (sum == 0) return 0;
  for (double s : singular_values) {
    if (s > 0) entropy -= s / sum * std::log(s / sum);
  }
  return std::exp(entropy);
}

}  // namespace lt2::evals
