#include "evals/curricula/preset.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"
#include "model/io/atomic_file.h"

namespace lt2::evals {
namespace {

constexpr int kMaxExtends = 8;
constexpr char kPositive[] = "(0,1)", kNegative[] = "(0,2)";

// Sets what a key such as "a.b" names; "a.*.b" in every element of the list a.
absl::Status SetKey(absl::Span<const std::string> parts,
                    const nlohmann::json& value, nlohmann::json* json) {
  if (parts.empty()) {
    *json = value;
    return absl::OkStatus();
  }
  if (parts[0] != "*") {
    if (!json->is_object()) *json = nlohmann::json::object();
    return SetKey(parts.subspan(1), value, &(*json)[parts[0]]);
  }
  if (!json->is_array()) return InvalidArgument("a '*' where there is no list");
  for (nlohmann::json& element : *json) {
    LT2_RETURN_IF_ERROR(SetKey(parts.subspan(1), value, &element));
  }
  return absl::OkStatus();
}

struct Axis {
  std::string name;
  std::vector<std::string> keys;
  std::vector<int64_t> values, order;

  absl::Status Set(int64_t value, nlohmann::json* config) const {
    for (const std::string& key : keys) {
      const std::vector<std::string> parts = absl::StrSplit(key, '.');
      const absl::Status status = SetKey(parts, value, config);
      if (!status.ok()) {
        return InvalidArgument(name, ": key ", key, ": ", status.message());
      }
    }
    return absl::OkStatus();
  }
};

Axis ReadAxis(JsonReader reader) {
  Axis axis;
  axis.name = reader.String("name", "");
  axis.keys = reader.Strings("keys");
  axis.values = reader.Ints("values");
  axis.order = reader.Ints("order");
  if (axis.order.empty()) axis.order = axis.values;
  std::vector<int64_t> a = axis.values, b = axis.order;
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  if (a != b) reader.Fail("order", "must be the values in another order");
  if (std::adjacent_find(a.begin(), a.end()) != a.end()) {
    reader.Fail("values", "has one twice");
  }
  if (axis.name.empty() || axis.keys.empty() || axis.values.empty()) {
    reader.Fail("values", "an axis needs name, keys and values");
  }
  return axis;
}

struct Row {
  std::string name, suffix, write_strength = "-";
  nlohmann::json set;
};

// One row, or one for each of the write strengths.
absl::StatusOr<std::vector<Row>> ReadRow(
    const nlohmann::json& json, const std::vector<std::string>& strengths,
    JsonReader reader) {
  Row row;
  reader.Require({"name"});
  row.name = reader.String("name", "");
  row.set = nlohmann::json::object();
  reader.Has("set");
  const auto mixers = reader.Strings("write_strength");
  LT2_RETURN_IF_ERROR(reader.status());
  if (row.name.empty() || row.name[0] == '.' ||
      absl::StrContains(row.name, "/")) {
    return InvalidArgument(reader.PathOf("name"), ": '", row.name,
                           "' cannot name a folder");
  }
  if (json.contains("set")) row.set = json["set"];
  if (mixers.empty()) return std::vector<Row>{row};
  std::vector<Row> rows;
  for (const std::string& strength : strengths) {
    const bool negative = strength == kNegative;
    Row one = row;
    one.write_strength = strength;
    one.suffix = negative ? "-neg" : "";
    for (const std::string& mixer : mixers) {
      one.set.merge_patch(
          {{"model", {{mixer, {{"allow_neg_eigval", negative}}}}}});
    }
    rows.push_back(one);
  }
  return rows;
}

absl::StatusOr<nlohmann::json> Load(const std::string& folder,
                                    const std::string& name, int depth) {
  const std::string path =
      absl::EndsWith(name, ".json") ? name : folder + "/" + name + ".json";
  LT2_ASSIGN_OR_RETURN(const std::string text, model::ReadFile(path));
  LT2_ASSIGN_OR_RETURN(nlohmann::json json, ParseJson(text, path));
  if (!json.is_object() || !json.contains("extends")) return json;
  if (!json["extends"].is_string() || depth >= kMaxExtends) {
    return InvalidArgument(path, ": extends: expected the name of a preset ",
                           "that does not extend this one");
  }
  LT2_ASSIGN_OR_RETURN(
      nlohmann::json base,
      Load(folder, json["extends"].get<std::string>(), depth + 1));
  json.erase("extends");
  base.merge_patch(json);
  return base;
}

}  // namespace

std::string PlannedRun::label() const {
  std::string text = row;
  if (!axis.empty()) absl::StrAppend(&text, " ", axis);
  if (write_strength != "-") absl::StrAppend(&text, " ", write_strength);
  return text;
}

int64_t Preset::StageNumber(int64_t index) const {
  if (index < 1) return 0;
  if (stage_numbers.empty()) return index;
  return index <= static_cast<int64_t>(stage_numbers.size())
             ? stage_numbers[index - 1]
             : 0;
}

int64_t Preset::StageSize(int64_t number) const {
  return number >= 1 && number <= static_cast<int64_t>(stage_sizes.size())
             ? stage_sizes[number - 1]
             : 0;
}

absl::StatusOr<Preset> ParsePreset(const nlohmann::json& json,
                                   const std::string& source,
                                   const nlohmann::json& patch) {
  Preset preset;
  JsonReader reader(json, source);
  reader.Require({"schema_version", "title", "run", "rows", "columns"});
  reader.Int("schema_version", 1, 1, 1);
  reader.Has("run");
  preset.title = reader.String("title", "");
  preset.measure = reader.Enum<Measure>(
      "measure", Measure::kStage,
      {{"stage", Measure::kStage}, {"accuracy", Measure::kAccuracy}});
  preset.stage_numbers = reader.Ints("stage_numbers");
  preset.stage_sizes = reader.Ints("stage_sizes");
  preset.success = reader.Float("success", 0, 0, 1e6);
  std::vector<int64_t> seeds = reader.Ints("seeds");
  if (seeds.empty()) seeds = {1};
  const Axis columns = ReadAxis(reader.Object("columns"));
  Axis axis;
  if (reader.Has("axis")) axis = ReadAxis(reader.Object("axis"));
  std::vector<std::string> strengths = reader.Strings("write_strengths");
  if (strengths.empty()) strengths = {kPositive, kNegative};
  for (const std::string& strength : strengths) {
    if (strength != kPositive && strength != kNegative) {
      reader.Fail("write_strengths", "expected ", kPositive, " or ", kNegative,
                  ", got ", strength);
    }
  }
  const std::vector<JsonReader> row_readers = reader.Objects("rows");
  LT2_RETURN_IF_ERROR(reader.status());
  std::vector<Row> rows;
  for (size_t i = 0; i < row_readers.size(); ++i) {
    LT2_ASSIGN_OR_RETURN(const std::vector<Row> some,
                         ReadRow(json["rows"][i], strengths, row_readers[i]));
    rows.insert(rows.end(), some.begin(), some.end());
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  preset.column_name = columns.name;
  preset.columns = columns.values;

  std::set<std::string> names;
  for (const int64_t seed : seeds) {
    for (const int64_t column : columns.order) {
      for (const Row& row : rows) {
        const size_t variants = std::max<size_t>(1, axis.values.size());
        for (size_t v = 0; v < variants; ++v) {
          PlannedRun run;
          run.row = row.name;
          run.write_strength = row.write_strength;
          run.column = column;
          run.seed = seed;
          run.config = json["run"];
          run.config.merge_patch(row.set);
          run.name = row.name + row.suffix;
          if (!axis.values.empty()) {
            run.axis = absl::StrCat(axis.name, "=", axis.order[v]);
            LT2_RETURN_IF_ERROR(axis.Set(axis.order[v], &run.config));
            absl::StrAppend(&run.name, "-", axis.name, axis.order[v]);
          }
          absl::StrAppend(&run.name, "-", columns.name, column, "-s", seed);
          LT2_RETURN_IF_ERROR(columns.Set(column, &run.config));
          run.config.merge_patch(patch);
          run.config["name"] = run.name;
          run.config["seed"] = seed;
          if (!names.insert(run.name).second) {
            return InvalidArgument(source, ": two runs are called ", run.name);
          }
          preset.runs.push_back(std::move(run));
        }
      }
    }
  }
  if (preset.runs.empty()) return InvalidArgument(source, ": rows: empty");
  return preset;
}

absl::StatusOr<Preset> ReadPreset(const std::string& folder,
                                  const std::string& name,
                                  const nlohmann::json& patch) {
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json, Load(folder, name, 0));
  LT2_ASSIGN_OR_RETURN(Preset preset, ParsePreset(json, name, patch));
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  preset.name = std::string(absl::StripSuffix(parts.back(), ".json"));
  return preset;
}

bool Selected(absl::string_view globs, const PlannedRun& run) {
  if (globs.empty()) return true;
  for (const auto part : absl::StrSplit(globs, ',')) {
    const std::string glob(part);
    if (fnmatch(glob.c_str(), run.name.c_str(), 0) == 0 ||
        fnmatch(glob.c_str(), run.row.c_str(), 0) == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace lt2::evals
