#include "evals/probes/attention_mass.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/strip.h"
#include "evals/probes/models.h"

namespace lt2::evals {
namespace {

// Attention of token `query` in a row and head: weights of tokens 0..query,
// zero outside the window.
std::vector<double> Weights(const QueriesAndKeys& layer, int64_t row,
                            int64_t head, int64_t query) {
  const int64_t seq = layer.q_shape.dim(1), heads = layer.q_shape.dim(2);
  const int64_t d = layer.q_shape.dim(3), kv_heads = layer.k_shape.dim(2);
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  const float* q = &layer.q[((row * seq + query) * heads + head) * d];
  const int64_t first =
      layer.window > 0 ? std::max<int64_t>(0, query - layer.window + 1) : 0;
  std::vector<double> weights(query + 1, 0);
  double top = -INFINITY;
  for (int64_t s = first; s <= query; ++s) {
    const int64_t kv_head = head / (heads / kv_heads);
    const float* k = &layer.k[((row * seq + s) * kv_heads + kv_head) * d];
    for (int64_t i = 0; i < d; ++i) weights[s] += scale * q[i] * k[i];
    top = std::max(top, weights[s]);
  }
  double sum = 0;
  for (int64_t s = first; s <= query; ++s) {
    weights[s] = std::exp(weights[s] - top);
    sum += weights[s];
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

}  // namespace

AttentionWatch::AttentionWatch(model::LoopedModel& model, bool selected)
    : model_(model), selected_(selected) {}

absl::StatusOr<const QueriesAndKeys*> AttentionWatch::See(
    int64_t loop, int64_t layer, absl::string_view name,
    const model::Var& value) {
  if (selected_) absl::ConsumePrefix(&name, "selected_");
  if (name == "q") query_ = value;
  // Delta rules have a "k" too.
  if (name != "k" || !query_.defined()) return nullptr;
  Context& ctx = model_.ctx();
  layer_.q_shape = query_.shape();
  layer_.k_shape = value.shape();
  LT2_ASSIGN_OR_RETURN(layer_.q, HostFloats(ctx, query_.value()));
  LT2_ASSIGN_OR_RETURN(layer_.k, HostFloats(ctx, value.value()));
  const int64_t slot = (loop - 1) * model_.config().n_layers + layer;
  layer_.window = model_.Slots(loop, /*step=*/0)[slot].window;
  query_ = model::Var();
  return &layer_;
}

void AddFirstTokenMass(const QueriesAndKeys& layer, AttentionMass* mass) {
  const int64_t batch = layer.q_shape.dim(0), seq = layer.q_shape.dim(1),
                heads = layer.q_shape.dim(2);
  const int64_t last = layer.window > 0 ? std::min(layer.window, seq) : seq;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t t = 1; t < last; ++t) {
        mass->sum += Weights(layer, b, h, t)[0];
        mass->uniform += 1 / static_cast<double>(t + 1);
        mass->queries += 1;
      }
    }
  }
}

void RaiseToWeights(const QueriesAndKeys& layer,
                    const std::vector<QueryKey>& pairs, int64_t radius,
                    std::vector<KeyWeight>* weights) {
  const int64_t heads = layer.q_shape.dim(2);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const QueryKey& pair = pairs[i];
    KeyWeight& weight = (*weights)[i];
    const int64_t first = std::max<int64_t>(pair.key - radius, 0);
    const int64_t last = std::min(pair.key + radius, pair.query);
    for (int64_t h = 0; h < heads; ++h) {
      const std::vector<double> p = Weights(layer, pair.row, h, pair.query);
      const double near =
          std::accumulate(p.begin() + first, p.begin() + last + 1, 0.0);
      weight.exact = std::max(weight.exact, p[pair.key]);
      weight.near = std::max(weight.near, near);
    }
  }
}

}  // namespace lt2::evals
