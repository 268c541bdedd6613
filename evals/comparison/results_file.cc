#include "evals/comparison/results_file.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

constexpr int64_t kSchemaVersion = 1;
const char* const kItemFields[] = {"index", "scored", "correct", "nll"};

void ReadItems(JsonReader& reader, ResultRow* row) {
  if (reader.Strings("item_fields") !=
      std::vector<std::string>(std::begin(kItemFields),
                               std::end(kItemFields))) {
    reader.Fail("item_fields", "expected [index, scored, correct, nll]");
  }
  const nlohmann::json& items = reader.Array("items");
  for (size_t i = 0; i < items.size() && reader.status().ok(); ++i) {
    const nlohmann::json& item = items[i];
    const auto count = [&](size_t field) {
      return item[field].is_number_integer() && item[field] >= 0;
    };
    if (!item.is_array() || item.size() != 4 || !count(0) || !count(1) ||
        !count(2) || !(item[3].is_number() || item[3].is_null()) ||
        item[2] > item[1]) {
      reader.Fail("items", "entry ", i,
                  ": expected [index, scored, correct <= scored, nll], got ",
                  item.dump().substr(0, 80));
      return;
    }
    row->items.push_back({item[0], item[1], item[2],
                          item[3].is_null()
                              ? std::numeric_limits<double>::quiet_NaN()
                              : item[3].get<double>()});
  }
  std::sort(row->items.begin(), row->items.end(),
            [](const ResultItem& a, const ResultItem& b) {
              return a.index < b.index;
            });
  for (size_t i = 1; i < row->items.size(); ++i) {
    if (row->items[i].index == row->items[i - 1].index) {
      reader.Fail("items", "index ", row->items[i].index, " is there twice");
      return;
    }
  }
}

ResultRow ReadRow(JsonReader& reader) {
  reader.Require({"model", "task", "task_version", "data_digest", "loops",
                  "metric", "items"});
  ResultRow row;
  row.model = reader.String("model", "");
  row.task = reader.String("task", "");
  row.metric = reader.Enum("metric", "accuracy", {"accuracy", "bits_per_byte"});
  row.higher_is_better =
      reader.Bool("higher_is_better", row.metric == "accuracy");
  row.data_digest = reader.String("data_digest", "");
  row.model_digest = reader.String("model_digest", "");
  row.task_version = reader.Int("task_version", 0);
  row.seed = reader.Int("seed", 0);
  row.loops = reader.Int("loops", 1, 1);
  row.trained_loops = reader.Int("trained_loops", row.loops, 1);
  // What describes the model or sums up the items says nothing more here.
  for (const char* key :
       {"layer_pattern", "write_strength", "parameters", "flops_per_token",
        "state_bytes", "value", "low", "high", "chance", "sequence_accuracy",
        "partial", "seconds"}) {
    reader.Has(key);
  }
  ReadItems(reader, &row);
  return row;
}

}  // namespace

std::string ResultRow::label() const {
  return loops == trained_loops ? model : absl::StrCat(model, "@", loops);
}

absl::StatusOr<ResultsFile> ParseResults(const nlohmann::json& json,
                                         const std::string& source) {
  JsonReader reader(json, source);
  ResultsFile file;
  file.source = source;
  reader.Require({"schema_version", "rows"});
  reader.Int("schema_version", 0, kSchemaVersion, kSchemaVersion);
  file.build = reader.String("build", "");
  file.machine = reader.String("machine", "");
  reader.String("command", "");
  reader.Float("seconds", 0, 0);
  // What //evals:lm writes beside the rows, for readers of
  // lm-evaluation-harness' files.
  for (const char* key :
       {"results", "groups", "group_subtasks", "configs", "versions", "n-shot",
        "higher_is_better", "n-samples", "config", "git_hash", "date",
        "task_hashes", "model_name", "tokenizer",
        "total_evaluation_time_seconds"}) {
    reader.Has(key);
  }
  for (JsonReader& row : reader.Objects("rows")) {
    file.rows.push_back(ReadRow(row));
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  return file;
}

absl::StatusOr<ResultsFile> ReadResults(const std::string& path) {
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  return ParseResults(json, path);
}

}  // namespace lt2::evals
