#include "kernels/optimizer/adamw_reference.h"

#include <cmath>
#include <cstddef>

namespace lt2::kernels {

template <typename Real>
double GlobalNormReference(const std::vector<std::vector<double>>& tensors) {
  Real sum = 0;
  for (const auto& tensor : tensors) {
    for (double x : tensor) sum += static_cast<Real>(x) * static_cast<Real>(x);
  }
  return std::sqrt(sum);
}

template <typename Real>
void AdamWReference(const AdamWReferenceOptions& options,
                    const std::vector<double>& grad, double norm,
                    std::vector<double>* value, std::vector<double>* m,
                    std::vector<double>* v) {
  auto real = [](double x) { return static_cast<Real>(x); };
  Real clip = 1;
  if (options.max_grad_norm > 0) {
    clip = real(options.max_grad_norm) / (real(norm) + real(1e-6));
    if (clip > 1) clip = 1;
  }
  for (std::size_t i = 0; i < grad.size(); ++i) {
    const Real g = real(grad[i]) * clip;
    const Real first =
        real(options.beta1) * real((*m)[i]) + (1 - real(options.beta1)) * g;
    const Real second =
        real(options.beta2) * real((*v)[i]) + (1 - real(options.beta2)) * g * g;
    const Real old = real((*value)[i]);
    const Real step =
        first / real(options.bc1) /
        (std::sqrt(second / real(options.bc2)) + real(options.eps));
    (*m)[i] = first;
    (*v)[i] = second;
    (*value)[i] =
        old - real(options.lr) * (step + real(options.weight_decay) * old);
  }
}

template double GlobalNormReference<double>(
    const std::vector<std::vector<double>>&);
template double GlobalNormReference<float>(
    const std::vector<std::vector<double>>&);
template void AdamWReference<double>(const AdamWReferenceOptions&,
                                     const std::vector<double>&, double,
                                     std::vector<double>*, std::vector<double>*,
                                     std::vector<double>*);
template void AdamWReference<float>(const AdamWReferenceOptions&,
                                    const std::vector<double>&, double,
                                    std::vector<double>*, std::vector<double>*,
                                    std::vector<double>*);

}  // namespace lt2::kernels
