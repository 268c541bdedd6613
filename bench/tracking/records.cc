#include "bench/tracking/records.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/json/json_reader.h"
#include "kernels/core/json/strict_json.h"

namespace lt2::bench {
namespace {

using nlohmann::json;

std::map<std::string, std::string> Strings(const json& object,
                                           const std::string& key,
                                           JsonReader* reader) {
  JsonReader inside = reader->Object(key);
  std::map<std::string, std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_object()) return strings;
  for (const auto& item : found->items()) {
    strings[item.key()] = inside.String(item.key(), "");
  }
  return strings;
}

absl::StatusOr<Record> ParseRecord(const json& object) {
  JsonReader reader(object);
  reader.Require({"schema_version", "suite", "benchmark", "parameters",
                  "metric", "unit", "higher_is_better", "machine", "build",
                  "data", "commit", "time", "sampling", "samples"});
  reader.Int("schema_version", kRecordSchemaVersion, kRecordSchemaVersion,
             kRecordSchemaVersion);
  Record record;
  record.suite = reader.String("suite", "");
  record.benchmark = reader.String("benchmark", "");
  record.parameters = Strings(object, "parameters", &reader);
  record.metric = reader.String("metric", "");
  record.unit = reader.String("unit", "");
  record.higher_is_better = reader.Bool("higher_is_better", false);
  record.machine = Strings(object, "machine", &reader);
  record.build = Strings(object, "build", &reader);
  record.data = reader.String("data", "");
  record.commit = reader.String("commit", "");
  record.time = reader.String("time", "");
  record.sampling = reader.Enum<Sampling>(
      "sampling", Sampling::kProcess,
      {{"process", Sampling::kProcess}, {"repetition", Sampling::kRepetition}});
  for (const json& sample : reader.Array("samples")) {
    if (sample.is_null()) {
      record.samples.push_back(std::nan(""));
    } else if (sample.is_number()) {
      record.samples.push_back(sample.get<double>());
    } else {
      reader.Fail("samples", "expected numbers or null, got ", sample.dump());
    }
  }
  if (record.benchmark.empty()) reader.Fail("benchmark", "is empty");
  LT2_RETURN_IF_ERROR(reader.Finish());
  return record;
}

}  // namespace

std::string Record::Name() const {
  std::string name =
      suite.empty() ? benchmark : absl::StrCat(suite, "/", benchmark);
  for (const auto& [key, value] : parameters) {
    absl::StrAppend(&name, " ", key, ":", value);
  }
  absl::StrAppend(&name, " [", metric, "]");
  return name;
}

std::string Record::Subject() const {
  return json({suite, benchmark, parameters, metric, data}).dump();
}

std::string Record::Place() const { return json({machine, build}).dump(); }

std::string Record::Key() const { return Subject() + Place(); }

std::string RecordLine(const Record& record) {
  nlohmann::ordered_json line;
  line["schema_version"] = kRecordSchemaVersion;
  line["suite"] = record.suite;
  line["benchmark"] = record.benchmark;
  line["parameters"] = record.parameters;
  line["metric"] = record.metric;
  line["unit"] = record.unit;
  line["higher_is_better"] = record.higher_is_better;
  line["machine"] = record.machine;
  line["build"] = record.build;
  line["data"] = record.data;
  line["commit"] = record.commit;
  line["time"] = record.time;
  line["sampling"] =
      record.sampling == Sampling::kProcess ? "process" : "repetition";
  line["samples"] = nlohmann::ordered_json::array();
  for (double sample : record.samples) {
    line["samples"].push_back(std::isfinite(sample)
                                  ? nlohmann::ordered_json(sample)
                                  : nlohmann::ordered_json());
  }
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<std::vector<Record>> ParseRecords(absl::string_view text,
                                                 absl::string_view source) {
  std::vector<Record> records;
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.empty()) return records;
  int64_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::string place = absl::StrCat(source, ":", ++number);
    LT2_ASSIGN_OR_RETURN(const json object, ParseJson(line, place));
    absl::StatusOr<Record> record = ParseRecord(object);
    if (!record.ok()) return Annotate(record.status(), place);
    records.push_back(*std::move(record));
  }
  return records;
}

absl::StatusOr<std::vector<Record>> ParseHistory(absl::string_view text,
                                                 absl::string_view source) {
  LT2_ASSIGN_OR_RETURN(std::vector<Record> records, ParseRecords(text, source));
  for (size_t i = 1; i < records.size(); ++i) {
    if (records[i].machine != records[0].machine) {
      return InvalidArgument(
          source, ":", i + 1, ": machine ", json(records[i].machine).dump(),
          " is not that of the first line, ", json(records[0].machine).dump());
    }
  }
  return records;
}

absl::StatusOr<std::vector<Record>> MergeProcesses(
    const std::vector<Record>& records) {
  std::vector<Record> merged;
  std::map<std::string, size_t> places;
  for (const Record& record : records) {
    const auto [found, is_new] = places.emplace(record.Key(), merged.size());
    if (is_new) {
      merged.push_back(record);
      continue;
    }
    Record& first = merged[found->second];
    if (first.commit != record.commit || first.unit != record.unit ||
        first.higher_is_better != record.higher_is_better ||
        first.sampling != record.sampling) {
      return InvalidArgument(record.Name(),
                             ": commit, unit, direction or sampling of two "
                             "lines differ: ",
                             RecordLine(first), " and ", RecordLine(record));
    }
    first.samples.insert(first.samples.end(), record.samples.begin(),
                         record.samples.end());
  }
  return merged;
}

}  // namespace lt2::bench
