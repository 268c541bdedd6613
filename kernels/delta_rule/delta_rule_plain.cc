// DeltaRulePlainChunked: the textbook chunked formula, as written in README.md
// ("WY form") and in papers, with a matrix class of plain loops. It shares no
// code with the implementations under test and keeps T, U and W explicit.

#include <cmath>

#include "kernels/delta_rule/delta_rule_testing.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kChunk = 64;

struct Matrix {
  Matrix(int64_t r, int64_t c) : rows(r), columns(c), x(r * c) {}
  float& operator()(int64_t i, int64_t j) { return x[i * columns + j]; }
  float operator()(int64_t i, int64_t j) const { return x[i * columns + j]; }

  // f(i, j) replaces element (i, j).
  template <typename F>
  Matrix Map(F f) const {
    Matrix y(rows, columns);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) y(i, j) = f(i, j);
    }
    return y;
  }
  Matrix T() const {
    return Matrix(columns, rows).Map([&](int64_t i, int64_t j) {
      return (*this)(j, i);
    });
  }
  Matrix ScaledRows(const std::vector<float>& s) const {
    return Map([&](int64_t i, int64_t j) { return s[i] * (*this)(i, j); });
  }

  int64_t rows, columns;
  std::vector<float> x;
};

Matrix operator+(const Matrix& a, const Matrix& b) {
  return a.Map([&](int64_t i, int64_t j) { return a(i, j) + b(i, j); });
}
Matrix operator*(float s, const Matrix& a) {
  return a.Map([&](int64_t i, int64_t j) { return s * a(i, j); });
}
float RowDot(const Matrix& a, const Matrix& b, int64_t i) {
  float sum = 0;
  for (int64_t j = 0; j < a.columns; ++j) sum += a(i, j) * b(i, j);
  return sum;
}

class Head {
 public:
  Head(const DeltaRuleShape& shape, const DeltaRuleInputs& in, DType operands,
       bool wrong, int64_t b, int64_t h)
      : s_(shape), in_(in), operands_(operands), wrong_(wrong), b_(b), h_(h) {}

  void Run(DeltaRuleOutputs* out) {
    Matrix state = State(in_.initial_state);
    std::vector<Matrix> states;
    for (int64_t t = 0; t < s_.seq; t += kChunk) {
      states.push_back(state);
      state = Forward(t, state, out);
    }
    Store(state, &out->final_state);
    if (!in_.dout.empty()) {
      Matrix ds = State(in_.dfinal_state);
      for (int64_t c = static_cast<int64_t>(states.size()) - 1; c >= 0; --c) {
        ds = Backward(c * kChunk, states[c], ds, out);
      }
      if (!in_.initial_state.empty()) Store(ds, &out->dinitial_state);
    }
  }

 private:
  // Everything of a chunk that both passes need.
  struct Chunk {
    int64_t n;
    Matrix q, k, v, lm, b, t, u, w, p, vn;
    std::vector<float> beta, e, d;
  };

  float Round(float x) const {
    return operands_ == DType::kBF16 ? ToFloat(ToBFloat16(x)) : x;
  }
  Matrix Mul(const Matrix& a, const Matrix& b) const {
    const auto round = [&](const Matrix& m) {
      return m.Map([&](int64_t i, int64_t j) { return Round(m(i, j)); });
    };
    const Matrix x = round(a), y = round(b);
    Matrix c(a.rows, b.columns);
    for (int64_t i = 0; i < a.rows; ++i) {
      for (int64_t p = 0; p < a.columns; ++p) {
        for (int64_t j = 0; j < b.columns; ++j) c(i, j) += x(i, p) * y(p, j);
      }
    }
    return c;
  }

  int64_t QkRow(int64_t t) const {
    const int64_t head = h_ / (s_.v_heads / s_.heads);
    return ((b_ * s_.seq + t) * s_.heads + head) * s_.d_k;
  }
  int64_t Gate(int64_t t) const { return (b_ * s_.seq + t) * s_.v_heads + h_; }

