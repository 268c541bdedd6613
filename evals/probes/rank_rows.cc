#include <algorithm>
#include <cmath>
#include <map>

#include "evals/probes/rank.h"

namespace lt2::evals {
namespace {

// What one (loop, layer) slot told: k [batch, seq * steps, heads, d_k], beta
// [batch, seq * steps, v_heads], g like beta or like k.
struct Observed {
  Shape k_shape, g_shape;
  std::vector<float> k, beta, g;
};
using Slots = std::map<std::pair<int64_t, int64_t>, Observed>;  // layer, loop

absl::StatusOr<Slots> Observe(model::LoopedModel& model, const Inputs& inputs,
                              int64_t loops) {
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(Tensor ids, ctx.FromHost<int32_t>(
                                       inputs.ids, {inputs.batch, inputs.seq}));
  Slots slots;
  absl::Status status;
  auto keep = [&](const model::Var& value, std::vector<float>* to) {
    absl::StatusOr<std::vector<float>> values = HostFloats(ctx, value.value());
    if (values.ok()) {
      *to = *std::move(values);
    } else {
      status = values.status();
    }
  };
  model::ForwardOptions options;
  options.loops = loops;
  options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                         const model::Var& value) {
    if (name != "k" && name != "beta" && name != "g") return;
    Observed& slot = slots[{layer, loop}];
    if (name == "k") {
      slot.k_shape = value.shape();
      keep(value, &slot.k);
    } else if (name == "beta") {
      keep(value, &slot.beta);
    } else {
      slot.g_shape = value.shape();
      keep(value, &slot.g);
    }
  };
  model::Tape tape(ctx, model::Tape::kInference);
  model.Logits(tape, ids, options);
  LT2_RETURN_IF_ERROR(tape.status());
  LT2_RETURN_IF_ERROR(status);
  // Softmax attention has keys too, but no write strength.
  for (auto it = slots.begin(); it != slots.end();) {
    it = it->second.beta.empty() ? slots.erase(it) : std::next(it);
  }
  return slots;
}

// The product at one token and value head, one slot after the other.
struct Walk {
  Transition transition;
  std::vector<double> last_key;

  explicit Walk(int64_t d_k) : transition(d_k) {}

  // `token` counts steps, over all rows. Adds to the row's beta and cosine.
  void Apply(const Observed& slot, int64_t token, int64_t v_head, RankRow* row,
             int64_t* cosines) {
    const int64_t heads = slot.k_shape.dim(2), d_k = slot.k_shape.dim(3);
    const int64_t v_heads = static_cast<int64_t>(slot.beta.size()) /
                            (slot.k_shape.dim(0) * slot.k_shape.dim(1));
    const int64_t head = v_head / (v_heads / heads);
    const float* key = &slot.k[(token * heads + head) * d_k];
    const std::vector<double> k(key, key + d_k);
    const double beta = slot.beta[token * v_heads + v_head];
    std::vector<double> g;
    if (!slot.g.empty()) {
      const int64_t n = slot.g_shape.rank() == 4 ? d_k : 1;
      const float* first = &slot.g[(token * v_heads + v_head) * n];
      g.assign(first, first + n);
    }
    transition.Apply(k, beta, g);
    row->beta += beta;
    if (!last_key.empty()) {
      double dot = 0, a = 0, b = 0;
      for (int64_t i = 0; i < d_k; ++i) {
        dot += k[i] * last_key[i];
        a += k[i] * k[i];
        b += last_key[i] * last_key[i];
      }
      row->key_cosine += a * b > 0 ? std::abs(dot) / std::sqrt(a * b) : 0;
      ++*cosines;
    }
    last_key = k;
  }
};

}  // namespace

void AddSample(const Spectrum& s, RankRow* row) {
  const double n = static_cast<double>(row->samples);
  auto mean = [n](double value, double* mean_so_far) {
    *mean_so_far += (value - *mean_so_far) / (n + 1);
  };
  row->rank_min = row->samples == 0 ? s.rank : std::min(row->rank_min, s.rank);
  row->rank_max = std::max(row->rank_max, s.rank);
  mean(static_cast<double>(s.rank), &row->rank);
  mean(static_cast<double>(s.rank_percent), &row->rank_percent);
  mean(s.effective_rank, &row->effective_rank);
  mean(s.norm, &row->norm);
  row->norm_max = std::max(row->norm_max, s.norm);
  row->norm_undecayed_max = std::max(row->norm_undecayed_max, s.norm_undecayed);
  ++row->samples;
}

absl::StatusOr<std::vector<RankRow>> RankRows(model::LoopedModel& model,
                                              const Inputs& inputs,
                                              int64_t loops,
                                              int64_t positions) {
  LT2_ASSIGN_OR_RETURN(const Slots slots, Observe(model, inputs, loops));
  std::vector<RankRow> rows;
  for (int64_t layer = 0; layer < model.config().n_layers; ++layer) {
    const auto first = slots.find({layer, 1});
    if (first == slots.end()) continue;
    const Shape& shape = first->second.k_shape;
    const int64_t steps = shape.dim(1) / inputs.seq;
    const int64_t v_heads = static_cast<int64_t>(first->second.beta.size()) /
                            (inputs.batch * shape.dim(1));
    const int64_t first_row = static_cast<int64_t>(rows.size());
    std::vector<int64_t> cosines(loops);
    for (int64_t loop = 1; loop <= loops; ++loop) {
      RankRow row;
      row.layer = layer;
      row.loops = loop;
      row.steps = steps;
      row.d_k = shape.dim(3);
      rows.push_back(row);
    }
    const int64_t count = std::min(positions, inputs.seq);
    for (int64_t i = 0; i < inputs.batch * count * v_heads; ++i) {
      const int64_t head = i % v_heads;
      const int64_t position = i / v_heads % count * inputs.seq / count;
      const int64_t token = i / v_heads / count * inputs.seq + position;
      Walk walk(shape.dim(3));
      for (int64_t loop = 1; loop <= loops; ++loop) {
        const auto slot = slots.find({layer, loop});
        if (slot == slots.end()) break;  // another mixer in this loop
        RankRow& row = rows[first_row + loop - 1];
        for (int64_t step = 0; step < steps; ++step) {
          walk.Apply(slot->second, token * steps + step, head, &row,
                     &cosines[loop - 1]);
        }
        LT2_ASSIGN_OR_RETURN(const Spectrum spectrum,
                             SpectrumOf(walk.transition));
        AddSample(spectrum, &row);
      }
    }
    for (int64_t loop = 0; loop < loops; ++loop) {
      RankRow& row = rows[first_row + loop];
      row.beta /=
          static_cast<double>(std::max<int64_t>(1, row.samples) * steps);
      row.key_cosine =
          cosines[loop] == 0
              ? std::nan("")
              : row.key_cosine / static_cast<double>(cosines[loop]);
    }
  }
  return rows;
}

}  // namespace lt2::evals
