#include "evals/probes/attention_mass.h"

#include <algorithm>
#include <cmath>

namespace lt2::evals {

void AddFirstTokenMass(const Shape& q_shape, const std::vector<float>& q,
                       const Shape& k_shape, const std::vector<float>& k,
                       int64_t window, AttentionMass* mass) {
  const int64_t batch = q_shape.dim(0), seq = q_shape.dim(1),
                heads = q_shape.dim(2);
  const int64_t d = q_shape.dim(3), kv_heads = k_shape.dim(2);
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const int64_t last = window > 0 ? std::min(window, seq) : seq;
  std::vector<double> scores;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 1; t < last; ++t) {
        const float* query = &q[((b * seq + t) * heads + h) * d];
        scores.assign(t + 1, 0);
        for (int64_t s = 0; s <= t; ++s) {
          const float* key =
              &k[((b * seq + s) * kv_heads + h / (heads / kv_heads)) * d];
          for (int64_t i = 0; i < d; ++i) {
            scores[s] += scale * query[i] * key[i];
          }
        }
        const double top = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        for (double score : scores) sum += std::exp(score - top);
        mass->sum += std::exp(scores[0] - top) / sum;
        mass->uniform += 1 / static_cast<double>(t + 1);
        mass->queries += 1;
      }
    }
  }
}

}  // namespace lt2::evals
