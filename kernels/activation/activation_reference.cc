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
    case ActivationOp::kMultiply:
      return "Multiply";
    case ActivationOp::kScaleRows:
      return "ScaleRows";
    case ActivationOp::kAddBias:
      return "AddBias";
    case ActivationOp::kSoftplus:
      return "Softplus";
  }
  return "?";
}

namespace {

// Value and partial derivatives of one element.
template <typename Real>
struct Element {
  Real y = 0, a = 0, b = 0, p = 0, q = 0, r = 0;
};

template <typename Real>
Real Sg(Real x) {
  return Real{1} / (Real{1} + std::exp(-x));
}

template <typename Real>
Real SoftplusOf(Real z) {
  return std::max(z, Real{0}) + std::log1p(std::exp(-std::abs(z)));
}

template <typename Real>
Element<Real> Evaluate(ActivationOp op, Real a, Real b, Real p, Real q, Real r,
                       Real scale, Real slope) {
  Element<Real> e;
  switch (op) {
    case ActivationOp::kSilu: {
      const Real s = Sg(a);
      e.y = a * s;
      e.a = s * (1 + a * (1 - s));
      break;
    }
    case ActivationOp::kSigmoid: {
      const Real s = Sg(slope * a);
      e.y = scale * s;
      e.a = scale * slope * s * (1 - s);
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
      e.y = -rate * SoftplusOf(z);
      e.a = e.q = -rate * Sg(z);
      e.p = e.y;
      break;
    }
    case ActivationOp::kMultiply:
      e.y = a * b;
      e.a = b;
      e.b = a;
      break;
    case ActivationOp::kScaleRows:
      e.y = r * a;
      e.a = r;
      e.r = a;
      break;
    case ActivationOp::kAddBias:
      e.y = a + q;
      e.a = e.q = 1;
      break;
    case ActivationOp::kSoftplus: {
      const Real z = slope * (a + q);
      e.y = scale * SoftplusOf(z);
      e.a = e.q = scale * slope * Sg(z);
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
  std::vector<Real> dp(in.p.size()), dq(in.q.size()), dr(in.r.size());
  const size_t dim = in.dim, group = dim / in.p.size();
  for (size_t i = 0; i < in.a.size(); ++i) {
    const size_t row = i / dim, c = i % dim, g = c / group;
    const auto e = Evaluate<Real>(
        op, static_cast<Real>(in.a[i]), static_cast<Real>(in.b[i]),
        static_cast<Real>(in.p[g]),
        static_cast<Real>(in.q.empty() ? 0.0 : in.q[c]),
        static_cast<Real>(in.r[row]), static_cast<Real>(in.scale),
        static_cast<Real>(in.slope));
    const Real dy = static_cast<Real>(in.dy[i]);
    out.y.push_back(e.y);
    out.da.push_back(dy * e.a);
    out.db.push_back(dy * e.b);
    dp[g] += dy * e.p;
    if (!dq.empty()) dq[c] += dy * e.q;
    dr[row] += dy * e.r;
  }
  out.dp.assign(dp.begin(), dp.end());
  out.dq.assign(dq.begin(), dq.end());
  out.dr.assign(dr.begin(), dr.end());
  return out;
}

template ActivationOutput ActivationReference<double>(ActivationOp,
                                                      const ActivationInput&);
template ActivationOutput ActivationReference<float>(ActivationOp,
                                                     const ActivationInput&);

}  // namespace lt2::kernels
