#include "kernels/activation/activation_reference.h"

#include <algorithm>
#include <cmath>

namespace lt2::kernels {

std::string ActivationOpName(ActivationOp op) {
  switch (op) {
    case ActivationOp::kSilu:
      return "Silu";
    case ActivationOp::kSigmoid:
      return "Sigmoid";
    case ActivationOp::kSwiGlu:
      return "SwiGlu";
    case ActivationOp::kSigmoidGate:
      return "SigmoidGate";
    case ActivationOp::kAdd:
      return "Add";
    case ActivationOp::kScaledAdd:
      return "ScaledAdd";
    case ActivationOp::kDecayGate:
      return "DecayGate";
  }
  return "?";
}

namespace {

// Value and partial derivatives of one element.
template <typename Real>
struct Element {
  Real y = 0, a = 0, b = 0, p = 0, q = 0;
};

template <typename Real>
Real Sg(Real x) {
  return Real{1} / (Real{1} + std::exp(-x));
}

template <typename Real>
Element<Real> Evaluate(ActivationOp op, Real a, Real b, Real p, Real q,
                       Real scale) {
  Element<Real> e;
  switch (op) {
    case ActivationOp::kSilu: {
      const Real s = Sg(a);
      e.y = a * s;
      e.a = s * (1 + a * (1 - s));
      break;
    }
    case ActivationOp::kSigmoid: {
      const Real s = Sg(a);
      e.y = scale * s;
      e.a = scale * s * (1 - s);
      break;
    }
    case ActivationOp::kSwiGlu: {
      const Real s = Sg(a);
      e.y = a * s * b;
      e.a = b * s * (1 + a * (1 - s));
      e.b = a * s;
      break;
    }
    case ActivationOp::kSigmoidGate: {
      const Real s = Sg(b);
      e.y = a * s;
      e.a = s;
      e.b = a * s * (1 - s);
      break;
    }
    case ActivationOp::kAdd:
      e.y = a + b;
      e.a = e.b = 1;
      break;
    case ActivationOp::kScaledAdd:
      e.y = a + p * b;
      e.a = 1;
      e.b = p;
      e.p = b;
      break;
    case ActivationOp::kDecayGate: {
      const Real z = a + q, rate = std::exp(p);
      const Real softplus =
          std::max(z, Real{0}) + std::log1p(std::exp(-std::abs(z)));
      e.y = -rate * softplus;
      e.a = e.q = -rate * Sg(z);
      e.p = e.y;
      break;
    }
  }
  return e;
}

}  // namespace

template <typename Real>
ActivationOutput ActivationReference(ActivationOp op,
                                     const ActivationInput& in) {
  ActivationOutput out;
  std::vector<Real> dp(in.p.size()), dq(in.q.size());
  for (size_t i = 0; i < in.a.size(); ++i) {
    const size_t c = i % in.dim;
    const auto e =
        Evaluate<Real>(op, static_cast<Real>(in.a[i]),
                       static_cast<Real>(in.b[i]), static_cast<Real>(in.p[c]),
                       static_cast<Real>(in.q[c]), static_cast<Real>(in.scale));
    const Real dy = static_cast<Real>(in.dy[i]);
    out.y.push_back(e.y);
    out.da.push_back(dy * e.a);
    out.db.push_back(dy * e.b);
    dp[c] += dy * e.p;
    dq[c] += dy * e.q;
  }
  out.dp.assign(dp.begin(), dp.end());
  out.dq.assign(dq.begin(), dq.end());
  return out;
}

template ActivationOutput ActivationReference<double>(ActivationOp,
                                                      const ActivationInput&);
template ActivationOutput ActivationReference<float>(ActivationOp,
                                                     const ActivationInput&);

}  // namespace lt2::kernels
