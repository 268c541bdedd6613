// The definitions of norm.h, made runnable: one row after the other, in the
// order of the formulas. Matrices are [rows, dim], row-major.
//
// Real = double is the reference; Real = float is the plain formula that the
// error contract compares with (every operation rounded to float).

#ifndef LT2_KERNELS_NORM_NORM_REFERENCE_H_
#define LT2_KERNELS_NORM_NORM_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/norm/norm.h"

namespace lt2::kernels {

struct NormReferenceInput {
  int64_t dim = 0;
  std::vector<double> x;
  std::vector<double> weight;  // empty: no weight
  std::vector<double> gate;    // empty: no gate
  double eps = 0;
  bool mean = true;  // false: the L2 norm's sum
  GateActivation activation = GateActivation::kSilu;
};

struct NormReferenceOutput {
  std::vector<double> y, rstd;
};
template <typename Real>
NormReferenceOutput NormReference(const NormReferenceInput& in);

struct NormReferenceGrad {
  std::vector<double> dx, dgate, dweight;
};
template <typename Real>
NormReferenceGrad NormGradReference(const NormReferenceInput& in,
                                    const std::vector<double>& dy);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_NORM_NORM_REFERENCE_H_
