#include "kernels/sparse_attention/nsa_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lt2::kernels {
namespace {

// softmax of scores where mask, 0 elsewhere; all 0 if nothing is.
std::vector<double> MaskedSoftmax(const std::vector<double>& scores,
                                  const std::vector<bool>& mask) {
  double sum = 0;
  std::vector<double> p(scores.size(), 0.0);
  for (size_t s = 0; s < p.size(); ++s) {
    if (mask[s]) sum += p[s] = std::exp(scores[s]);
  }
  for (double& x : p) x = sum > 0 ? x / sum : 0;
  return p;
}

// The definition for one row of the batch. Writes the chosen blocks too.
void Literal(const NsaShape& n, const double* q, const double* k,
             const double* v, const double* gates, double* o,
             std::vector<std::vector<bool>>* chosen) {
  const int64_t blocks = (n.tokens + n.block - 1) / n.block;
  auto row = [&](const std::vector<double>& p, const double* values,
                 double gate, double* out) {
    for (size_t s = 0; s < p.size(); ++s) {
      for (int64_t d = 0; d < n.dim; ++d) {
        out[d] += gate * p[s] * values[s * n.dim + d];
      }
    }
  };
  auto scores = [&](const double* query, const double* keys, int64_t count) {
    std::vector<double> x(count, 0.0);
    for (int64_t s = 0; s < count; ++s) {
      for (int64_t d = 0; d < n.dim; ++d) {
        x[s] += n.scale * query[d] * keys[s * n.dim + d];
      }
    }
    return x;
  };
  // The last block may be incomplete; no query sees its mean.
  std::vector<double> kc(blocks * n.dim, 0.0), vc(blocks * n.dim, 0.0);
  for (int64_t s = 0; s < n.tokens; ++s) {
    const double size = static_cast<double>(
        std::min(n.block, n.tokens - s / n.block * n.block));
    for (int64_t d = 0; d < n.dim; ++d) {
      kc[s / n.block * n.dim + d] += k[s * n.dim + d] / size;
      vc[s / n.block * n.dim + d] += v[s * n.dim + d] / size;
    }
  }
  for (int64_t t = 0; t < n.tokens; ++t) {
    std::vector<bool> complete(blocks), selected(n.tokens), near(n.tokens);
    for (int64_t c = 0; c < blocks; ++c) {
      complete[c] = (c + 1) * n.block - 1 <= t;
    }
    std::vector<double> score(blocks, 0.0);
    for (int64_t h = 0; h < n.heads; ++h) {
      const double* query = q + (t * n.heads + h) * n.dim;
      const double* gate = gates + (t * n.heads + h) * 3;
      const auto p = MaskedSoftmax(scores(query, kc.data(), blocks), complete);
      row(p, vc.data(), gate[0], o + (t * n.heads + h) * n.dim);
      for (int64_t c = 0; c < blocks; ++c) {
        score[c] += p[c] / static_cast<double>(n.heads);
      }
    }
    const int64_t own = t / n.block;
    for (int64_t c = 0; c < blocks; ++c) {
      if (c == 0 || c == own || c == own - 1) score[c] = 1;
      if (c > own) score[c] = -1;  // in the future
    }
    std::vector<int64_t> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t x, int64_t y) { return score[x] > score[y]; });
    std::vector<bool> choice(blocks);
    for (int64_t j = 0; j < std::min(n.top_n, blocks); ++j) {
      if (order[j] <= own) choice[order[j]] = true;
    }
    chosen->push_back(choice);
    for (int64_t s = 0; s < n.tokens; ++s) {
      selected[s] = choice[s / n.block] && s <= t;
      near[s] = s <= t && s > t - n.window;
    }
    for (int64_t h = 0; h < n.heads; ++h) {
      const double* query = q + (t * n.heads + h) * n.dim;
      const double* gate = gates + (t * n.heads + h) * 3;
      double* out = o + (t * n.heads + h) * n.dim;
      const auto x = scores(query, k, n.tokens);
      row(MaskedSoftmax(x, selected), v, gate[1], out);
      row(MaskedSoftmax(x, near), v, gate[2], out);
    }
  }
}

}  // namespace

NsaReferenceValues NsaReference(const NsaShape& n, const NsaValues& in,
                                const std::vector<double>& gates) {
  NsaReferenceValues result;
  const int64_t row = n.tokens * n.dim;
  result.o.assign(n.batch * row * n.heads, 0.0);
  for (int64_t b = 0; b < n.batch; ++b) {
    Literal(n, &in.q[b * row * n.heads], &in.k[b * row], &in.v[b * row],
            &gates[b * n.tokens * n.heads * 3], &result.o[b * row * n.heads],
            &result.chosen);
  }
  return result;
}

}  // namespace lt2::kernels
