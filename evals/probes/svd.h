// Singular values of small dense matrices, by LAPACK's dgesdd.

#ifndef LT2_EVALS_PROBES_SVD_H_
#define LT2_EVALS_PROBES_SVD_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "kernels/core/status.h"

namespace lt2::evals {

// Of a [rows, cols], row-major; largest first.
absl::StatusOr<std::vector<double>> SingularValues(absl::Span<const double> a,
                                                   int64_t rows, int64_t cols);

// How many exceed `relative` times the largest; 0 if all are zero.
int64_t NumericalRank(absl::Span<const double> singular_values,
                      double relative);

// exp of the entropy of sigma_i / sum sigma: n for n equal values, near 1 if
// one dominates (Roy and Vetterli, "The effective rank", 2007); 0 if all are
// zero.
double EffectiveRank(absl::Span<const double> singular_values);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_SVD_H_
