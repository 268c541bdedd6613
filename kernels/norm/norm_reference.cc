#include "kernels/norm/norm_reference.h"

#include <cmath>

namespace lt2::kernels {
namespace {

template <typename Real>
Real Rstd(const NormReferenceInput& in, int64_t row) {
  Real sum = 0;
  for (int64_t i = 0; i < in.dim; ++i) {
    const Real x = static_cast<Real>(in.x[row * in.dim + i]);
    sum += x * x;
  }
  if (in.mean) sum /= static_cast<Real>(in.dim);
  return Real{1} / std::sqrt(sum + static_cast<Real>(in.eps));
}

template <typename Real>
struct Gate {
  Real value = 1, slope = 0;
};
template <typename Real>
Gate<Real> Act(const NormReferenceInput& in, int64_t index) {
  if (in.gate.empty()) return {};
  const Real g = static_cast<Real>(in.gate[index]);
  const Real s = Real{1} / (Real{1} + std::exp(-g));
  if (in.activation == GateActivation::kSigmoid) return {s, s * (1 - s)};
  return {g * s, s * (1 + g * (1 - s))};
}

}  // namespace

template <typename Real>
NormReferenceOutput NormReference(const NormReferenceInput& in) {
  NormReferenceOutput out;
  const int64_t rows = in.x.size() / in.dim;
  for (int64_t row = 0; row < rows; ++row) {
    const Real rstd = Rstd<Real>(in, row);
    out.rstd.push_back(rstd);
    for (int64_t i = 0; i < in.dim; ++i) {
      const int64_t k = row * in.dim + i;
      Real y = static_cast<Real>(in.x[k]) * rstd;
      if (!in.weight.empty()) y *= static_cast<Real>(in.weight[i]);
      out.y.push_back(y * Act<Real>(in, k).value);
    }
  }
  return out;
}

template <typename Real>
NormReferenceGrad NormGradReference(const NormReferenceInput& in,
                                    const std::vector<double>& dy) {
  NormReferenceGrad out;
  const int64_t rows = in.x.size() / in.dim;
  std::vector<Real> dweight(in.weight.empty() ? 0 : in.dim);
  for (int64_t row = 0; row < rows; ++row) {
    const Real rstd = Rstd<Real>(in, row);
    std::vector<Real> xhat(in.dim), v(in.dim);
    Real dot = 0;
    for (int64_t i = 0; i < in.dim; ++i) {
      const int64_t k = row * in.dim + i;
      const Gate<Real> act = Act<Real>(in, k);
      const Real w = in.weight.empty() ? 1 : static_cast<Real>(in.weight[i]);
      const Real d = static_cast<Real>(dy[k]);
      xhat[i] = static_cast<Real>(in.x[k]) * rstd;
      if (!in.gate.empty()) out.dgate.push_back(d * xhat[i] * w * act.slope);
      if (!in.weight.empty()) dweight[i] += d * act.value * xhat[i];
      v[i] = d * act.value * w;
      dot += v[i] * xhat[i];
    }
    if (in.mean) dot /= static_cast<Real>(in.dim);
    for (int64_t i = 0; i < in.dim; ++i) {
      out.dx.push_back(rstd * (v[i] - xhat[i] * dot));
    }
  }
  out.dweight.assign(dweight.begin(), dweight.end());
  return out;
}

template NormReferenceOutput NormReference<double>(const NormReferenceInput&);
template NormReferenceOutput NormReference<float>(const NormReferenceInput&);
template NormReferenceGrad NormGradReference<double>(
    const NormReferenceInput&, const std::vector<double>&);
template NormReferenceGrad NormGradReference<float>(const NormReferenceInput&,
                                                    const std::vector<double>&);

}  // namespace lt2::kernels
