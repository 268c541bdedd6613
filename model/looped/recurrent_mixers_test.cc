// The mixers with a matrix state against their formulas in fp64, token by token
// (paper.md 2.2 to 2.9, 2.15).

#include "gtest/gtest.h"
#include "model/looped/formula_testing.h"

namespace lt2::model {
namespace {

using testing::CpuContext;
using testing::Near;

constexpr int64_t kHeads = kFormulaHeads, kDim = kFormulaDim;

// What one step of a recurrence has, for head h.
struct Step {
  std::function<double(int64_t h, int64_t c)> q, k, v, decay;
  std::function<double(int64_t h)> beta;  // none: no delta rule
};

// Outputs S'q of each step, heads side by side.
Rows Recur(const std::vector<Step>& steps, int64_t d_k, int64_t d_v) {
  Rows o(steps.size(), std::vector<double>(kHeads * d_v));
  for (int64_t h = 0; h < kHeads; ++h) {
    Rows s(d_k, std::vector<double>(d_v));
    for (size_t t = 0; t < steps.size(); ++t) {
      const Step& step = steps[t];
      for (int64_t i = 0; i < d_k; ++i) {
        for (double& x : s[i]) x *= step.decay(h, i);
      }
      for (int64_t j = 0; j < d_v; ++j) {
        double u = step.v(h, j);
        if (step.beta) {
          for (int64_t i = 0; i < d_k; ++i) u -= step.k(h, i) * s[i][j];
          u *= step.beta(h);
        }
        for (int64_t i = 0; i < d_k; ++i) s[i][j] += step.k(h, i) * u;
        for (int64_t i = 0; i < d_k; ++i) {
          o[t][h * d_v + j] += step.q(h, i) * s[i][j];
        }
      }
    }
  }
  return o;
}

// Channel c of head h among rows of heads of `dim`.
std::function<double(int64_t, int64_t)> Head(const std::vector<double>& row,
                                             int64_t dim) {
  return [&row, dim](int64_t h, int64_t c) { return row[h * dim + c]; };
}

void Scale(Rows& rows, double factor) {
  for (auto& row : rows) {
    for (double& x : row) x *= factor;
  }
}

void L2(Rows& rows, int64_t dim) {
  for (auto& row : rows) {
    for (size_t h = 0; h < row.size(); h += dim) {
      const double norm = std::sqrt(
          Dot(row, static_cast<int64_t>(h), row, static_cast<int64_t>(h), dim) +
          1e-6);
      for (int64_t c = 0; c < dim; ++c) row[h + c] /= norm;
    }
  }
}

Rows Times(Rows a, const Rows& b, double (*act)(double)) {
  for (size_t t = 0; t < a.size(); ++t) {
    for (size_t c = 0; c < a[t].size(); ++c) a[t][c] *= act(b[t][c]);
  }
  return a;
}

// The inputs that the delta-rule mixers share; `n` steps for each token, whose
// rows stand side by side.
struct DeltaInputs {
  DeltaInputs(const FormulaSubject& s, int64_t d_k)
      : q(s.Conv(s.Project("q_proj.weight"), "q_conv1d.weight")),
        k(s.Conv(s.Project("k_proj.weight"), "k_conv1d.weight")),
        v(s.Conv(s.Project("v_proj.weight"), "v_conv1d.weight")),
        b(s.Project("b_proj.weight")) {
    L2(q, d_k);
    L2(k, d_k);
    Scale(q, 1 / std::sqrt(static_cast<double>(d_k)));
  }
  Rows q, k, v, b;
};

double One(int64_t, int64_t) { return 1; }

TEST(DeltaNet, IsItsFormula) {
  constexpr int64_t kD = kDim / kHeads;
  for (bool negative : {false, true}) {
    auto ctx = CpuContext();
    const FormulaSubject s(*ctx, "deltanet", {{"allow_neg_eigval", negative}});
    const DeltaInputs in(s, kD);
    std::vector<Step> steps;
    for (int64_t t = 0; t < kFormulaSeq; ++t) {
      steps.push_back({Head(in.q[t], kD), Head(in.k[t], kD), Head(in.v[t], kD),
                       One, [&, t](int64_t h) {
                         return (negative ? 2 : 1) * Sigmoid(in.b[t][h]);
                       }});
    }
    const Rows o = s.RmsNorm(Recur(steps, kD, kD), "o_norm.weight");
    EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", o)), 1e-5));
  }
}

TEST(Gdn, IsItsFormula) {
  constexpr int64_t kDk = 12, kDv = 24;  // 3/4 dim, twice that
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "gdn", nullptr);
  const DeltaInputs in(s, kDk);
  const Rows a = s.Project("a_proj.weight");
  std::vector<Step> steps;
  for (int64_t t = 0; t < kFormulaSeq; ++t) {
    steps.push_back({Head(in.q[t], kDk), Head(in.k[t], kDk), Head(in.v[t], kDv),
                     [&, t](int64_t h, int64_t) {
                       return std::exp(-std::exp(s.W("A_log")[h]) *
                                       Softplus(a[t][h] + s.W("dt_bias")[h]));
                     },
                     [&, t](int64_t h) { return Sigmoid(in.b[t][h]); }});
  }
  const Rows o = Times(s.RmsNorm(Recur(steps, kDk, kDv), "o_norm.weight"),
                       s.Project("g_proj.weight"), Silu);
  EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", o)), 1e-5));
}

TEST(Kda, IsItsFormula) {
  constexpr int64_t kD = kDim / kHeads;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "kda", nullptr);
  const DeltaInputs in(s, kD);
  const Rows f = s.Apply("f_proj.1.weight", s.Project("f_proj.0.weight"));
  Rows gate = s.Apply("g_proj.1.weight", s.Project("g_proj.0.weight"));
  std::vector<Step> steps;
  for (int64_t t = 0; t < kFormulaSeq; ++t) {
    for (size_t c = 0; c < gate[t].size(); ++c) {
      gate[t][c] += s.W("g_proj.1.bias")[c];
    }
    steps.push_back({Head(in.q[t], kD), Head(in.k[t], kD), Head(in.v[t], kD),
                     [&, t](int64_t h, int64_t c) {
                       return std::exp(-std::exp(s.W("A_log")[h]) *
                                       Softplus(f[t][h * kD + c] +
                                                s.W("dt_bias")[h * kD + c]));
                     },
                     [&, t](int64_t h) { return Sigmoid(in.b[t][h]); }});
  }
  const Rows o =
      Times(s.RmsNorm(Recur(steps, kD, kD), "o_norm.weight"), gate, Sigmoid);
  EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", o)), 1e-5));
}

