// How much attention a token draws: the first one ("attention sink"), or one
// that a question is about. Softmax of q.k / sqrt(d) over the tokens up to the
// query's, of q [batch, seq, heads, d], k [batch, seq, kv_heads, d].

#ifndef LT2_EVALS_PROBES_ATTENTION_MASS_H_
#define LT2_EVALS_PROBES_ATTENTION_MASS_H_

#include <cstdint>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"
#include "model/looped/looped_model.h"

namespace lt2::evals {

// Of one layer in one loop, on the host.
struct QueriesAndKeys {
  Shape q_shape, k_shape;
  std::vector<float> q, k;
  int64_t window = 0;  // 0 = none
};

// Collects them from what a model's observer is told.
class AttentionWatch {
 public:
  // `selected`: also of dsa, as if it read all tokens.
  AttentionWatch(model::LoopedModel& model, bool selected);

  // Null, or a layer's, with the call that completes them; valid until the
  // next.
  absl::StatusOr<const QueriesAndKeys*> See(int64_t loop, int64_t layer,
                                            absl::string_view name,
                                            const model::Var& value);

 private:
  model::LoopedModel& model_;
  const bool selected_;
  model::Var query_;
  QueriesAndKeys layer_;
};

struct AttentionMass {
  double sum = 0;      // of p(t, 0) over queries, heads and rows
  double uniform = 0;  // what even attention would give them
  double queries = 0;  // how many

  double mean() const { return sum / queries; }
  double uniform_mean() const { return uniform / queries; }
};

// Adds the queries t >= 1 that see token 0 (t < window, or all if window is 0).
// O(batch heads seq^2 d).
void AddFirstTokenMass(const QueriesAndKeys& layer, AttentionMass* mass);

// From token `query` of a row of the batch to token `key` before it.
struct QueryKey {
  int64_t row = 0, query = 0, key = 0;
};

// What a head gives a pair's key, and that with the keys at most `radius` away.
struct KeyWeight {
  double exact = 0, near = 0;
};

// Raises each number of (*weights)[i] to the largest that any head of the layer
// gives pairs[i]. O(pairs heads seq d).
void RaiseToWeights(const QueriesAndKeys& layer,
                    const std::vector<QueryKey>& pairs, int64_t radius,
                    std::vector<KeyWeight>* weights);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_ATTENTION_MASS_H_
