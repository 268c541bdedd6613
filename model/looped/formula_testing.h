// A mixer with drawn weights, and the parts of formulas in fp64: what tests of
// a mixer against its plain formula share. Everything here is a straight loop.

#ifndef LT2_MODEL_LOOPED_FORMULA_TESTING_H_
#define LT2_MODEL_LOOPED_FORMULA_TESTING_H_

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/core/testing.h"
#include "model/looped/init.h"
#include "model/mixers/mixer.h"

namespace lt2::model {

inline constexpr int64_t kFormulaSeq = 37, kFormulaDim = 32, kFormulaHeads = 2;

using Rows = std::vector<std::vector<double>>;  // [seq][channels]

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double Silu(double x) { return x * Sigmoid(x); }
inline double Softplus(double x) { return std::log1p(std::exp(x)); }

inline std::vector<double> Flat(const Rows& rows) {
  std::vector<double> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return flat;
}

class FormulaSubject {
 public:
  // `shape` is the mixer's object of the configuration.
  FormulaSubject(Context& ctx, const char* name, const nlohmann::json& shape) {
    nlohmann::json json = {{"vocab_size", 29},
                           {"dim", kFormulaDim},
                           {"n_heads", kFormulaHeads},
                           {"layer_pattern", name},
                           {"use_attn_gate", true}};
    if (!shape.is_null()) json[name] = shape;
    const auto config = ModelConfig::FromJson(json, "model");
    LT2_CHECK(config.ok(), config.status().ToString());
    auto made = CreateMixer(name, *config);
    LT2_CHECK(made.ok());
    mixer = *std::move(made);
    for (Parameter* p : mixer->parameters()) {
      LT2_CHECK_OK(Materialize(ctx, 3, false, DType::kF32,
                               static_cast<DeclaredParameter*>(p)));
      const std::vector<double> drawn =
          testing::Uniform(p->name.size(), p->value.numel(), -0.4, 0.4);
      LT2_CHECK_OK(
          SetValues(ctx, std::vector<float>(drawn.begin(), drawn.end()), p));
      weights[p->name] = testing::ToDoubles(ctx, p->value);
    }
    const Tensor in = testing::ToTensor(
        ctx, DType::kF32, {1, kFormulaSeq, kFormulaDim},
        testing::Uniform(9, kFormulaSeq * kFormulaDim, -2, 2));
    const std::vector<double> values = testing::ToDoubles(ctx, in);
    for (int64_t t = 0; t < kFormulaSeq; ++t) {
      x.emplace_back(values.begin() + t * kFormulaDim,
                     values.begin() + (t + 1) * kFormulaDim);
    }
    Tape tape(ctx, Tape::kInference);
    const Var out = mixer->Forward(tape, tape.Constant(in), {});
    LT2_CHECK(tape.ok(), tape.status().ToString());
    y = testing::ToDoubles(ctx, out.value());
  }

  const std::vector<double>& W(const std::string& name) const {
    return weights.at(name);
  }
  // W u for every token; rows [begin, end) of W, all by default.
  Rows Apply(const std::string& name, const Rows& u, int64_t begin = 0,
             int64_t end = -1) const {
    const std::vector<double>& w = W(name);
    const int64_t in = static_cast<int64_t>(u[0].size());
    if (end < 0) end = static_cast<int64_t>(w.size()) / in;
    Rows rows(u.size(), std::vector<double>(end - begin));
    for (size_t t = 0; t < u.size(); ++t) {
      for (int64_t o = begin; o < end; ++o) {
        for (int64_t i = 0; i < in; ++i) {
          rows[t][o - begin] += w[o * in + i] * u[t][i];
        }
      }
    }
    return rows;
  }
  Rows Project(const std::string& name) const { return Apply(name, x); }
  // silu(causal convolution + bias), channels [begin, ..) of the weights.
  Rows Conv(const Rows& u, const std::string& weight,
            const std::string& bias = "", int64_t begin = 0) const {
    constexpr int64_t kTaps = 4;
    Rows out = u;
    for (size_t t = 0; t < u.size(); ++t) {
      for (size_t c = 0; c < u[t].size(); ++c) {
        double sum = bias.empty() ? 0 : W(bias)[begin + c];
        for (size_t j = 0; j < kTaps; ++j) {
          if (t + j + 1 < kTaps) continue;
          sum += W(weight)[(begin + c) * kTaps + j] * u[t + j + 1 - kTaps][c];
        }
        out[t][c] = Silu(sum);
      }
    }
    return out;
  }
  // rms_norm over groups of as many channels as the weight has.
  Rows RmsNorm(const Rows& u, const std::string& weight) const {
    const std::vector<double>& w = W(weight);
    Rows out = u;
    for (auto& row : out) {
      for (size_t first = 0; first < row.size(); first += w.size()) {
        double sum = 0;
        for (size_t c = 0; c < w.size(); ++c) {
          sum += row[first + c] * row[first + c];
        }
        for (size_t c = 0; c < w.size(); ++c) {
          row[first + c] *= w[c] / std::sqrt(sum / double(w.size()) + 1e-5);
        }
      }
    }
    return out;
  }

  std::unique_ptr<Mixer> mixer;
  std::map<std::string, std::vector<double>> weights;
  Rows x;
  std::vector<double> y;  // what the mixer makes of x
};

// Rotates heads of `dim` channels by their positions.
inline void Rotate(Rows& rows, int64_t dim, bool half_split) {
  for (size_t t = 0; t < rows.size(); ++t) {
    for (size_t head = 0; head < rows[t].size(); head += dim) {
      for (int64_t i = 0; i < dim / 2; ++i) {
        const double angle = static_cast<double>(t) *
                             std::pow(10000.0, -2.0 * double(i) / double(dim));
        double& a = rows[t][head + (half_split ? i : 2 * i)];
        double& b = rows[t][head + (half_split ? i + dim / 2 : 2 * i + 1)];
        const double u = a, v = b;
        a = u * std::cos(angle) - v * std::sin(angle);
        b = u * std::sin(angle) + v * std::cos(angle);
      }
    }
  }
}

inline double Dot(const std::vector<double>& a, int64_t i,
                  const std::vector<double>& b, int64_t j, int64_t n) {
  double sum = 0;
  for (int64_t c = 0; c < n; ++c) sum += a[i + c] * b[j + c];
  return sum;
}

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_FORMULA_TESTING_H_