TEST(DeltaProduct, IsItsFormula) {
  constexpr int64_t kDk = 12, kDv = 24;
  for (int64_t n : {1, 2, 3}) {
    for (bool gated : {true, false}) {
      auto ctx = CpuContext();
      const FormulaSubject s(*ctx, "deltaproduct",
                             {{"num_householder", n},
                              {"use_forget_gate", gated},
                              {"use_output_gate", gated}});
      const DeltaInputs in(s, kDk);
      Rows a;
      if (gated) a = s.Project("a_proj.weight");
      std::vector<Step> steps;
      for (int64_t t = 0; t < kFormulaSeq; ++t) {
        for (int64_t i = 0; i < n; ++i) {
          steps.push_back({Head(in.q[t], kDk),
                           [&, t, i](int64_t h, int64_t c) {
                             return in.k[t][(i * kHeads + h) * kDk + c];
                           },
                           [&, t, i](int64_t h, int64_t c) {
                             return in.v[t][(i * kHeads + h) * kDv + c];
                           },
                           [&, t, i](int64_t h, int64_t) {
                             if (!gated || i > 0) return 1.0;
                             return std::exp(
                                 -std::exp(s.W("A_log")[h]) *
                                 Softplus(a[t][h] + s.W("dt_bias")[h]));
                           },
                           [&, t, i](int64_t h) {
                             return 2 * Sigmoid(in.b[t][i * kHeads + h]);
                           }});
        }
      }
      const Rows all = Recur(steps, kDk, kDv);
      Rows o;  // after the last step of each token
      for (int64_t t = 0; t < kFormulaSeq; ++t) {
        o.push_back(all[t * n + n - 1]);
      }
      o = s.RmsNorm(o, "o_norm.weight");
      if (gated) o = Times(o, s.Project("g_proj.weight"), Silu);
      EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", o)), 1e-5))
          << n << " steps" << (gated ? ", gated" : "");
    }
  }
}

