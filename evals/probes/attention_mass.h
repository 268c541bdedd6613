// How much attention the first token draws ("attention sink").

#ifndef LT2_EVALS_PROBES_ATTENTION_MASS_H_
#define LT2_EVALS_PROBES_ATTENTION_MASS_H_

#include <cstdint>
#include <vector>

#include "kernels/core/tensor.h"

namespace lt2::evals {

struct AttentionMass {
  double sum = 0;      // of p(t, 0) over queries, heads and rows
  double uniform = 0;  // what even attention would give them
  double queries = 0;  // how many

  double mean() const { return sum / queries; }
  double uniform_mean() const { return uniform / queries; }
};

// Adds the queries t >= 1 that see token 0 (t < window, or all if window is 0)
// of q [batch, seq, heads, d], k [batch, seq, kv_heads, d]; softmax of
// q.k / sqrt(d) over the tokens up to t. O(batch heads seq^2 d).
void AddFirstTokenMass(const Shape& q_shape, const std::vector<float>& q,
                       const Shape& k_shape, const std::vector<float>& k,
                       int64_t window, AttentionMass* mass);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_ATTENTION_MASS_H_