  Matrix State(const std::vector<double>& all) const {
    Matrix m(s_.d_k, s_.d_v);
    const int64_t first = (b_ * s_.v_heads + h_) * s_.d_k * s_.d_v;
    for (size_t i = 0; i < m.x.size() && !all.empty(); ++i) {
      m.x[i] = static_cast<float>(all[first + i]);
    }
    return m;
  }
  void Store(const Matrix& m, std::vector<double>* all) const {
    const int64_t first = (b_ * s_.v_heads + h_) * s_.d_k * s_.d_v;
    for (size_t i = 0; i < m.x.size(); ++i) (*all)[first + i] = m.x[i];
  }
  Matrix Values(const std::vector<double>& x, int64_t t, int64_t n) const {
    return Matrix(n, s_.d_v).Map([&](int64_t i, int64_t j) {
      return static_cast<float>(x[Gate(t + i) * s_.d_v + j]);
    });
  }

  Chunk Prepare(int64_t t, const Matrix& state) const {
    const int64_t n = std::min(kChunk, s_.seq - t);
    const auto keys = [&](const std::vector<double>& x, double scale) {
      return Matrix(n, s_.d_k).Map([&](int64_t i, int64_t j) {
        return static_cast<float>(scale * x[QkRow(t + i) + j]);
      });
    };
    Chunk c{n,
            keys(in_.q, in_.scale),
            keys(in_.k, 1),
            Values(in_.v, t, n),
            Matrix(n, n),
            Matrix(n, n),
            Matrix(n, n),
            Matrix(n, s_.d_v),
            Matrix(n, s_.d_k),
            Matrix(n, n),
            Matrix(n, s_.d_v),
            std::vector<float>(n),
            std::vector<float>(n),
            std::vector<float>(n)};
    std::vector<double> total(n);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += in_.g.empty() ? 0.0 : in_.g[Gate(t + i)];
      total[i] = sum;
      c.beta[i] = static_cast<float>(in_.beta[Gate(t + i)]);
    }
    std::vector<float> beta_e(n);
    for (int64_t i = 0; i < n; ++i) {
      c.e[i] = static_cast<float>(std::exp(total[i]));
      c.d[i] = static_cast<float>(std::exp(sum - total[i]));
      beta_e[i] = c.beta[i] * c.e[i];
      for (int64_t j = 0; j <= i; ++j) {
        c.lm(i, j) = static_cast<float>(std::exp(total[i] - total[j]));
      }
    }
    const Matrix kk = Mul(c.k, c.k.T());
    c.b = kk.Map([&](int64_t i, int64_t j) {
      return j < i ? c.beta[i] * kk(i, j) * c.lm(i, j) : 0.0f;
    });
    for (int64_t i = 0; i < n; ++i) {  // T = (I + B)^-1
      c.t(i, i) = 1;
      for (int64_t m = 0; m < i && !wrong_; ++m) {
        for (int64_t j = 0; j <= m; ++j) c.t(i, j) -= c.b(i, m) * c.t(m, j);
      }
    }
    c.u = Mul(c.t, c.v.ScaledRows(c.beta));
    c.w = Mul(c.t, c.k.ScaledRows(beta_e));
    c.vn = c.u + -1.0f * Mul(c.w, state);
    const Matrix qk = Mul(c.q, c.k.T());
    c.p = qk.Map([&](int64_t i, int64_t j) {
      return j <= i ? qk(i, j) * c.lm(i, j) : 0;
    });
    return c;
  }

  Matrix Forward(int64_t t, const Matrix& state, DeltaRuleOutputs* out) const {
    const Chunk c = Prepare(t, state);
    const Matrix o = Mul(c.q.ScaledRows(c.e), state) + Mul(c.p, c.vn);
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < s_.d_v; ++j) {
        out->o[Gate(t + i) * s_.d_v + j] = Round(o(i, j));
      }
    }
    return c.e[c.n - 1] * state + Mul(c.k.ScaledRows(c.d).T(), c.vn);
  }

  // Returns the gradient of the chunk's first state.
  Matrix Backward(int64_t t, const Matrix& state, const Matrix& ds,
                  DeltaRuleOutputs* out) const {
    const Chunk c = Prepare(t, state);
    const int64_t n = c.n;
    const Matrix dout = Values(in_.dout, t, n);
    const Matrix dvn = Mul(c.p.T(), dout) + Mul(c.k, ds).ScaledRows(c.d);
    const Matrix dvb = Mul(c.t.T(), dvn);
    const Matrix dkb = -1.0f * Mul(c.t.T(), Mul(dvn, state.T()));
    const Matrix db_all = Mul(dvb, c.u.T()) + Mul(dkb, c.w.T());
    const Matrix db = db_all.Map(
        [&](int64_t i, int64_t j) { return j < i ? -db_all(i, j) : 0.0f; });
    const Matrix dp_all = Mul(dout, c.vn.T());
    const Matrix dp_lm = dp_all.Map([&](int64_t i, int64_t j) {
      return j <= i ? dp_all(i, j) * c.lm(i, j) : 0.0f;
    });
    const Matrix x = db.Map([&](int64_t i, int64_t j) {
      return c.beta[i] * db(i, j) * c.lm(i, j);
    });
    std::vector<float> beta_e(n);
    for (int64_t i = 0; i < n; ++i) beta_e[i] = c.beta[i] * c.e[i];
    const Matrix dq_state = Mul(dout, state.T()).ScaledRows(c.e);
    const Matrix dk_state = dkb.ScaledRows(beta_e);
    const Matrix dk_end = Mul(c.vn, ds.T()).ScaledRows(c.d);
    const Matrix dq = dq_state + Mul(dp_lm, c.k);
    const Matrix dk =
        dk_state + Mul(x, c.k) + Mul(dp_lm.T(), c.q) + dk_end + Mul(x.T(), c.k);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < s_.d_k; ++j) {
        out->dq[QkRow(t + i) + j] += in_.scale * dq(i, j);
        out->dk[QkRow(t + i) + j] += dk(i, j);
      }
      for (int64_t j = 0; j < s_.d_v; ++j) {
        out->dv[Gate(t + i) * s_.d_v + j] = Round(c.beta[i] * dvb(i, j));
      }
      float dbeta = RowDot(dvb, c.v, i) + c.e[i] * RowDot(dkb, c.k, i);
      for (int64_t j = 0; j < i; ++j) {
        if (c.beta[i] != 0) dbeta += db(i, j) * c.b(i, j) / c.beta[i];
      }
      out->dbeta[Gate(t + i)] = dbeta;
    }
    if (!in_.g.empty()) {
      float through = 0;
      for (size_t i = 0; i < state.x.size(); ++i) {
        through += c.e[n - 1] * Round(state.x[i]) * Round(ds.x[i]);
      }
      const Matrix m = db.Map([&](int64_t i, int64_t j) {
        return j < i ? db(i, j) * c.b(i, j) + dp_all(i, j) * c.p(i, j) : 0.0f;
      });
      for (int64_t r = 0; r < n; ++r) {
        float dg = through;
        for (int64_t i = 0; i < r; ++i) dg += RowDot(dk_end, c.k, i);
        for (int64_t i = r; i < n; ++i) {
          dg += RowDot(dq_state, c.q, i) + RowDot(dk_state, c.k, i);
          for (int64_t j = 0; j < r; ++j) dg += m(i, j);
        }
        out->dg[Gate(t + r)] = dg;
      }
    }
    return c.e[n - 1] * ds + Mul(c.q.ScaledRows(c.e).T(), dout) +
           -1.0f * Mul(c.w.T(), dvn);
  }

  const DeltaRuleShape& s_;
  const DeltaRuleInputs& in_;
  const DType operands_;
  const bool wrong_;
  const int64_t b_, h_;
};

}  // namespace

DeltaRuleOutputs DeltaRulePlainChunked(const DeltaRuleShape& shape,
                                       const DeltaRuleInputs& in,
                                       DType operands, bool wrong) {
  DeltaRuleOutputs out;
  out.o.resize(in.v.size());
  out.final_state.resize(shape.batch * shape.v_heads * shape.d_k * shape.d_v);
  if (!in.dout.empty()) {
    out.dq.resize(in.q.size());
    out.dk.resize(in.k.size());
    out.dv.resize(in.v.size());
    out.dbeta.resize(in.beta.size());
    out.dg.resize(in.g.size());
    out.dinitial_state.resize(in.initial_state.size());
  }
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.v_heads; ++h) {
      Head(shape, in, operands, wrong, b, h).Run(&out);
    }
  }
  for (std::vector<double>* d : {&out.dq, &out.dk}) {
    for (double& x : *d) {
      const float f = static_cast<float>(x);
      x = operands == DType::kBF16 ? ToFloat(ToBFloat16(f)) : f;
    }
  }
  return out;
}

}  // namespace lt2::kernels
