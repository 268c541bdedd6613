#include "evals/ranking/lm_rows.h"

#include <cmath>
#include <set>

#include "absl/strings/str_split.h"
#include "evals/comparison/results_file.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

using nlohmann::json;

double NumberOf(const json& row, const char* key) {
  return row.contains(key) && row[key].is_number() ? row[key].get<double>() : 0;
}

std::string TextOf(const json& row, const char* key) {
  return row.contains(key) && row[key].is_string() ? row[key].get<std::string>()
                                                   : "";
}

}  // namespace

absl::StatusOr<std::vector<Row>> ParseLmRows(const json& results,
                                             const std::string& source) {
  // Checks types and examples.
  LT2_ASSIGN_OR_RETURN(const ResultsFile file, ParseResults(results, source));
  if (!results.contains("configs") || !results["configs"].is_object()) {
    return InvalidArgument(source, ": no configs: not a result of //evals:lm");
  }
  std::vector<Row> rows;
  std::set<std::string> seen;
  for (size_t i = 0; i < file.rows.size(); ++i) {
    const ResultRow& from = file.rows[i];
    const json& text = results["rows"][i];
    const std::vector<std::string> name =
        absl::StrSplit(from.task, absl::MaxSplits('/', 1));
    if (name.size() != 2 || !results["configs"].contains(name[0])) {
      return InvalidArgument(source, ": rows.", i, ".task: '", from.task,
                             "' is no suite and metric of configs");
    }
    const json& suite = results["configs"][name[0]];
    const std::vector<std::string> metric = absl::StrSplit(name[1], ',');
    // With several filters the first one.
    if (metric[0] != TextOf(suite, "primary") || !seen.insert(name[0]).second) {
      continue;
    }
    Row row;
    row.model = from.model;
    row.column = name[0];
    row.title = absl::StrCat(TextOf(suite, "title"), ", ", metric[0]);
    row.layer_pattern = TextOf(text, "layer_pattern");
    row.write_strength = TextOf(text, "write_strength");
    row.loops = from.loops;
    row.trained_loops = from.trained_loops;
    row.parameters = static_cast<int64_t>(NumberOf(text, "parameters"));
    row.flops_per_token = NumberOf(text, "flops_per_token");
    row.state_bytes = static_cast<int64_t>(NumberOf(text, "state_bytes"));
    row.metric =
        from.metric == "accuracy" ? Metric::kAccuracy : Metric::kBitsPerByte;
    row.value = NumberOf(text, "value");
    row.low = NumberOf(text, "low");
    row.high = NumberOf(text, "high");
    row.chance = NumberOf(text, "chance");
    row.sequence_accuracy = NumberOf(text, "sequence_accuracy");
    row.partial = text.contains("partial") && text["partial"] == true;
    row.seconds = NumberOf(text, "seconds");
    row.model_digest = from.model_digest;
    row.data_digest = from.data_digest;
    row.task_version = static_cast<int>(from.task_version);
    row.seed = static_cast<uint64_t>(from.seed);
    for (const ResultItem& item : from.items) {
      row.items.push_back({item.index, item.scored, item.correct, item.nll});
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

absl::StatusOr<std::vector<Row>> ReadLmRows(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const json results, ParseJson(text, path));
  return ParseLmRows(results, path);
}

}  // namespace lt2::evals
