#include "evals/curricula/results.h"

#include <cmath>
#include <map>

#include "kernels/core/json/json_reader.h"

namespace lt2::evals {
namespace {

nlohmann::json Number(double value) {
  return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

nlohmann::json RunJson(const RunOutcome& o) {
  nlohmann::json stages = nlohmann::json::array();
  for (const StageOutcome& s : o.stages) {
    stages.push_back({{"stage", s.number},
                      {"accuracy", Number(s.accuracy)},
                      {"best_accuracy", Number(s.best)},
                      {"steps", s.steps},
                      {"solved", s.solved}});
  }
  nlohmann::json tests = nlohmann::json::array();
  for (const TestOutcome& t : o.tests) {
    tests.push_back({{"task", t.task}, {"accuracy", Number(t.accuracy)}});
  }
  return {{"name", o.name},
          {"row", o.row},
          {"write_strength", o.write_strength},
          {"axis", o.axis},
          {"column", o.column},
          {"seed", o.seed},
          {"config_digest", o.config_digest},
          {"status", Name(o.status)},
          {"reason", o.reason},
          {"highest_stage", o.highest_stage},
          {"n_max", o.n_max},
          {"steps", o.steps},
          {"accuracy", Number(o.accuracy)},
          {"stages", stages},
          {"tests", tests},
          {"seconds", o.seconds},
          {"sessions", o.sessions},
          {"log_digest", o.log_digest},
          {"machine", o.machine}};
}

// A number, or NaN where the file has null.
double ReadNumber(const nlohmann::json& json, JsonReader& reader,
                  const char* key) {
  if (json.contains(key) && json[key].is_null()) {
    reader.Has(key);
    return std::nan("");
  }
  return reader.Float(key, 0);
}

absl::StatusOr<RunOutcome> ReadRun(const nlohmann::json& json,
                                   JsonReader reader) {
  RunOutcome o;
  reader.Require({"name", "row", "column", "seed", "config_digest", "status"});
  o.name = reader.String("name", "");
  o.row = reader.String("row", "");
  o.write_strength = reader.String("write_strength", "-");
  o.axis = reader.String("axis", "");
  o.column = reader.Int("column", 0);
  o.seed = reader.Int("seed", 0);
  o.config_digest = reader.String("config_digest", "");
  const std::string status = reader.String("status", "");
  o.reason = reader.String("reason", "");
  o.highest_stage = reader.Int("highest_stage", 0);
  o.n_max = reader.Int("n_max", 0);
  o.steps = reader.Int("steps", 0);
  o.accuracy = ReadNumber(json, reader, "accuracy");
  std::vector<JsonReader> stages = reader.Objects("stages");
  for (size_t i = 0; i < stages.size(); ++i) {
    const nlohmann::json& stage = json["stages"][i];
    StageOutcome s;
    s.number = stages[i].Int("stage", 0);
    s.accuracy = ReadNumber(stage, stages[i], "accuracy");
    s.best = ReadNumber(stage, stages[i], "best_accuracy");
    s.steps = stages[i].Int("steps", 0);
    s.solved = stages[i].Bool("solved", false);
    o.stages.push_back(s);
  }
  std::vector<JsonReader> tests = reader.Objects("tests");
  for (size_t i = 0; i < tests.size(); ++i) {
    const nlohmann::json& test = json["tests"][i];
    tests[i].Has("task");
    o.tests.push_back({test.value("task", nlohmann::json()),
                       ReadNumber(test, tests[i], "accuracy")});
  }
  o.seconds = reader.Float("seconds", 0, 0);
  o.sessions = reader.Int("sessions", 0);
  o.log_digest = reader.String("log_digest", "");
  o.machine = reader.String("machine", "");
  LT2_RETURN_IF_ERROR(reader.status());
  LT2_ASSIGN_OR_RETURN(o.status, StatusOf(status));
  return o;
}

// True if `b` tells more than `a`.
bool TellsMore(const RunOutcome& b, const RunOutcome& a) {
  const auto rank = [](const RunOutcome& o) {
    if (o.status == RunStatus::kDone) return 2;
    return o.status == RunStatus::kPending ? 0 : 1;
  };
  if (rank(a) != rank(b)) return rank(b) > rank(a);
  return b.steps > a.steps;
}

}  // namespace

Results MakeResults(const Preset& preset, std::vector<RunOutcome> runs) {
  Results results;
  results.preset = preset.name;
  results.title = preset.title;
  results.measure = preset.measure;
  results.success = preset.success;
  results.column_name = preset.column_name;
  results.columns = preset.columns;
  results.runs = std::move(runs);
  return results;
}

nlohmann::json ResultsJson(const Results& r) {
  nlohmann::json runs = nlohmann::json::array();
  for (const RunOutcome& o : r.runs) runs.push_back(RunJson(o));
  return {{"schema_version", kCurriculumSchemaVersion},
          {"preset", r.preset},
          {"title", r.title},
          {"measure", r.measure == Measure::kStage ? "stage" : "accuracy"},
          {"success", r.success},
          {"columns", {{"name", r.column_name}, {"values", r.columns}}},
          {"build", r.build},
          {"command", r.command},
          {"runs", runs}};
}

absl::StatusOr<Results> ParseResultsJson(const nlohmann::json& json,
                                         const std::string& source) {
  Results r;
  JsonReader reader(json, source);
  reader.Require({"schema_version", "preset", "measure", "columns", "runs"});
  reader.Int("schema_version", 0, kCurriculumSchemaVersion,
             kCurriculumSchemaVersion);
  r.preset = reader.String("preset", "");
  r.title = reader.String("title", "");
  r.measure = reader.Enum<Measure>(
      "measure", Measure::kStage,
      {{"stage", Measure::kStage}, {"accuracy", Measure::kAccuracy}});
  r.success = reader.Float("success", 0, 0);
  JsonReader columns = reader.Object("columns");
  r.column_name = columns.String("name", "");
  r.columns = columns.Ints("values");
  r.build = reader.String("build", "");
  r.command = reader.String("command", "");
  const std::vector<JsonReader> runs = reader.Objects("runs");
  LT2_RETURN_IF_ERROR(reader.status());
  for (size_t i = 0; i < runs.size(); ++i) {
    auto run = ReadRun(json["runs"][i], runs[i]);
    if (!run.ok()) return Annotate(run.status(), source);
    r.runs.push_back(*std::move(run));
  }
  LT2_RETURN_IF_ERROR(reader.Finish());
  return r;
}

absl::StatusOr<Results> Merge(const Results& a, const Results& b,
                              std::vector<std::string>* warnings) {
  if (a.preset != b.preset || a.columns != b.columns ||
      a.measure != b.measure) {
    return InvalidArgument("results of the presets '", a.preset, "' and '",
                           b.preset, "' cannot be merged");
  }
  Results merged = a;
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < a.runs.size(); ++i) place[a.runs[i].name] = i;
  for (const RunOutcome& run : b.runs) {
    const auto found = place.find(run.name);
    if (found == place.end()) {
      merged.runs.push_back(run);
      continue;
    }
    RunOutcome& mine = merged.runs[found->second];
    if (mine.config_digest != run.config_digest) {
      return InvalidArgument("run ", run.name,
                             ": its configurations differ between the results");
    }
    if (mine.status == RunStatus::kDone && run.status == RunStatus::kDone &&
        mine.log_digest != run.log_digest) {
      warnings->push_back(
          absl::StrCat(run.name, ": done twice with different logs (",
                       mine.machine, ", ", run.machine, "); the first counts"));
    }
    if (TellsMore(run, mine)) mine = run;
  }
  return merged;
}

}  // namespace lt2::evals
