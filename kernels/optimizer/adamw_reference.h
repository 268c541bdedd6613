// The definition of one AdamW step and of the global norm, made runnable.
// Real = double is the reference, Real = float the plain formula in single
// precision that errors are compared with.

#ifndef LT2_KERNELS_OPTIMIZER_ADAMW_REFERENCE_H_
#define LT2_KERNELS_OPTIMIZER_ADAMW_REFERENCE_H_

#include <vector>

namespace lt2::kernels {

template <typename Real>
double GlobalNormReference(const std::vector<std::vector<double>>& tensors);

struct AdamWReferenceOptions {
  double beta1, beta2, eps, max_grad_norm;  // max_grad_norm <= 0: no clipping
  double lr, bc1, bc2;                      // lr times the tensor's lr_scale
  double weight_decay;
};

// Updates value, m and v of one tensor.
template <typename Real>
void AdamWReference(const AdamWReferenceOptions& options,
                    const std::vector<double>& grad, double norm,
                    std::vector<double>* value, std::vector<double>* m,
                    std::vector<double>* v);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_OPTIMIZER_ADAMW_REFERENCE_H_
