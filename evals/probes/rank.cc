#include "evals/probes/rank.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "evals/probes/transition.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

constexpr int64_t kConstructedDim = 16;

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

void Add(const Spectrum& s, RankRow* row) {
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

// Identical, orthogonal and random unit keys, beta 1, no decay.
absl::StatusOr<std::vector<RankRow>> ConstructedRows() {
  std::vector<RankRow> rows;
  for (const std::string kind : {"identical", "orthogonal", "random"}) {
    Transition transition(kConstructedDim);
    Philox rng(/*key=*/0, /*a=*/0);
    for (int64_t loop = 1; loop <= 2 * kConstructedDim; ++loop) {
      std::vector<double> k(kConstructedDim);
      double norm = 0;
      for (int64_t i = 0; i < kConstructedDim; ++i) {
        k[i] = kind == "identical"    ? 1.0
               : kind == "orthogonal" ? (loop - 1) % kConstructedDim == i
                                      : rng.Normal();
        norm += k[i] * k[i];
      }
      for (double& value : k) value /= std::sqrt(norm);
      transition.Apply(k, 1.0);
      if ((loop & (loop - 1)) != 0) continue;  // powers of two
      RankRow row;
      row.model = "constructed/" + kind;
      row.loops = loop;
      row.d_k = kConstructedDim;
      row.beta = 1;
      row.key_cosine = std::nan("");
      LT2_ASSIGN_OR_RETURN(const Spectrum spectrum, SpectrumOf(transition));
      Add(spectrum, &row);
      rows.push_back(row);
    }
  }
  return rows;
}

nlohmann::json ToJson(const RankRow& r) {
  return {{"model", r.model},
          {"layer", r.layer},
          {"loops", r.loops},
          {"steps", r.steps},
          {"d_k", r.d_k},
          {"samples", r.samples},
          {"rank", JsonNumber(r.rank)},
          {"rank_min", r.rank_min},
          {"rank_max", r.rank_max},
          {"rank_percent", JsonNumber(r.rank_percent)},
          {"effective_rank", JsonNumber(r.effective_rank)},
          {"norm", JsonNumber(r.norm)},
          {"norm_max", JsonNumber(r.norm_max)},
          {"norm_undecayed_max", JsonNumber(r.norm_undecayed_max)},
          {"beta", JsonNumber(r.beta)},
          {"key_cosine", JsonNumber(r.key_cosine)}};
}

Table MakeTable() {
  const Align right = Align::kRight;
  return Table({{"model"},
                {"layer", right},
                {"loops", right},
                {"d_k", right},
                {"rank", right},
                {"min-max", right},
                {"rank 1 %", right},
                {"effective", right},
                {"|k.k'|", right},
                {"beta", right},
                {"norm A", right},
                {"max", right},
                {"max, no decay", right}});
}

void AddRow(const RankRow& r, Table* table) {
  auto number = [](double value, const char* unit = "") {
    return std::isfinite(value) ? absl::StrFormat("%.3f%s", value, unit) : "-";
  };
  table->AddRow({r.model, absl::StrCat(r.layer), absl::StrCat(r.loops),
                 absl::StrCat(r.d_k), absl::StrFormat("%.2f", r.rank),
                 absl::StrCat(r.rank_min, "-", r.rank_max),
                 absl::StrFormat("%.2f", r.rank_percent),
                 absl::StrFormat("%.2f", r.effective_rank),
                 number(r.key_cosine), number(r.beta), number(r.norm),
                 number(r.norm_max), number(r.norm_undecayed_max)});
}

// Effective rank against loops: constructed cases, then a panel a family.
Figure Draw(const std::vector<RankRow>& rows,
            const std::vector<TrainedModel>& models) {
  Figure figure;
  figure.columns = 3;
  Panel constructed{"constructed keys, d_k = 16, beta = 1",
                    "applications",
                    "rank of I - P",
                    false,
                    {}};
  for (const std::string kind : {"identical", "orthogonal", "random"}) {
    Series series{kind, {}, false};
    for (const RankRow& r : rows) {
      if (r.model != "constructed/" + kind) continue;
      series.points.push_back({r.loops, r.rank});
    }
    constructed.series.push_back(series);
  }
  figure.panels.push_back(constructed);
  for (const TrainedModel& model : models) {
    // Mean over layers.
    std::map<int64_t, std::pair<double, double>> sums;
    for (const RankRow& r : rows) {
      if (r.model != model.label()) continue;
      sums[r.loops].first += r.effective_rank;
      sums[r.loops].second += 1;
    }
    if (sums.size() < 2) continue;
    const std::string title = model.family + ", trained";
    if (figure.panels.back().title != title) {
      Panel panel{title, "loops", "effective rank of I - P", false, {}, 1};
      Series bound{"bound", {}, true};
      for (int t = 1; t <= 4; ++t) bound.points.push_back({t, t});
      panel.series.push_back(bound);
      figure.panels.push_back(panel);
    }
    Series series{model.name, {}, false};
    for (const auto& [loops, sum] : sums) {
      series.points.push_back({loops, sum.first / sum.second});
    }
    figure.panels.back().series.push_back(series);
  }
  return figure;
}

}  // namespace

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
        Add(spectrum, &row);
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

absl::StatusOr<ProbeReport> RankProbe(const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(const std::vector<TrainedModel> models,
                       FindModels(options));
  const int64_t n = static_cast<int64_t>(models.size());
  std::vector<std::vector<RankRow>> of_model(models.size());
  LT2_RETURN_IF_ERROR(RunJobs(
      n, options,
      [&](int64_t i) -> absl::Status {
        LT2_ASSIGN_OR_RETURN(const auto task, MakeTask(models[i], options));
        LT2_ASSIGN_OR_RETURN(
            const Inputs inputs,
            LongInputs(models[i], *task,
                       std::max<int64_t>(1, options.examples / 16)));
        LT2_ASSIGN_OR_RETURN(
            const LoadedModel loaded,
            Load(models[i], options.device, /*training=*/false));
        LT2_ASSIGN_OR_RETURN(
            of_model[i],
            RankRows(*loaded.model, inputs, models[i].config.loop_count, 16));
        for (RankRow& row : of_model[i]) row.model = models[i].label();
        return absl::OkStatus();
      },
      [&](int64_t i) { return models[i].label(); }));

  ProbeReport report;
  report.probe = "rank";
  report.title = "Effective per-token transition of looped delta rules";
  report.definitions = {
      "P: product over loops of I - beta k k' at one token; A: the same with "
      "the decays. Idealised: the models carry no state from loop to loop, so "
      "no state passes through these products.",
      "rank: of I - P, above fp64 rounding, mean over tokens and heads; "
      "rank 1 %: singular values above 1 % of the largest; effective: exp of "
      "the entropy of the singular values.",
      "|k.k'|: mean |cosine| of the keys of this loop and the one before; "
      "norm: largest singular value, mean and largest over tokens."};
  LT2_ASSIGN_OR_RETURN(std::vector<RankRow> rows, ConstructedRows());
  Table constructed = MakeTable(), trained = MakeTable();
  for (const RankRow& row : rows) AddRow(row, &constructed);
  for (int64_t i = 0; i < n; ++i) {
    for (const RankRow& row : of_model[i]) {
      if (row.loops == models[i].config.loop_count) AddRow(row, &trained);
      rows.push_back(row);
    }
  }
  report.tables = {{"Constructed keys", constructed},
                   {"Trained models, after their last loop", trained}};
  for (const RankRow& row : rows) report.rows.push_back(ToJson(row));
  report.figure = Draw(rows, models);
  return report;
}

}  // namespace lt2::evals
