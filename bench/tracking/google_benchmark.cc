#include "bench/tracking/google_benchmark.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bench/tracking/rank_tests.h"
#include "kernels/core/json/strict_json.h"

namespace lt2::bench {
namespace {

using nlohmann::json;

bool IsNumber(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' ||
           c == '.';
  });
}

// A member of `object` that must be a string, "" if absent.
absl::StatusOr<std::string> Text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::string();
  if (!found->is_string()) {
    return InvalidArgument(key, ": expected a string, got ", found->dump());
  }
  return found->get<std::string>();
}

absl::Status ParseName(absl::string_view name, Record* record) {
  int places = 0;
  for (absl::string_view part : absl::StrSplit(name, '/')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(part, absl::MaxSplits(':', 1));
    std::string key(pair.first), value(pair.second);
    if (part == "real_time" || part == "process_time" ||
        part == "manual_time" || key == "min_time" ||
        key == "min_warmup_time" || key == "iterations" || key == "repeats") {
      continue;
    }
    if (IsNumber(part)) {
      key = absl::StrCat("arg", places++);
      value = std::string(part);
    } else if (!absl::StrContains(part, ':')) {
      absl::StrAppend(&record->benchmark, record->benchmark.empty() ? "" : "/",
                      part);
      continue;
    }
    if (!record->parameters.emplace(key, value).second) {
      return InvalidArgument("parameter ", key, " twice in ", Quoted(name));
    }
  }
  if (record->benchmark.empty()) {
    return InvalidArgument("no benchmark in the name ", Quoted(name));
  }
  return absl::OkStatus();
}

// One repetition's value, NaN if it failed.
absl::StatusOr<double> Value(const json& run, const std::string& metric) {
  const auto error = run.find("error_occurred");
  if (error != run.end() && *error == true) return std::nan("");
  const auto value = run.find(metric);
  if (value == run.end() || !value->is_number()) {
    return InvalidArgument("expected a number '", metric, "' in ",
                           run.dump().substr(0, 200));
  }
  return value->get<double>();
}

absl::StatusOr<std::vector<Record>> Parse(
    const json& file, const GoogleBenchmarkOptions& options) {
  if (!file.is_object() || !file.contains("context") ||
      !file["context"].is_object() || !file.contains("benchmarks") ||
      !file["benchmarks"].is_array()) {
    return InvalidArgument(
        "expected an object with 'context' and a list 'benchmarks'");
  }
  const json& context = file["context"];
  Record common;
  common.metric = options.metric;
  common.machine = options.machine;
  common.build = options.build;
  common.commit = options.commit;
  common.sampling = options.sampling;
  common.higher_is_better = absl::EndsWith(options.metric, "_per_second") ||
                            absl::EndsWith(options.metric, "/s");
  LT2_ASSIGN_OR_RETURN(common.time, Text(context, "date"));
  LT2_ASSIGN_OR_RETURN(const std::string program, Text(context, "executable"));
  common.suite = program.substr(program.rfind('/') + 1);
  LT2_ASSIGN_OR_RETURN(const std::string type,
                       Text(context, "library_build_type"));
  if (!type.empty()) common.build["library_build_type"] = type;
  if (context.contains("num_cpus")) {
    common.machine["num_cpus"] = context["num_cpus"].dump();
  }
  const bool is_time =
      options.metric == "real_time" || options.metric == "cpu_time";
  std::vector<Record> records;
  for (const json& run : file["benchmarks"]) {
    if (!run.is_object()) return InvalidArgument("a benchmark is no object");
    LT2_ASSIGN_OR_RETURN(const std::string kind, Text(run, "run_type"));
    if (kind == "aggregate") continue;
    LT2_ASSIGN_OR_RETURN(std::string name, Text(run, "run_name"));
    if (name.empty()) {
      LT2_ASSIGN_OR_RETURN(name, Text(run, "name"));
    }
    Record record = common;
    LT2_RETURN_IF_ERROR(ParseName(name, &record));
    LT2_ASSIGN_OR_RETURN(const std::string time_unit, Text(run, "time_unit"));
    record.unit = is_time ? time_unit : "";
    LT2_ASSIGN_OR_RETURN(const double value, Value(run, options.metric));
    record.samples.push_back(value);
    // A failed run has no time unit.
    for (const Record& other : records) {
      if (record.unit.empty() && other.Key() == record.Key()) {
        record.unit = other.unit;
      }
    }
    records.push_back(std::move(record));
  }
  LT2_ASSIGN_OR_RETURN(records, MergeProcesses(records));
  if (options.sampling == Sampling::kProcess) {
    for (Record& record : records) {
      bool failed = false;
      for (double sample : record.samples) failed |= !std::isfinite(sample);
      record.samples = {failed ? std::nan("") : Median(record.samples)};
    }
  }
  return records;
}

}  // namespace

absl::StatusOr<std::vector<Record>> ParseGoogleBenchmark(
    absl::string_view text, absl::string_view source,
    const GoogleBenchmarkOptions& options) {
  LT2_ASSIGN_OR_RETURN(const json file, ParseJson(text, source));
  absl::StatusOr<std::vector<Record>> records = Parse(file, options);
  if (!records.ok()) return Annotate(records.status(), source);
  return records;
}

bool LooksLikeGoogleBenchmark(absl::string_view text) {
  const absl::string_view line = text.substr(0, text.find('\n'));
  return !absl::StrContains(line, "\"schema_version\"") &&
         absl::StrContains(text, "\"benchmarks\"");
}

}  // namespace lt2::bench
