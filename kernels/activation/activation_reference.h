// The definitions of this folder, made runnable: value and gradients of each
// operator, one element after the other.
//
// Inputs and gradients go by slot, so that one test covers all operators:
//   a, b   tensors [rows, dim]
//   p      vector [groups], groups divides dim: channel c has p[c /
//   (dim/groups)] q      vector [dim] r      vector [rows]
// Real = double is the reference; Real = float is the plain formula that the
// error contract compares with.

#ifndef LT2_KERNELS_ACTIVATION_ACTIVATION_REFERENCE_H_
#define LT2_KERNELS_ACTIVATION_ACTIVATION_REFERENCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/activation/activation.h"

namespace lt2::kernels {

enum class ActivationOp {
  kSilu,         // a
  kSigmoid,      // a, scale, slope
  kSwiGlu,       // a = gate, b = up
  kSigmoidGate,  // a = x, b = gate
  kAdd,          // a, b
  kScaledAdd,    // a, b, p = rho
  kDecayGate,    // a, p = a_log, q = dt_bias
  kMultiply,     // a, b
  kScaleRows,    // a, r = s
  kAddBias,      // a, q = bias
  kSoftplus,     // a, q = bias (may be empty), scale, slope
};
inline constexpr ActivationOp kAllActivationOps[] = {
    ActivationOp::kSilu,      ActivationOp::kSigmoid,
    ActivationOp::kSwiGlu,    ActivationOp::kSigmoidGate,
    ActivationOp::kAdd,       ActivationOp::kScaledAdd,
    ActivationOp::kDecayGate, ActivationOp::kMultiply,
    ActivationOp::kScaleRows, ActivationOp::kAddBias,
    ActivationOp::kSoftplus};
std::string ActivationOpName(ActivationOp op);

struct ActivationInput {
  int64_t dim = 1;
  double scale = 1, slope = 1;
  std::vector<double> a, b, p, q, r;
  std::vector<double> dy;
};

struct ActivationOutput {
  std::vector<double> y;
  // Zeros where y does not depend on it.
  std::vector<double> da, db, dp, dq, dr;
};

template <typename Real>
ActivationOutput ActivationReference(ActivationOp op,
                                     const ActivationInput& in);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_ACTIVATION_REFERENCE_H_
