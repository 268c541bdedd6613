#include "evals/lm/report.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "evals/stats/table.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

// JSON has no NaN.
json Number(double x) { return std::isfinite(x) ? json(x) : json(); }

std::string Digits(double x) {
  if (!std::isfinite(x)) return "N/A";
  return std::abs(x) >= 1e4 ? absl::StrFormat("%.3g", x)
                            : absl::StrFormat("%.4f", x);
}

std::string Notes(const SuiteResult& r) {
  std::string notes;
  if (r.partial()) {
    absl::StrAppend(&notes, "PARTIAL: ", r.evaluated, " of ", r.documents);
  }
  if (r.cut_requests > 0) {
    absl::StrAppend(&notes, notes.empty() ? "" : "; ", r.cut_requests, " of ",
                    r.requests, " contexts cut");
  }
  return notes;
}

std::string RowName(const SuiteResult& r, const MetricResult& metric) {
  return absl::StrCat(r.suite->name, "/",
                      metric.filter == "none" ? metric.name : metric.key());
}

json Rows(const std::vector<SuiteResult>& results, const LmRunInfo& info) {
  json rows = json::array();
  for (const SuiteResult& r : results) {
    for (const MetricResult& metric : r.metrics) {
      if (metric.row_metric.empty()) continue;
      json items = json::array();
      int64_t perfect = 0;
      for (const ItemScore& item : metric.rows) {
        items.push_back(
            {item.index, item.scored, item.correct, Number(item.nll)});
        perfect += item.correct == item.scored;
      }
      rows.push_back(
          {{"model", info.model},
           {"task", RowName(r, metric)},
           {"task_version", r.suite->version},
           // Other examples in the context are other data.
           {"data_digest",
            absl::StrCat(r.data_digest, "-", r.shots, "-",
                         r.shots > 0 ? r.shot_seed : 0, "-", info.max_length)},
           {"model_digest", info.model_digest},
           {"seed", r.shot_seed},
           {"layer_pattern", info.layer_pattern},
           {"write_strength", info.write_strength},
           {"loops", info.loops},
           {"trained_loops", info.trained_loops},
           {"parameters", info.parameters},
           {"flops_per_token", Number(info.flops_per_token)},
           {"state_bytes", info.state_bytes},
           {"metric", metric.row_metric},
           {"higher_is_better", metric.higher_is_better},
           {"value", Number(metric.value)},
           {"low", Number(metric.low)},
           {"high", Number(metric.high)},
           {"chance", Number(r.chance)},
           {"sequence_accuracy", static_cast<double>(perfect) /
                                     static_cast<double>(metric.rows.size())},
           {"partial", r.partial()},
           {"seconds", r.seconds},
           {"item_fields", {"index", "scored", "correct", "nll"}},
           {"items", items}});
    }
  }
  return rows;
}

}  // namespace

std::string LmTable(const std::vector<SuiteResult>& results,
                    const LmRunInfo& info) {
  Table table({{"Tasks"},
               {"Version", Align::kRight},
               {"Filter"},
               {"n-shot", Align::kRight},
               {"Metric"},
               {""},
               {"Value", Align::kRight},
               {"Stderr", Align::kRight},
               {"95 % interval", Align::kRight},
               {"chance", Align::kRight},
               {"items", Align::kRight},
               {"notes"}});
  bool cut = false;
  int64_t requests = 0, cached = 0;
  for (const SuiteResult& r : results) {
    cut |= r.cut_requests > 0;
    requests += r.requests;
    cached += r.cached;
    bool first = true;
    for (const MetricResult& metric : r.metrics) {
      table.AddRow(
          {first ? r.suite->name : "",
           first ? absl::StrCat(r.suite->version) : "", metric.filter,
           first ? absl::StrCat(r.shots) : "",
           metric.name + (metric.name == r.suite->primary ? " *" : ""),
           metric.higher_is_better ? "↑" : "↓", Digits(metric.value),
           Digits(metric.stderr_mean),
           absl::StrCat(Digits(metric.low), " .. ", Digits(metric.high)),
           r.chance > 0 && metric.row_metric == "accuracy" ? Digits(r.chance)
                                                           : "",
           first ? absl::StrCat(r.evaluated) : "", first ? Notes(r) : ""});
      first = false;
    }
  }
  std::string text = absl::StrCat(
      info.model, ": ", info.layer_pattern, ", ", info.loops, " loops, ",
      info.parameters, " parameters; tokenizer ", info.tokenizer,
      "; max_length ", info.max_length, "; ", info.device, " (", info.machine,
      "), ", info.dtype, "\n\n", table.ToText(),
      "\n* stands for the suite. acc_norm divides by characters, acc_bytes by "
      "bytes, acc_tokens by tokens;\nacc_mutual_info subtracts the choice's "
      "log-likelihood without the question.\n");
  absl::StrAppend(&text, requests, " requests, ", cached,
                  " answered from the cache, ", info.tokens_computed,
                  " tokens computed, ", absl::StrFormat("%.1f", info.seconds),
                  " s\n");
  if (cut) {
    absl::StrAppend(&text, "Contexts were cut from the left to ",
                    info.max_length,
                    " tokens: what the answer needs may be gone; give a larger "
                    "--max_length\n");
  }
  for (const std::string& skipped : info.skipped) {
    absl::StrAppend(&text, "SKIPPED ", skipped, "\n");
  }
  return text;
}