// The rest has no convolution (but Mamba2) and no delta rule.
Rows Linear(const Rows& q, const Rows& k, const Rows& v,
            const std::function<double(int64_t t, int64_t h, int64_t c)>& decay,
            int64_t d_k, int64_t d_v) {
  std::vector<Step> steps;
  for (int64_t t = 0; t < kFormulaSeq; ++t) {
    steps.push_back(
        {Head(q[t], d_k), Head(k[t], d_k), Head(v[t], d_v),
         [&decay, t](int64_t h, int64_t c) { return decay(t, h, c); },
         nullptr});
  }
  return Recur(steps, d_k, d_v);
}

TEST(LinearAttention, IsItsFormula) {
  constexpr int64_t kD = kDim / kHeads;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "linear_attention", nullptr);
  auto map = [&](const Rows& rows, const std::string& name) {
    Rows mapped = rows;
    for (size_t t = 0; t < rows.size(); ++t) {
      for (int64_t h = 0; h < kHeads; ++h) {
        const Rows head = {
            {rows[t].begin() + h * kD, rows[t].begin() + (h + 1) * kD}};
        const Rows one = s.Apply(name + ".layer1.weight", head);
        const Rows two = s.Apply(name + ".layer2.weight", head);
        for (int64_t c = 0; c < kD; ++c) {
          mapped[t][h * kD + c] = (one[0][c] + s.W(name + ".layer1.bias")[c]) *
                                  (two[0][c] + s.W(name + ".layer2.bias")[c]);
        }
      }
    }
    return mapped;
  };
  Rows q = map(s.Project("q_proj.weight"), "feature_map_q");
  const Rows k = map(s.Project("k_proj.weight"), "feature_map_k");
  Scale(q, 0.25);  // 16^-1/2
  const Rows o = Linear(
      q, k, s.Project("v_proj.weight"),
      [](int64_t, int64_t, int64_t) { return 1.0; }, kD, kD);
  EXPECT_TRUE(Near(
      s.y, Flat(s.Apply("o_proj.weight", s.RmsNorm(o, "norm.weight"))), 1e-5));
}

TEST(RetNet, IsItsFormula) {
  constexpr int64_t kDk = kDim / kHeads, kDv = 2 * kDk;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "retnet", nullptr);
  Rows q = s.Project("q_proj.weight"), k = s.Project("k_proj.weight");
  Rotate(q, kDk, true);
  Rotate(k, kDk, true);
  Scale(q, 0.25);
  const Rows o = Linear(
      q, k, s.Project("v_proj.weight"),
      [](int64_t, int64_t h, int64_t) {
        return 1 - std::pow(2.0, -5.0 - static_cast<double>(h));
      },
      kDk, kDv);
  const Rows y = Times(s.RmsNorm(o, "g_norm_swish_gate.weight"),
                       s.Project("g_proj.weight"), Silu);
  EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", y)), 1e-5));
}

