#include "kernels/sparse_attention/indexer_reference.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lt2::kernels {
namespace {

// The index of the first element of q[b,t,j]; / dim that of w.
int64_t QueryRow(const IndexerShape& s, int64_t b, int64_t t, int64_t j) {
  return ((b * s.queries + t) * s.heads + j) * s.dim;
}

// scale <q[b,t,j], k[b,s]> before the ReLU.
double HeadScore(const IndexerShape& shape, const IndexerValues& in, int64_t b,
                 int64_t t, int64_t j, int64_t s) {
  double dot = 0;
  for (int64_t d = 0; d < shape.dim; ++d) {
    dot += in.q[QueryRow(shape, b, t, j) + d] *
           in.k[(b * shape.keys + s) * shape.dim + d];
  }
  return shape.scale * dot;
}

double Weight(const IndexerShape& shape, const IndexerValues& in, int64_t b,
              int64_t t, int64_t j) {
  if (in.w.empty()) return 1.0 / static_cast<double>(shape.heads);
  return in.w[QueryRow(shape, b, t, j) / shape.dim];
}

double Score(const IndexerShape& shape, const IndexerValues& in, int64_t b,
             int64_t t, int64_t s) {
  double sum = 0;
  for (int64_t j = 0; j < shape.heads; ++j) {
    double x = HeadScore(shape, in, b, t, j, s);
    if (shape.relu && x < 0) x = 0;
    sum += Weight(shape, in, b, t, j) * x;
  }
  return sum;
}

// p_t on the set, normalised; all 0 if its sum is.
std::vector<double> TargetOf(const IndexerTarget& target,
                             const std::vector<int64_t>& set, int64_t b,
                             int64_t t) {
  const ListAttentionShape& s = target.shape;
  std::vector<double> p(set.size(), 0.0);
  for (size_t e = 0; e < set.size(); ++e) {
    for (int64_t h = 0; h < s.heads; ++h) {
      double dot = 0;
      for (int64_t d = 0; d < s.dim; ++d) {
        dot += target.q[s.QueryRow(b, t, h) + d] *
               target.k[s.KeyRow(b, set[e], h) + d];
      }
      p[e] += std::exp(s.scale * dot - target.lse[s.LseIndex(b, t, h)]) /
              static_cast<double>(s.heads);
    }
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x = sum > 0 ? x / sum : 0;
  return p;
}

}  // namespace

std::vector<std::vector<double>> IndexerScoresReference(
    const IndexerShape& shape, const IndexerValues& in) {
  std::vector<std::vector<double>> result;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t t = 0; t < shape.queries; ++t) {
      std::vector<double> scores;
      const int64_t position =
          PositionOf(shape.lengths, shape.keys, shape.queries, b, t);
      for (int64_t s = 0; s <= position; ++s) {
        scores.push_back(Score(shape, in, b, t, s));
      }
      result.push_back(scores);
    }
  }
  return result;
}

std::vector<int32_t> TopKOf(const std::vector<double>& scores, int64_t top_k) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t x, int32_t y) {
    if (std::isnan(scores[x]) || std::isnan(scores[y])) {
      return !std::isnan(scores[x]) && std::isnan(scores[y]);
    }
    return scores[x] > scores[y];
  });
  if (static_cast<int64_t>(order.size()) > top_k) order.resize(top_k);
  std::sort(order.begin(), order.end());
  order.resize(top_k, -1);
  return order;
}

std::vector<int32_t> IndexerTopKReference(const IndexerShape& shape,
                                          const IndexerValues& in,
                                          int64_t top_k) {
  std::vector<int32_t> result;
  for (const auto& scores : IndexerScoresReference(shape, in)) {
    for (int32_t s : TopKOf(scores, top_k)) result.push_back(s);
  }
  return result;
}

RowLists IndexerSets(const IndexerShape& shape,
                     const std::vector<int32_t>& indices, bool dense) {
  RowLists sets;
  const int64_t rows = shape.batch * shape.queries;
  const int64_t n = rows > 0 ? static_cast<int64_t>(indices.size()) / rows : 0;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t position =
        PositionOf(shape.lengths, shape.keys, shape.queries,
                   row / shape.queries, row % shape.queries);
    std::vector<int64_t> set;
    if (dense) {
      for (int64_t s = 0; s <= position; ++s) set.push_back(s);
    } else {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t s = indices[row * n + j];
        if (s >= 0 && s <= position) set.push_back(s);
      }
    }
    sets.push_back(set);
  }
  return sets;
}

IndexerLossValues IndexerLossReference(const IndexerShape& shape,
                                       const IndexerValues& in,
                                       const RowLists& sets,
                                       const IndexerTarget& target) {
  IndexerLossValues result;
  result.dq.assign(shape.q_numel(), 0.0);
  result.dk.assign(shape.k_numel(), 0.0);
  result.dw.assign(in.w.size(), 0.0);
  const double rows = static_cast<double>(shape.batch * shape.queries);
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t t = 0; t < shape.queries; ++t) {
      const std::vector<int64_t>& set = sets[b * shape.queries + t];
      if (set.empty()) continue;
      const std::vector<double> p = TargetOf(target, set, b, t);
      if (std::accumulate(p.begin(), p.end(), 0.0) == 0) continue;
      std::vector<double> score;
      for (int64_t s : set) score.push_back(Score(shape, in, b, t, s));
      const double max = *std::max_element(score.begin(), score.end());
      double sum = 0;
      for (double x : score) sum += std::exp(x - max);
      const double lse = max + std::log(sum);
      for (size_t e = 0; e < set.size(); ++e) {
        if (p[e] > 0) {
          result.loss += p[e] * (std::log(p[e]) - (score[e] - lse)) / rows;
        }
        const double dscore = (std::exp(score[e] - lse) - p[e]) / rows;
        for (int64_t j = 0; j < shape.heads; ++j) {
          const double x = HeadScore(shape, in, b, t, j, set[e]);
          if (shape.relu && x <= 0) continue;
          const int64_t row = QueryRow(shape, b, t, j);
          const double c = dscore * Weight(shape, in, b, t, j) * shape.scale;
          const int64_t key = (b * shape.keys + set[e]) * shape.dim;
          for (int64_t d = 0; d < shape.dim; ++d) {
            result.dq[row + d] += c * in.k[key + d];
            result.dk[key + d] += c * in.q[row + d];
          }
          if (!in.w.empty()) result.dw[row / shape.dim] += dscore * x;
        }
      }
    }
  }
  return result;
}

}  // namespace lt2::kernels