json LmJson(const std::vector<SuiteResult>& results, const LmRunInfo& info) {
  json scores, configs, versions, shots, better, samples, hashes, group;
  for (const SuiteResult& r : results) {
    const std::string& name = r.suite->name;
    json score = {{"alias", name}, {"sample_len", r.evaluated}};
    for (const MetricResult& metric : r.metrics) {
      score[metric.key()] = Number(metric.value);
      score[metric.name + "_stderr," + metric.filter] =
          std::isfinite(metric.stderr_mean) ? json(metric.stderr_mean)
                                            : json("N/A");
      score[metric.name + "_interval," + metric.filter] = {Number(metric.low),
                                                           Number(metric.high)};
      better[name][metric.name] = metric.higher_is_better;
    }
    scores[name] = score;
    configs[name] = r.suite->json;
    versions[name] = r.suite->version;
    shots[name] = r.shots;
    samples[name] = {{"original", r.documents}, {"effective", r.evaluated}};
    hashes[name] = r.data_digest;
    group[name] = json::array();
    configs[name]["cut_contexts"] = r.cut_requests;
    configs[name]["primary"] = r.suite->primary;
  }
  const json config = {
      {"model", info.model},
      {"model_digest", info.model_digest},
      {"model_num_parameters", info.parameters},
      {"model_dtype", info.dtype},
      {"device", info.device},
      {"loops", info.loops},
      {"max_length", info.max_length},
      {"limit", info.limit > 0 ? json(info.limit) : json()},
      {"sample", info.sample > 0 ? json(info.sample) : json()},
      {"sample_seed", info.sample_seed},
      {"fewshot_seed", results.empty() ? 0 : results[0].shot_seed},
      {"bootstrap_iters", BootstrapOptions().resamples},
      {"program_digest", info.program_digest},
      {"skipped", info.skipped}};
  return {{"schema_version", 1},
          {"build", info.build},
          {"machine", info.machine},
          {"command", info.command},
          {"seconds", info.seconds},
          {"rows", Rows(results, info)},
          {"results", scores},
          {"groups", json::object()},
          {"group_subtasks", group},
          {"configs", configs},
          {"versions", versions},
          {"n-shot", shots},
          {"higher_is_better", better},
          {"n-samples", samples},
          {"config", config},
          {"git_hash", nullptr},
          {"date", info.date},
          {"task_hashes", hashes},
          {"model_name", info.model},
          {"tokenizer",
           {{"name", info.tokenizer}, {"digest", info.tokenizer_digest}}},
          {"total_evaluation_time_seconds", info.seconds}};
}

std::string LmSamples(const SuiteResult& result, const LmRunInfo& info) {
  std::string lines;
  for (json sample : result.samples) {
    sample["model_digest"] = info.model_digest;
    sample["fewshot_seed"] = result.shot_seed;
    // A byte-level model may write what is not UTF-8.
    lines += sample.dump(-1, ' ', false, json::error_handler_t::replace);
    lines += "\n";
  }
  return lines;
}

}  // namespace lt2::evals
