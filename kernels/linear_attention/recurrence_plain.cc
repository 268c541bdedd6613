// RecurrencePlainChunked: the textbook chunked formula, as written in papers
// ("WY form") and in the READMEs, with a matrix class of plain loops. It shares
// no code with the implementations under test and keeps T, U and W explicit.

#include <algorithm>
#include <cmath>

#include "kernels/linear_attention/recurrence_testing.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kChunk = 64;
constexpr int64_t kSubChunk = 16;  // of decay per channel

struct Matrix {
  Matrix() : Matrix(0, 0) {}
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
  // Elements j <= i (j < i if strict), else 0.
  Matrix Lower(bool strict = false) const {
    return Map([&](int64_t i, int64_t j) {
      return j < i + (strict ? 0 : 1) ? (*this)(i, j) : 0.0f;
    });
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
// Element by element.
Matrix Hadamard(const Matrix& a, const Matrix& b) {
  return a.Map([&](int64_t i, int64_t j) { return a(i, j) * b(i, j); });
}
float RowDot(const Matrix& a, const Matrix& b, int64_t i) {
  float sum = 0;
  for (int64_t j = 0; j < a.columns; ++j) sum += a(i, j) * b(i, j);
  return sum;
}

class Head {
 public:
  Head(const RecurrenceShape& shape, const RecurrenceInputs& in, DType operands,
       bool wrong, int64_t b, int64_t h)
      : s_(shape),
        in_(in),
        operands_(operands),
        wrong_(wrong),
        delta_(!in.beta.empty()),
        channel_(in.decay == Decay::kChannel && !in.g.empty()),
        b_(b),
        h_(h) {}

  void Run(RecurrenceOutputs* out) {
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
    Matrix q, k, v;               // q is scaled
    std::vector<float> beta;      // 1 without
    std::vector<double> total;    // [n, width]: G
    Matrix e, d;                  // [n, d_k]: e^{G_i}, e^{G_C - G_i}
    std::vector<float> end;       // [d_k]: e^{G_C}
    Matrix lm;                    // [n, n], unless per channel; else:
    Matrix near;                  // [n, d_k]: e^{G_i - R}
    std::vector<Matrix> far;      // by sub-chunk, rows before it: e^{R - G_j}
    Matrix p, a, b, t, u, w, vn;  // a, b, t, u, w: the delta rule's
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
  double G(int64_t t, int64_t channel) const {
    if (in_.g.empty()) return 0;
    if (in_.decay == Decay::kHead) return in_.g[h_];
    return channel_ ? in_.g[Gate(t) * s_.d_k + channel] : in_.g[Gate(t)];
  }

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
  Matrix Keys(const std::vector<double>& x, int64_t t, int64_t n) const {
    return Matrix(n, s_.d_k).Map([&](int64_t i, int64_t j) {
      return static_cast<float>(x[QkRow(t + i) + j]);
    });
  }

  // How decay per channel multiplies a product of row i of x and row j of k:
  // (x_ic near) (k_jc far), with each bracket one operand. Rows of the same
  // sub-chunk are multiplied in f32.
  struct PairDecay {
    float near;    // e^{G_i - R}, R the sum before i's sub-chunk
    float far;     // e^{R - G_j}
    bool operand;  // false: near is all of it, e^{G_i - G_j}
  };
  PairDecay DecayOfPair(const Chunk& c, int64_t i, int64_t j,
                        int64_t channel) const {
    const int64_t block = i / kSubChunk;
    if (block == j / kSubChunk) {
      return {static_cast<float>(std::exp(c.total[i * s_.d_k + channel] -
                                          c.total[j * s_.d_k + channel])),
              1.0f, false};
    }
    return {c.near(i, channel), c.far[block](j, channel), true};
  }

  // Fills c->near and c->far.
  void TabulatePairDecays(Chunk* c) const {
    const auto total = [&](int64_t row, int64_t m) {
      return row < 0 ? 0.0 : c->total[row * s_.d_k + m];
    };
    c->near = Matrix(c->n, s_.d_k).Map([&](int64_t i, int64_t m) {
      const double reference = total(i / kSubChunk * kSubChunk - 1, m);
      return static_cast<float>(std::exp(total(i, m) - reference));
    });
    for (int64_t first = 0; first < c->n; first += kSubChunk) {
      c->far.push_back(Matrix(first, s_.d_k).Map([&](int64_t j, int64_t m) {
        const double reference = total(first - 1, m);
        return static_cast<float>(std::exp(reference - total(j, m)));
      }));
    }
  }

  // sum_c x_ic k_jc e^{G_ic - G_jc} for j <= i.
  Matrix PairSums(const Chunk& c, const Matrix& x) const {
    return Matrix(c.n, c.n).Map([&](int64_t i, int64_t j) {
      float sum = 0;
      for (int64_t m = 0; m < s_.d_k && j <= i; ++m) {
        const PairDecay d = DecayOfPair(c, i, j, m);
        const float left = x(i, m) * d.near, right = c.k(j, m) * d.far;
        sum += d.operand ? Round(left) * Round(right) : left * right;
      }
      return sum;
    });
  }

  // Its gradients, given those of the sums: dx, dk, and what crosses from
  // before token t to t or later, added to row t of dg.
  void PairSumsGradient(const Chunk& c, const Matrix& x, const Matrix& dsum,
                        Matrix* dx, Matrix* dk, Matrix* dg) const {
    for (int64_t m = 0; m < s_.d_k; ++m) {
      for (int64_t i = 0; i < c.n; ++i) {
        float prefix = 0;
        for (int64_t j = 0; j <= i; ++j) {
          const PairDecay d = DecayOfPair(c, i, j, m);
          const auto round = [&](float y) { return d.operand ? Round(y) : y; };
          const float left = round(x(i, m) * d.near);
          const float right = round(c.k(j, m) * d.far);
          const float gradient = round(dsum(i, j));
          (*dx)(i, m) += gradient * right * d.near;
          (*dk)(j, m) += gradient * left * d.far;
          prefix += gradient * left * right;
          if (j < i) (*dg)(j + 1, m) += prefix;
        }
      }
    }
  }

  Chunk Prepare(int64_t t, const Matrix& state) const {
    Chunk c;
    const int64_t n = c.n = std::min(kChunk, s_.seq - t);
    c.q = Keys(in_.q, t, n);
    for (float& x : c.q.x) x *= static_cast<float>(in_.scale);
    c.k = Keys(in_.k, t, n);
    c.v = Values(in_.v, t, n);
    c.beta.assign(n, 1.0f);
    for (int64_t i = 0; i < n && delta_; ++i) {
      c.beta[i] = static_cast<float>(in_.beta[Gate(t + i)]);
    }
    c.total.resize(n * s_.d_k);
    c.e = c.d = Matrix(n, s_.d_k);
    c.end.resize(s_.d_k);
    for (int64_t m = 0; m < s_.d_k; ++m) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) {
        // The wrong twin's sum is without token i itself.
        if (wrong_ && !delta_) c.total[i * s_.d_k + m] = sum;
        sum += G(t + i, m);
        if (!wrong_ || delta_) c.total[i * s_.d_k + m] = sum;
      }
      sum = c.total[(n - 1) * s_.d_k + m];
      c.end[m] = static_cast<float>(std::exp(sum));
      for (int64_t i = 0; i < n; ++i) {
        const double total = c.total[i * s_.d_k + m];
        c.e(i, m) = static_cast<float>(std::exp(total));
        c.d(i, m) = static_cast<float>(std::exp(sum - total));
      }
    }
    if (channel_) {
      TabulatePairDecays(&c);
      c.p = PairSums(c, c.q);
    } else {
      c.lm = Matrix(n, n).Map([&](int64_t i, int64_t j) {
        return j > i ? 0.0f
                     : static_cast<float>(
                           std::exp(c.total[i * s_.d_k] - c.total[j * s_.d_k]));
      });
      c.p = Hadamard(Mul(c.q, c.k.T()), c.lm);
    }
    if (!delta_) {
      c.vn = c.v;
      return c;
    }
    c.a = channel_ ? PairSums(c, c.k) : Hadamard(Mul(c.k, c.k.T()), c.lm);
    c.a = c.a.Lower(/*strict=*/true);
    c.b = c.a.ScaledRows(c.beta);
    c.t = Matrix(n, n);
    for (int64_t i = 0; i < n; ++i) {  // T = (I + B)^-1
      c.t(i, i) = 1;
      for (int64_t m = 0; m < i && !wrong_; ++m) {
        for (int64_t j = 0; j <= m; ++j) c.t(i, j) -= c.b(i, m) * c.t(m, j);
      }
    }
    c.u = Mul(c.t, c.v.ScaledRows(c.beta));
    c.w = Mul(c.t, Hadamard(c.e, c.k).ScaledRows(c.beta));
    c.vn = c.u + -1.0f * Mul(c.w, state);
    return c;
  }

  // diag(end) m
  Matrix Decayed(const Chunk& c, const Matrix& m) const {
    return m.ScaledRows(c.end);
  }

  Matrix Forward(int64_t t, const Matrix& state, RecurrenceOutputs* out) const {
    const Chunk c = Prepare(t, state);
    const Matrix o = Mul(Hadamard(c.e, c.q), state) + Mul(c.p, c.vn);
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < s_.d_v; ++j) {
        out->o[Gate(t + i) * s_.d_v + j] = Round(o(i, j));
      }
    }
    return Decayed(c, state) + Mul(Hadamard(c.d, c.k).T(), c.vn);
  }

  // Returns the gradient of the chunk's first state.
  Matrix Backward(int64_t t, const Matrix& state, const Matrix& ds,
                  RecurrenceOutputs* out) const {
    const Chunk c = Prepare(t, state);
    const int64_t n = c.n, d_k = s_.d_k;
    const Matrix dout = Values(in_.dout, t, n);
    // One decay for all channels is better applied to the product.
    std::vector<float> to_end(n);
    for (int64_t i = 0; i < n; ++i) to_end[i] = c.d(i, 0);
    const Matrix from_end = channel_ ? Mul(Hadamard(c.d, c.k), ds)
                                     : Mul(c.k, ds).ScaledRows(to_end);
    const Matrix dvn = Mul(c.p.T(), dout) + from_end;
    const Matrix dp = Mul(dout, c.vn.T()).Lower();
    const Matrix dq_state = Hadamard(Mul(dout, state.T()), c.e);
    const Matrix dk_end = Hadamard(Mul(c.vn, ds.T()), c.d);
    Matrix dq = dq_state, dk = dk_end;
    Matrix da, dk_state = Matrix(n, d_k), dg(n, d_k);
    Matrix ds0 = Decayed(c, ds) + Mul(Hadamard(c.e, c.q).T(), dout);
    Matrix dv = dvn;
    if (delta_) {
      const Matrix dvb = Mul(c.t.T(), dvn);
      const Matrix dkb = -1.0f * Mul(c.t.T(), Mul(dvn, state.T()));
      const Matrix db = -1.0f * (Mul(dvb, c.u.T()) + Mul(dkb, c.w.T()));
      da = db.Lower(/*strict=*/true).ScaledRows(c.beta);
      dk_state = Hadamard(dkb.ScaledRows(c.beta), c.e);
      dk = dk + dk_state;
      dv = dvb.ScaledRows(c.beta);
      ds0 = ds0 + -1.0f * Mul(c.w.T(), dvn);
      const Matrix ke = Hadamard(c.e, c.k);
      for (int64_t i = 0; i < n; ++i) {
        float dbeta = RowDot(dvb, c.v, i) + RowDot(dkb, ke, i);
        for (int64_t j = 0; j < i; ++j) dbeta += db(i, j) * c.a(i, j);
        out->dbeta[Gate(t + i)] = dbeta;
      }
    }
    if (channel_) {
      PairSumsGradient(c, c.q, dp, &dq, &dk, &dg);
      if (delta_) {
        Matrix dx(n, d_k);
        PairSumsGradient(c, c.k, da, &dx, &dk, &dg);
        dk = dk + dx;
      }
    } else {
      const Matrix z = Hadamard(dp, c.lm);
      dq = dq + Mul(z, c.k);
      dk = dk + Mul(z.T(), c.q);
      if (delta_) {
        const Matrix x = Hadamard(da, c.lm);
        dk = dk + Mul(x, c.k) + Mul(x.T(), c.k);
      }
      for (int64_t i = 0; i < n; ++i) {
        float prefix = 0;
        for (int64_t j = 0; j < i; ++j) {
          prefix += dp(i, j) * c.p(i, j);
          if (delta_) prefix += da(i, j) * c.a(i, j);
          dg(j + 1, 0) += prefix;
        }
      }
    }
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < d_k; ++j) {
        out->dq[QkRow(t + i) + j] += in_.scale * dq(i, j);
        out->dk[QkRow(t + i) + j] += dk(i, j);
      }
      for (int64_t j = 0; j < s_.d_v; ++j) {
        out->dv[Gate(t + i) * s_.d_v + j] = Round(dv(i, j));
      }
    }
    if (!out->dg.empty()) {
      StateDecayGradient(t, c, state, ds, dq_state, dk_state, dk_end, dg, out);
    }
    return ds0;
  }

  // dg: `pairs`, and what passes through the chunk's first and last state.
  void StateDecayGradient(int64_t t, const Chunk& c, const Matrix& state,
                          const Matrix& ds, const Matrix& dq_state,
                          const Matrix& dk_state, const Matrix& dk_end,
                          const Matrix& pairs, RecurrenceOutputs* out) const {
    std::vector<float> through(s_.d_k);
    for (int64_t m = 0; m < s_.d_k; ++m) {
      for (int64_t j = 0; j < s_.d_v; ++j) {
        through[m] += c.end[m] * Round(state(m, j)) * Round(ds(m, j));
      }
    }
    for (int64_t r = 0; r < c.n; ++r) {
      float sum = 0;
      for (int64_t m = 0; m < s_.d_k; ++m) {
        float dg = pairs(r, m) + through[m];
        for (int64_t i = 0; i < r; ++i) dg += dk_end(i, m) * c.k(i, m);
        for (int64_t i = r; i < c.n; ++i) {
          dg += dq_state(i, m) * c.q(i, m) + dk_state(i, m) * c.k(i, m);
        }
        if (channel_) out->dg[Gate(t + r) * s_.d_k + m] = dg;
        sum += dg;
      }
      if (!channel_) out->dg[Gate(t + r)] = sum;
    }
  }

  const RecurrenceShape& s_;
  const RecurrenceInputs& in_;
  const DType operands_;
  const bool wrong_, delta_, channel_;
  const int64_t b_, h_;
};

}  // namespace

RecurrenceOutputs RecurrencePlainChunked(const RecurrenceShape& shape,
                                         const RecurrenceInputs& in,
                                         DType operands, bool wrong) {
  RecurrenceOutputs out;
  out.o.resize(in.v.size());
  out.final_state.resize(shape.batch * shape.v_heads * shape.d_k * shape.d_v);
  if (!in.dout.empty()) {
    out.dq.resize(in.q.size());
    out.dk.resize(in.k.size());
    out.dv.resize(in.v.size());
    out.dbeta.resize(in.beta.size());
    if (in.decay != Decay::kHead) out.dg.resize(in.g.size());
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
