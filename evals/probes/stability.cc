#include "evals/probes/stability.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "evals/probes/short_training.h"
#include "evals/probes/spikes.h"

namespace lt2::evals {
namespace {

constexpr size_t kRunsInPanel = 4;

struct StabilityRun {
  std::string name, pattern;
  TrainingTrace trace;
};

// The paper's tiers (section 3.5), 1 = smoothest; "-" for what it did not show.
std::string PaperTier(const std::string& name) {
  for (const auto& [tier, names] :
       std::vector<std::pair<const char*, std::vector<std::string>>>{
           {"1", {"gdn", "full+gdn", "gdn+dsa"}},
           {"2", {"window", "nsa", "dsa"}},
           {"3", {"full"}},
           {"4", {"deltanet", "mamba2"}},
           {"5", {"retnet"}}}) {
    if (std::find(names.begin(), names.end(), name) != names.end()) {
      return tier;
    }
  }
  return "-";
}

absl::StatusOr<std::vector<StabilityRun>> Runs(
    const std::vector<std::string>& wanted) {
  std::vector<StabilityRun> all;
  std::vector<std::string> names = model::MixerNames();
  for (const std::string& name : names) all.push_back({name, name, {}});
  all.push_back({"full+gdn", "interleaved:1:1:gdn:full", {}});
  if (std::find(names.begin(), names.end(), "dsa") != names.end()) {
    all.push_back({"gdn+dsa", "interleaved:1:1:gdn:dsa", {}});
  }
  if (wanted.empty()) return all;
  std::vector<StabilityRun> chosen;
  for (const std::string& name : wanted) {
    const auto run = std::find_if(
        all.begin(), all.end(),
        [&](const StabilityRun& candidate) { return candidate.name == name; });
    if (run == all.end()) {
      names.clear();
      for (const StabilityRun& r : all) names.push_back(r.name);
      return InvalidArgument("--mixers: no '", name,
                             "'; there are: ", absl::StrJoin(names, ", "));
    }
    chosen.push_back(*run);
  }
  return chosen;
}

// Mixers keep the shapes that they take at this width by default; what counts
// tokens shrinks with the sequence.
nlohmann::json ModelJson(const ProbeOptions& options, int64_t vocab) {
  if (options.large) {
    return {{"vocab_size", vocab},
            {"dim", 256},
            {"n_layers", 4},
            {"n_heads", 4},
            {"loop_count", 4},
            {"default_sliding_window", 128},
            {"nsa",
             {{"block_size", 32}, {"block_counts", 4}, {"window_size", 128}}}};
  }
  return {
      {"vocab_size", vocab},
      {"dim", 64},
      {"n_layers", 2},
      {"n_heads", 2},
      {"loop_count", 4},
      {"multiple_of", 32},
      {"default_sliding_window", 16},
      {"nsa", {{"block_size", 8}, {"block_counts", 4}, {"window_size", 16}}},
      {"dsa", {{"top_k", 16}, {"index_heads", 2}, {"index_dim", 16}}}};
}

ShortTraining Preset(const ProbeOptions& options) {
  ShortTraining training;
  if (options.large) {
    training.steps = 2000;
    training.batch = 32;
    training.seq = 512;
    training.lr = 1e-3;
    training.warmup = 100;
    training.looks = 20;
  }
  if (options.steps > 0) training.steps = options.steps;
  return training;
}

absl::StatusOr<std::unique_ptr<tasks::Task>> TextTask(
    const ProbeOptions& options, int64_t length) {
  tasks::TaskOptions task_options;
  nlohmann::json spec = {{"task", "text"}, {"length", length}};
  if (options.data_dir.empty()) {
    task_options.data_dir = options.repository;
    spec["train_files"] = {"testdata/text/sample.txt"};
    spec["valid_files"] = {"testdata/text/sample.txt"};
  } else {
    task_options.data_dir = options.data_dir;
    spec["train_files"] = {"corpus/train-textbook.txt.xz"};
    spec["valid_files"] = {"corpus/valid-textbook.txt.xz"};
  }
  return tasks::CreateTask(spec, task_options);
}

// What a run says in numbers.
struct Summary {
  int64_t steps = 0;
  int64_t loss_spikes = 0, norm_spikes = 0;
  double norm_median = 0, norm_p99 = 0, norm_max = 0;  // after the warm-up
  double final_loss = 0;                               // median of the last 20
  double roughness = 0;                                // of the loss
  double growth = 0;      // RMS of h(T) / RMS of h(1) at the end
  double first_mass = 0;  // NaN without softmax attention
  double first_uniform = 0;
};

Summary Summarise(const TrainingTrace& trace, int64_t warmup) {
  Summary s;
  s.steps = static_cast<int64_t>(trace.loss.size());
  s.loss_spikes = static_cast<int64_t>(SpikeStarts(trace.loss).size());
  s.norm_spikes = static_cast<int64_t>(SpikeStarts(trace.norm).size());
  const int64_t from = std::min(warmup, s.steps);
  const std::vector<double> norms(trace.norm.begin() + from, trace.norm.end());
  s.norm_median = Quantile(norms, 0.5);
  s.norm_p99 = Quantile(norms, 0.99);
  s.norm_max = Quantile(norms, 1);
  s.final_loss = Quantile(
      {trace.loss.end() - std::min<int64_t>(20, s.steps), trace.loss.end()},
      0.5);
  s.roughness = Roughness(trace.loss);
  const Look& last = trace.looks.back();
  s.growth = last.rms.back() / last.rms[1];
  s.first_mass = last.first_token.mean();
  s.first_uniform = last.first_token.uniform_mean();
  return s;
}

nlohmann::json ToJson(const StabilityRun& run, const Summary& s) {
  nlohmann::json looks = nlohmann::json::array();
  for (const Look& look : run.trace.looks) {
    nlohmann::json rms = nlohmann::json::array();
    for (double value : look.rms) rms.push_back(JsonNumber(value));
    looks.push_back(
        {{"step", look.step},
         {"rms", rms},
         {"first_token_mass", JsonNumber(look.first_token.mean())},
         {"first_token_uniform", JsonNumber(look.first_token.uniform_mean())}});
  }
  auto numbers = [](const std::vector<double>& values) {
    nlohmann::json list = nlohmann::json::array();
    for (double value : values) list.push_back(JsonNumber(value));
    return list;
  };
  return {{"model", run.name},
          {"layer_pattern", run.pattern},
          {"paper_tier", PaperTier(run.name)},
          {"steps", s.steps},
          {"ended_by", run.trace.ended_by},
          {"loss_spikes", s.loss_spikes},
          {"norm_spikes", s.norm_spikes},
          {"norm_median", JsonNumber(s.norm_median)},
          {"norm_p99", JsonNumber(s.norm_p99)},
          {"norm_max", JsonNumber(s.norm_max)},
          {"final_loss", JsonNumber(s.final_loss)},
          {"roughness", JsonNumber(s.roughness)},
          {"growth", JsonNumber(s.growth)},
          {"loss", numbers(run.trace.loss)},
          {"norm", numbers(run.trace.norm)},
          {"looks", looks}};
}

std::string Numbers(const std::vector<double>& values) {
  std::string text;
  for (double value : values) {
    absl::StrAppendFormat(&text, "%s%.2f", text.empty() ? "" : " ", value);
  }
  return text;
}

Table MakeTable(const std::vector<StabilityRun>& runs,
                const std::vector<Summary>& summaries) {
  const Align right = Align::kRight;
  Table table({{"mixer"},
               {"paper's tier", right},
               {"loss spikes", right},
               {"norm spikes", right},
               {"norm median", right},
               {"p99 / median", right},
               {"max", right},
               {"final loss", right},
               {"roughness", right},
               {"RMS of h(0), h(1), ..., h(T)"},
               {"first token", right},
               {"uniform", right},
               {"ended"}});
  for (size_t i = 0; i < runs.size(); ++i) {
    const Summary& s = summaries[i];
    auto share = [](double value) {
      return std::isfinite(value) ? absl::StrFormat("%.3f", value) : "-";
    };
    table.AddRow(
        {runs[i].name, PaperTier(runs[i].name), absl::StrCat(s.loss_spikes),
         absl::StrCat(s.norm_spikes), absl::StrFormat("%.3f", s.norm_median),
         absl::StrFormat("%.2f", s.norm_p99 / s.norm_median),
         absl::StrFormat("%.2f", s.norm_max),
         absl::StrFormat("%.3f", s.final_loss),
         absl::StrFormat("%.3f", s.roughness),
         Numbers(runs[i].trace.looks.back().rms), share(s.first_mass),
         share(s.first_uniform),
         runs[i].trace.ended_by.empty() ? "-"
                                        : absl::StrCat("step ", s.steps + 1)});
  }
  return table;
}

Figure Draw(const std::vector<StabilityRun>& runs) {
  Figure figure;
  figure.columns = 3;
  for (size_t first = 0; first < runs.size(); first += kRunsInPanel) {
    Panel loss{"training loss", "step", "loss (nats per byte)", false, {}};
    Panel norm{"gradient norm before clipping", "step", "norm", true, {}};
    Panel rms{"state after training", "loops t", "RMS of h(t)", false, {}, 1};
    for (size_t i = first; i < std::min(first + kRunsInPanel, runs.size());
         ++i) {
      const TrainingTrace& trace = runs[i].trace;
      Series a{runs[i].name, {}, true}, b = a, c{runs[i].name, {}, false};
      for (size_t step = 0; step < trace.loss.size(); ++step) {
        a.points.push_back({step + 1, trace.loss[step]});
        b.points.push_back({step + 1, trace.norm[step]});
      }
      for (size_t t = 0; t < trace.looks.back().rms.size(); ++t) {
        c.points.push_back({t, trace.looks.back().rms[t]});
      }
      loss.series.push_back(std::move(a));
      norm.series.push_back(std::move(b));
      rms.series.push_back(std::move(c));
    }
    for (Panel* panel : {&loss, &norm, &rms}) {
      figure.panels.push_back(std::move(*panel));
    }
  }
  return figure;
}

}  // namespace

absl::StatusOr<ProbeReport> StabilityProbe(const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(std::vector<StabilityRun> runs, Runs(options.mixers));
  const ShortTraining preset = Preset(options);
  LT2_ASSIGN_OR_RETURN(const auto task, TextTask(options, preset.seq));
  LT2_RETURN_IF_ERROR(RunJobs(
      static_cast<int64_t>(runs.size()), options,
      [&](int64_t i) -> absl::Status {
        ShortTraining training = preset;
        nlohmann::json json = ModelJson(options, task->vocab_size());
        json["layer_pattern"] = runs[i].pattern;
        LT2_ASSIGN_OR_RETURN(training.model,
                             model::ModelConfig::FromJson(json, "model"));
        LT2_ASSIGN_OR_RETURN(runs[i].trace,
                             Train(training, *task, options.device));
        return absl::OkStatus();
      },
      [&](int64_t i) { return runs[i].name; }));
  std::vector<Summary> summaries;
  ProbeReport report;
  report.probe = "stability";
  report.title = absl::StrFormat(
      "Training stability: %d steps of %d x %d bytes, dim %s, T = 4, rate %g",
      preset.steps, preset.batch, preset.seq,
      options.large ? "256, 4 layers" : "64, 2 layers", preset.lr);
  for (const StabilityRun& run : runs) {
    summaries.push_back(Summarise(run.trace, preset.warmup));
    report.rows.push_back(ToJson(run, summaries.back()));
  }
  report.tables = {{"One run a mixer, one seed", MakeTable(runs, summaries)}};
  report.definitions = {
      "norm: of the whole gradient before clipping at 1; median, 99th "
      "percentile and maximum after the warm-up.",
      absl::StrFormat("spike: a step above the median of the %d before it by "
                      "more than %g robust standard deviations (1.4826 MAD, at "
                      "least 1 %% of the median); steps in a row count once.",
                      kSpikeWindow, kSpikeDeviations),
      "final loss: median of the last 20 steps; roughness: standard deviation "
      "of the differences of successive losses.",
      "first token: mean attention to token 0 of the queries that see it, "
      "after training; uniform: what even attention gives.",
      "ended: the step whose loss or norm was not finite.",
      "paper's tier: paper section 3.5, its own grouping into 1 (smoothest) "
      "to 5 (diverges at 0.6 B); - if not shown there."};
  report.figure = Draw(runs);
  return report;
}

}  // namespace lt2::evals