TEST(Gla, IsItsFormula) {
  constexpr int64_t kDk = 8, kDv = 16;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "gla", nullptr);
  Rows q = s.Project("q_proj.weight");
  Scale(q, 1 / std::sqrt(static_cast<double>(kDk)));
  const Rows a = s.Apply("gk_proj.1.weight", s.Project("gk_proj.0.weight"));
  const Rows o = Linear(
      q, s.Project("k_proj.weight"), s.Project("v_proj.weight"),
      [&](int64_t t, int64_t h, int64_t c) {
        const double z = a[t][h * kDk + c] + s.W("gk_proj.1.bias")[h * kDk + c];
        return std::exp(std::log(Sigmoid(z)) / 16);
      },
      kDk, kDv);
  const Rows y = Times(s.RmsNorm(o, "g_norm_swish_gate.weight"),
                       s.Project("g_proj.weight"), Silu);
  EXPECT_TRUE(Near(s.y, Flat(s.Apply("o_proj.weight", y)), 1e-5));
}

TEST(Hgrn2, IsItsFormula) {
  constexpr int64_t kD = kDim / kHeads;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "hgrn2", nullptr);
  Rows q = s.Project("q_proj.weight");
  const Rows f = s.Project("f_proj.weight");
  Rows k = f;
  for (size_t t = 0; t < q.size(); ++t) {
    for (int64_t c = 0; c < kDim; ++c) {
      q[t][c] = Silu(q[t][c]) / 4;
      k[t][c] = 1 - Sigmoid(f[t][c]);
    }
  }
  const Rows o = Linear(
      q, k, s.Project("i_proj.weight"),
      [&](int64_t t, int64_t h, int64_t c) {
        return Sigmoid(f[t][h * kD + c]);
      },
      kD, kD);
  // Over all channels, not over each head.
  EXPECT_TRUE(
      Near(s.y, Flat(s.Apply("o_proj.weight", s.RmsNorm(o, "g_norm.weight"))),
           1e-5));
}

TEST(Mamba2, IsItsFormula) {
  constexpr int64_t kInner = 2 * kDim, kN = 16, kP = kInner / kHeads;
  auto ctx = CpuContext();
  const FormulaSubject s(*ctx, "mamba2", {{"state_size", kN}});
  auto rows = [&](int64_t begin, int64_t end) {
    return s.Apply("in_proj.weight", s.x, begin, end);
  };
  auto conv = [&](int64_t begin, int64_t end) {
    return s.Conv(rows(kInner + begin, kInner + end), "conv1d.weight",
                  "conv1d.bias", begin);
  };
  const Rows z = rows(0, kInner), u = conv(0, kInner);
  const Rows b = conv(kInner, kInner + kN);
  const Rows c = conv(kInner + kN, kInner + 2 * kN);
  const Rows dt = rows(2 * kInner + 2 * kN, 2 * kInner + 2 * kN + kHeads);
  auto delta = [&](int64_t t, int64_t h) {
    return Softplus(dt[t][h] + s.W("dt_bias")[h]);
  };
  std::vector<Step> steps;
  for (int64_t t = 0; t < kFormulaSeq; ++t) {
    steps.push_back({[&, t](int64_t, int64_t i) { return c[t][i]; },
                     [&, t](int64_t, int64_t i) { return b[t][i]; },
                     [&, t](int64_t h, int64_t i) {
                       return delta(t, h) * u[t][h * kP + i];
                     },
                     [&, t](int64_t h, int64_t) {
                       return std::exp(-std::exp(s.W("A_log")[h]) *
                                       delta(t, h));
                     },
                     nullptr});
  }
  Rows o = Recur(steps, kN, kP);
  for (int64_t t = 0; t < kFormulaSeq; ++t) {
    for (int64_t i = 0; i < kInner; ++i) {
      o[t][i] += s.W("D")[i / kP] * u[t][i];
    }
  }
  o = s.RmsNorm(Times(o, z, Silu), "norm.weight");
  EXPECT_TRUE(Near(s.y, Flat(s.Apply("out_proj.weight", o)), 1e-5));
}

}  // namespace
}  // namespace lt2::model
