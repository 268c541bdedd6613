// Ouro's forward pass in fp64, as straight loops over one sequence: what tests
// of LoopedModel with Ouro's configuration compare with (paper.md 4.3 to 4.8).

#ifndef LT2_MODEL_LOOPED_OURO_FORMULA_H_
#define LT2_MODEL_LOOPED_OURO_FORMULA_H_

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "model/config/config.h"

namespace lt2::model {

class OuroFormula {
 public:
  using Vector = std::vector<double>;
  using Weights = std::map<std::string, Vector>;  // by our names

  // The results of one token.
  struct Token {
    std::vector<Vector> hidden;  // after each loop, normed
    Vector gate;                 // logit of each loop
    Vector probability;          // to leave after each loop
    std::vector<Vector> logits;  // of each loop
    // Logits by a rule.
    const Vector& Threshold(double threshold) const {
      return logits[Step(threshold)];
    }
    size_t Step(double threshold) const {
      double sum = 0;
      for (size_t t = 0; t < probability.size(); ++t) {
        sum += probability[t];
        if (sum >= threshold) return t;
      }
      return probability.size() - 1;
    }
    Vector Weighted() const {
      Vector mean(logits[0].size());
      for (size_t t = 0; t < logits.size(); ++t) {
        for (size_t i = 0; i < mean.size(); ++i) {
          mean[i] += probability[t] * logits[t][i];
        }
      }
      return mean;
    }
  };

  OuroFormula(const ModelConfig& config, Weights weights)
      : config_(config), weights_(std::move(weights)) {}

  // Tokens from `prompt` on decode with a cache shared between loops, if the
  // configuration has that.
  std::vector<Token> Run(const std::vector<int32_t>& ids, size_t prompt) {
    const size_t slots = config_.loop_count * config_.n_layers;
    keys_.assign(slots, {});
    values_.assign(slots, {});
    std::vector<Token> tokens;
    for (size_t position = 0; position < ids.size(); ++position) {
      tokens.push_back(Step(ids[position], position, position >= prompt));
    }
    return tokens;
  }

 private:
  using Sharing = ModelConfig::CacheSharing;

  const Vector& W(const std::string& name) const { return weights_.at(name); }

  Vector Apply(const std::string& name, const Vector& x) const {
    const Vector& w = W(name);
    Vector y(w.size() / x.size());
    for (size_t o = 0; o < y.size(); ++o) {
      for (size_t i = 0; i < x.size(); ++i) y[o] += w[o * x.size() + i] * x[i];
    }
    return y;
  }

  Vector Norm(const std::string& name, const Vector& x) const {
    double sum = 0;
    for (double v : x) sum += v * v;
    const double scale =
        1 / std::sqrt(sum / double(x.size()) + config_.norm_eps);
    Vector y = x;
    for (size_t i = 0; i < x.size(); ++i) y[i] *= scale * W(name)[i];
    return y;
  }

  // First half of a head with its second half.
  void Rotate(Vector& x, size_t position) const {
    const size_t dim = config_.head_dim(), half = dim / 2;
    for (size_t head = 0; head < x.size(); head += dim) {
      for (size_t i = 0; i < half; ++i) {
        const double angle =
            double(position) *
            std::pow(config_.rope_theta, -2.0 * double(i) / double(dim));
        const double a = x[head + i], b = x[head + half + i];
        x[head + i] = a * std::cos(angle) - b * std::sin(angle);
        x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
      }
    }
  }

  Vector Attend(const Vector& q, const std::vector<Vector>& keys,
                const std::vector<Vector>& values) const {
    const size_t dim = config_.head_dim();
    const size_t group = config_.n_heads / config_.n_kv_heads;
    Vector out(q.size());
    for (size_t h = 0; h < size_t(config_.n_heads); ++h) {
      const size_t kv = h / group * dim;
      Vector score;
      for (const Vector& k : keys) {
        double dot = 0;
        for (size_t i = 0; i < dim; ++i) dot += q[h * dim + i] * k[kv + i];
        score.push_back(dot / std::sqrt(double(dim)));
      }
      const double top = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double& s : score) sum += s = std::exp(s - top);
      for (size_t s = 0; s < keys.size(); ++s) {
        for (size_t i = 0; i < dim; ++i) {
          out[h * dim + i] += score[s] / sum * values[s][kv + i];
        }
      }
    }
    return out;
  }

  Token Step(int32_t id, size_t position, bool decoding) {
    const int64_t layers = config_.n_layers, loops = config_.loop_count;
    const size_t dim = config_.dim;
    const bool shares = decoding && config_.cache_sharing != Sharing::kNone;
    const int64_t stored =
        config_.cache_sharing == Sharing::kFirst ? 0 : loops - 1;
    const Vector& table = W("tok_embeddings.weight");
    Vector h(table.begin() + id * dim, table.begin() + (id + 1) * dim);
    Token token;
    double rest = 1;
    for (int64_t loop = 0; loop < loops; ++loop) {
      for (int64_t layer = 0; layer < layers; ++layer) {
        const std::string p = "layers." + std::to_string(layer) + ".";
        const std::string a = p + "attention.", f = p + "feed_forward.";
        const Vector n = Norm(p + "attention_norm.weight", h);
        Vector q = Apply(a + "wq.weight", n), k = Apply(a + "wk.weight", n);
        Rotate(q, position);
        Rotate(k, position);
        const size_t slot = loop * layers + layer;
        keys_[slot].push_back(k);
        values_[slot].push_back(Apply(a + "wv.weight", n));
        std::vector<Vector> keys = keys_[slot], values = values_[slot];
        if (shares) {
          // What is stored of the tokens before; of this one, the loop's own
          // or the first loop's.
          const size_t from = stored * layers + layer;
          const size_t own = config_.cache_sharing == Sharing::kFirst
                                 ? static_cast<size_t>(layer)
                                 : slot;
          for (size_t s = 0; s < position; ++s) {
            keys[s] = keys_[from][s];
            values[s] = values_[from][s];
          }
          keys[position] = keys_[own][position];
          values[position] = values_[own][position];
        }
        const Vector mixed =
            Norm(p + "attention_norm_2.weight",
                 Apply(a + "wo.weight", Attend(q, keys, values)));
        for (size_t i = 0; i < dim; ++i) h[i] += mixed[i];
        const Vector m = Norm(p + "ffn_norm.weight", h);
        Vector gate = Apply(f + "w1.weight", m);
        const Vector up = Apply(f + "w3.weight", m);
        for (size_t i = 0; i < gate.size(); ++i) {
          gate[i] *= up[i] / (1 + std::exp(-gate[i]));
        }
        const Vector fed =
            Norm(p + "ffn_norm_2.weight", Apply(f + "w2.weight", gate));
        for (size_t i = 0; i < dim; ++i) h[i] += fed[i];
      }
      h = Norm("norm.weight", h);
      token.hidden.push_back(h);
      const double z = Apply("exit_gate.weight", h)[0] + W("exit_gate.bias")[0];
      const double lam = loop + 1 < loops ? 1 / (1 + std::exp(-z)) : 1;
      token.gate.push_back(z);
      token.probability.push_back(lam * rest);
      rest *= 1 - lam;
      token.logits.push_back(Apply(
          config_.weight_tying ? "tok_embeddings.weight" : "output.weight", h));
    }
    return token;
  }

  const ModelConfig config_;
  const Weights weights_;
  std::vector<std::vector<Vector>> keys_, values_;  // [slot][token]
};

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_OURO_FORMULA_H_
