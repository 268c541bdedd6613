#include "evals/probes/rank.h"

#include <cmath>
#include <map>

#include "absl/strings/str_format.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

constexpr int64_t kConstructedDim = 16;

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
      AddSample(spectrum, &row);
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
