#include "kernels/linear_attention/recurrence_reference.h"

#include <algorithm>
#include <cmath>

namespace lt2::kernels {
namespace {

// One value head of one batch row: where its rows are.
struct Head {
  const RecurrenceShape& shape;
  const RecurrenceInputs& in;
  int64_t b, h;

  int64_t qk(int64_t t) const {
    const int64_t head = h / (shape.v_heads / shape.heads);
    return ((b * shape.seq + t) * shape.heads + head) * shape.d_k;
  }
  int64_t beta(int64_t t) const {
    return (b * shape.seq + t) * shape.v_heads + h;
  }
  int64_t v(int64_t t) const { return beta(t) * shape.d_v; }
  int64_t state() const {
    return (b * shape.v_heads + h) * shape.d_k * shape.d_v;
  }
  // Of row i of the state.
  int64_t g(int64_t t, int64_t i) const {
    if (in.decay == Decay::kHead) return h;
    return in.decay == Decay::kChannel ? beta(t) * shape.d_k + i : beta(t);
  }
  template <typename Real>
  Real Alpha(int64_t t, int64_t i) const {
    return in.g.empty() ? Real{1} : std::exp(static_cast<Real>(in.g[g(t, i)]));
  }
};

// What the backward pass needs of a token.
template <typename Real>
struct Token {
  std::vector<Real> decayed;   // diag(e^g) S, before anything is added
  std::vector<Real> residual;  // the delta rule's v - decayed' k; else v
  std::vector<Real> state;     // after the token
};

template <typename Real>
Token<Real> Advance(const Head& head, int64_t t,
                    const std::vector<Real>& before) {
  const int64_t d_k = head.shape.d_k, d_v = head.shape.d_v;
  const double* k = &head.in.k[head.qk(t)];
  const double* v = &head.in.v[head.v(t)];
  const bool delta = !head.in.beta.empty();
  const Real beta = delta ? head.in.beta[head.beta(t)] : 1.0;
  Token<Real> token{before, std::vector<Real>(v, v + d_v), {}};
  for (int64_t i = 0; i < d_k; ++i) {
    const Real alpha = head.Alpha<Real>(t, i);
    for (int64_t j = 0; j < d_v; ++j) token.decayed[i * d_v + j] *= alpha;
  }
  for (int64_t i = 0; i < d_k && delta; ++i) {
    for (int64_t j = 0; j < d_v; ++j) {
      token.residual[j] -= token.decayed[i * d_v + j] * static_cast<Real>(k[i]);
    }
  }
  token.state = token.decayed;
  for (int64_t i = 0; i < d_k; ++i) {
    for (int64_t j = 0; j < d_v; ++j) {
      token.state[i * d_v + j] +=
          static_cast<Real>(k[i]) * (beta * token.residual[j]);
    }
  }
  return token;
}

// Adds the token's gradients; `ds` is the gradient of the state, on entry after
// the token and on return before it.
template <typename Real>
void Retreat(const Head& head, int64_t t, const Token<Real>& token,
             std::vector<Real>* ds, RecurrenceOutputs* out) {
  const RecurrenceInputs& in = head.in;
  const int64_t d_k = head.shape.d_k, d_v = head.shape.d_v;
  const Real scale = in.scale;
  const double *q = &in.q[head.qk(t)], *k = &in.k[head.qk(t)];
  const double* dout = &in.dout[head.v(t)];
  const bool delta = !in.beta.empty();
  const Real beta = delta ? in.beta[head.beta(t)] : 1.0;
  std::vector<Real> du(d_v);  // gradient of u = beta * residual
  for (int64_t i = 0; i < d_k; ++i) {
    Real dq = 0, dk = 0;
    for (int64_t j = 0; j < d_v; ++j) {
      Real& x = (*ds)[i * d_v + j];
      x += scale * static_cast<Real>(q[i]) * static_cast<Real>(dout[j]);
      dq += scale * token.state[i * d_v + j] * static_cast<Real>(dout[j]);
      dk += x * (beta * token.residual[j]);
      du[j] += x * static_cast<Real>(k[i]);
    }
    out->dq[head.qk(t) + i] += dq;
    out->dk[head.qk(t) + i] += dk;
  }
  Real dbeta = 0;
  for (int64_t j = 0; j < d_v; ++j) {
    dbeta += du[j] * token.residual[j];
    out->dv[head.v(t) + j] = beta * du[j];
  }
  if (delta) out->dbeta[head.beta(t)] = dbeta;
  Real dg = 0;
  for (int64_t i = 0; i < d_k; ++i) {
    const Real alpha = head.Alpha<Real>(t, i);
    Real dk = 0;
    if (in.decay == Decay::kChannel) dg = 0;
    for (int64_t j = 0; j < d_v; ++j) {
      Real& x = (*ds)[i * d_v + j];
      if (delta) {
        dk -= token.decayed[i * d_v + j] * (beta * du[j]);
        x -= static_cast<Real>(k[i]) * (beta * du[j]);
      }
      dg += x * token.decayed[i * d_v + j];
      x *= alpha;
    }
    out->dk[head.qk(t) + i] += dk;
    if (!out->dg.empty()) out->dg[head.g(t, i)] = dg;
  }
}

}  // namespace

template <typename Real>
RecurrenceOutputs RecurrenceReference(const RecurrenceShape& shape,
                                      const RecurrenceInputs& in) {
  const int64_t state_size = shape.d_k * shape.d_v;
  RecurrenceOutputs out;
  out.o.resize(in.v.size());
  out.final_state.resize(shape.batch * shape.v_heads * state_size);
  const bool backward = !in.dout.empty();
  if (backward) {
    out.dq.resize(in.q.size());
    out.dk.resize(in.k.size());
    out.dv.resize(in.v.size());
    out.dbeta.resize(in.beta.size());
    if (in.decay != Decay::kHead) out.dg.resize(in.g.size());
    out.dinitial_state.resize(in.initial_state.size());
  }

  for (int64_t row = 0; row < shape.batch * shape.v_heads; ++row) {
    const Head head{shape, in, row / shape.v_heads, row % shape.v_heads};
    std::vector<Real> state(state_size);
    if (!in.initial_state.empty()) {
      std::copy_n(&in.initial_state[head.state()], state_size, state.begin());
    }
    std::vector<Token<Real>> tokens;
    for (int64_t t = 0; t < shape.seq; ++t) {
      Token<Real> token = Advance(head, t, state);
      state = token.state;
      for (int64_t j = 0; j < shape.d_v; ++j) {
        Real sum = 0;
        for (int64_t i = 0; i < shape.d_k; ++i) {
          sum += state[i * shape.d_v + j] *
                 static_cast<Real>(in.q[head.qk(t) + i]);
        }
        out.o[head.v(t) + j] = static_cast<Real>(in.scale) * sum;
      }
      if (backward) tokens.push_back(std::move(token));
    }
    std::copy(state.begin(), state.end(), &out.final_state[head.state()]);

    std::vector<Real> ds(state_size);
    if (!in.dfinal_state.empty()) {
      std::copy_n(&in.dfinal_state[head.state()], state_size, ds.begin());
    }
    if (backward) {
      for (int64_t t = shape.seq - 1; t >= 0; --t) {
        Retreat(head, t, tokens[t], &ds, &out);
      }
    }
    if (!out.dinitial_state.empty()) {
      std::copy(ds.begin(), ds.end(), &out.dinitial_state[head.state()]);
    }
  }
  return out;
}

template RecurrenceOutputs RecurrenceReference<double>(const RecurrenceShape&,
                                                       const RecurrenceInputs&);
template RecurrenceOutputs RecurrenceReference<float>(const RecurrenceShape&,
                                                      const RecurrenceInputs&);

}  // namespace lt2::kernels
