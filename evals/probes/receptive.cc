#include "evals/probes/receptive.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "evals/probes/influence.h"
#include "kernels/core/philox.h"

namespace lt2::evals {
namespace {

constexpr int64_t kSequences = 4, kDirections = 4;
constexpr double kPaperAlpha = 0.95;

// One model, path and number of loops.
struct ReachRow {
  std::string model;
  Path path = Path::kModel;
  int64_t window = 0, layers = 0, loops = 0, tokens = 0;
  int64_t predicted_reach = 0;
  double alpha = 0;  // measured share of the residual
  Horizon horizon;
  std::vector<double> influence;
};

// A subject: a trained window model, or one of random weights.
struct Subject {
  std::string label;
  model::ModelConfig config;
  const TrainedModel* trained = nullptr;
  std::vector<ReachRow> rows;
};

const char* Name(Path path) {
  return path == Path::kModel ? "model" : "mixers only";
}

// Uniform tokens: random weights know no other language.
Inputs RandomInputs(const model::ModelConfig& config, int64_t seq) {
  Inputs inputs;
  inputs.batch = kSequences;
  inputs.seq = seq;
  Philox rng(/*key=*/1, /*a=*/0);
  for (int64_t i = 0; i < kSequences * seq; ++i) {
    inputs.ids.push_back(static_cast<int32_t>(rng.Below(config.vocab_size)));
  }
  return inputs;
}

absl::Status Measure(const ProbeOptions& options, Subject* subject) {
  LoadedModel loaded;
  Inputs inputs;
  if (subject->trained != nullptr) {
    LT2_ASSIGN_OR_RETURN(const auto task, MakeTask(*subject->trained, options));
    LT2_ASSIGN_OR_RETURN(inputs,
                         LongInputs(*subject->trained, *task, kSequences));
    LT2_ASSIGN_OR_RETURN(
        loaded, Load(*subject->trained, options.device, /*training=*/true));
  } else {
    inputs = RandomInputs(subject->config, 256);
    LT2_ASSIGN_OR_RETURN(loaded, Create(subject->config, /*seed=*/1,
                                        options.device, /*training=*/true));
  }
  const model::ModelConfig& config = subject->config;
  for (int64_t loops = 1; loops <= 2 * config.loop_count; loops *= 2) {
    LT2_ASSIGN_OR_RETURN(const double alpha,
                         ResidualShare(*loaded.model, inputs, loops));
    for (Path path : {Path::kModel, Path::kMixers}) {
      ReachRow row;
      row.model = subject->label;
      row.path = path;
      row.window = config.default_sliding_window;
      row.layers = config.n_layers;
      row.loops = loops;
      row.tokens = inputs.seq;
      row.predicted_reach =
          PredictedReach(inputs.seq, row.window, row.layers, loops);
      row.alpha = alpha;
      LT2_ASSIGN_OR_RETURN(row.influence,
                           Influence(*loaded.model, inputs, loops, path,
                                     kDirections, /*seed=*/2));
      row.horizon = HorizonOf(row.influence);
      subject->rows.push_back(std::move(row));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Subject>> Subjects(
    const std::vector<TrainedModel>& models) {
  std::vector<Subject> subjects;
  for (int64_t layers : {1, 2}) {
    Subject subject;
    LT2_ASSIGN_OR_RETURN(subject.config, model::ModelConfig::FromJson(
                                             {{"vocab_size", 64},
                                              {"dim", 64},
                                              {"n_layers", layers},
                                              {"n_heads", 2},
                                              {"multiple_of", 32},
                                              {"layer_pattern", "window"},
                                              {"default_sliding_window", 16},
                                              {"loop_count", 4}},
                                             "model"));
    subject.label = absl::StrCat("random/window-N", layers);
    subjects.push_back(std::move(subject));
  }
  for (const TrainedModel& model : models) {
    const std::vector<std::string> types = model.config.LayerTypes();
    if (std::any_of(types.begin(), types.end(),
                    [](const std::string& type) { return type != "window"; })) {
      continue;
    }
    Subject subject;
    subject.label = model.label();
    subject.config = model.config;
    subject.trained = &model;
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

nlohmann::json ToJson(const ReachRow& r) {
  nlohmann::json influence = nlohmann::json::array();
  for (double value : r.influence) influence.push_back(JsonNumber(value));
  const double steps = static_cast<double>(r.loops * r.layers);
  return {
      {"model", r.model},
      {"path", Name(r.path)},
      {"window", r.window},
      {"layers", r.layers},
      {"loops", r.loops},
      {"tokens", r.tokens},
      {"reach", r.horizon.reach},
      {"predicted_reach", r.predicted_reach},
      {"horizon", r.horizon.distance},
      {"censored", r.horizon.censored},
      {"fitted_horizon", JsonNumber(r.horizon.fitted)},
      {"decay_length", JsonNumber(r.horizon.decay)},
      {"r2", JsonNumber(r.horizon.r2)},
      {"mean_distance", JsonNumber(r.horizon.mean)},
      {"deviation", JsonNumber(r.horizon.deviation)},
      {"residual_share", JsonNumber(r.alpha)},
      {"paper_horizon", ResidualHorizon(r.window, kPaperAlpha)},
      {"share_horizon", JsonNumber(ResidualHorizon(r.window, r.alpha))},
      {"random_walk", 0.58 * static_cast<double>(r.window) * std::sqrt(steps)},
      {"influence", influence}};
}

Table MakeTable(const std::vector<Subject>& subjects) {
  const Align right = Align::kRight;
  Table table({{"model"},
               {"path"},
               {"w", right},
               {"N", right},
               {"T", right},
               {"reach", right},
               {"predicted", right},
               {"horizon", right},
               {"in w", right},
               {"fitted", right},
               {"r2", right},
               {"mean", right},
               {"2 sd", right},
               {"alpha", right},
               {"1.54 w", right},
               {"by alpha", right},
               {".58 w sqrt(TN)", right}});
  for (const Subject& subject : subjects) {
    for (const ReachRow& r : subject.rows) {
      const Horizon& h = r.horizon;
      const bool whole = r.path == Path::kModel;
      table.AddRow(
          {r.model, Name(r.path), absl::StrCat(r.window),
           absl::StrCat(r.layers), absl::StrCat(r.loops), absl::StrCat(h.reach),
           absl::StrCat(r.predicted_reach),
           absl::StrCat(h.censored ? ">=" : "", h.distance),
           absl::StrFormat("%.1f", static_cast<double>(h.distance) /
                                       static_cast<double>(r.window)),
           std::isfinite(h.fitted) ? absl::StrFormat("%.0f", h.fitted) : "-",
           absl::StrFormat("%.2f", h.r2), absl::StrFormat("%.1f", h.mean),
           absl::StrFormat("%.1f", 2 * h.deviation),
           whole ? absl::StrFormat("%.2f", r.alpha) : "-",
           whole
               ? absl::StrFormat("%.1f", ResidualHorizon(r.window, kPaperAlpha))
               : "-",
           whole ? absl::StrFormat("%.1f", ResidualHorizon(r.window, r.alpha))
                 : "-",
           whole
               ? "-"
               : absl::StrFormat("%.1f", 0.58 * static_cast<double>(r.window) *
                                             std::sqrt(static_cast<double>(
                                                 r.loops * r.layers)))});
    }
  }
  return table;
}

Panel MakePanel(const Subject& subject, Path path) {
  Panel panel{absl::StrCat(subject.label, ", ", Name(path),
                           ", w = ", subject.config.default_sliding_window),
              "distance t - s (tokens)",
              "influence / largest",
              true,
              {}};
  for (const ReachRow& r : subject.rows) {
    if (r.path != path) continue;
    const double top =
        *std::max_element(r.influence.begin(), r.influence.end());
    Series series{absl::StrCat("T = ", r.loops), {}, true};
    for (size_t d = 0; d < r.influence.size(); ++d) {
      // Below the precision of f32 sums there is nothing to see.
      if (r.influence[d] < 1e-9 * top) continue;
      series.points.push_back({d, r.influence[d] / top});
    }
    panel.series.push_back(std::move(series));
  }
  // The paper's line: exp(-d ln(1/(1 - alpha)) / w).
  if (path == Path::kModel) {
    Series paper{"alpha = .95", {}, true};
    const double slope =
        std::log(1 - kPaperAlpha) /
        static_cast<double>(subject.config.default_sliding_window);
    for (double d : {0.0, std::log(1e-4) / slope}) {
      paper.points.push_back({d, std::exp(slope * d)});
    }
    panel.series.push_back(std::move(paper));
  }
  return panel;
}

}  // namespace

absl::StatusOr<ProbeReport> ReceptiveProbe(const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(const std::vector<TrainedModel> models,
                       FindModels(options));
  LT2_ASSIGN_OR_RETURN(std::vector<Subject> subjects, Subjects(models));
  LT2_RETURN_IF_ERROR(RunJobs(
      static_cast<int64_t>(subjects.size()), options,
      [&](int64_t i) { return Measure(options, &subjects[i]); },
      [&](int64_t i) { return subjects[i].label; }));
  ProbeReport report;
  report.probe = "receptive";
  report.title = "How far back looped window attention looks";
  report.definitions = {
      "influence(d): RMS gradient of the last state of the last token to the "
      "first state d tokens before it.",
      "path: the model as it is, or its mixers and norms alone, without "
      "residuals and feed-forward parts.",
      "reach: tokens with influence above 0; predicted min(tokens, "
      "T N (w - 1) + 1).",
      "horizon: distance from which on influence stays below 1 % of its "
      "maximum (>= : it never does within the sequence); fitted: the same of "
      "the exponential fitted to it, r2 its quality.",
      "mean, 2 sd: of the distance, weighted with influence squared.",
      "alpha: measured share of a block's input in input + mixer output; "
      "1.54 w and by alpha: w ln(100) / ln(1 / (1 - alpha)) for alpha = 0.95 "
      "and for the measured one."};
  for (const Subject& subject : subjects) {
    for (const ReachRow& row : subject.rows) {
      report.rows.push_back(ToJson(row));
    }
    for (Path path : {Path::kModel, Path::kMixers}) {
      report.figure.panels.push_back(MakePanel(subject, path));
    }
  }
  report.figure.columns = 2;
  report.tables = {{"Window models", MakeTable(subjects)}};
  return report;
}

}  // namespace lt2::evals
