#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/scaling/results.h"
#include "kernels/core/json/json_reader.h"

namespace lt2::bench {
namespace {

using nlohmann::json;

json Number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

json ToJson(const Results& results, const Row& row) {
  json out = {{"mixer", row.cell.mixer},
              {"length", row.cell.length},
              {"loops", row.cell.loops},
              {"phase", NameOf(row.cell.phase)},
              {"batch", row.cell.batch},
              {"status", NameOf(row.status)},
              {"message", row.message},
              {"run", row.run},
              {"samples_s", row.samples},
              {"process_medians_s", row.process_medians},
              {"calls_per_sample", row.timing.calls},
              {"stopped", row.timing.stopped},
              {"wall_s", row.timing.wall_s},
              {"clock_mhz",
               json::array({row.timing.clock_mhz[0], row.timing.clock_mhz[1]})},
              {"flops", row.flops},
              {"state_bytes", row.state_bytes},
              {"moved_bytes", row.moved_bytes},
              {"peak_bytes", row.peak_bytes},
              {"median_s", nullptr},
              {"low_s", nullptr},
              {"high_s", nullptr},
              {"coverage", nullptr},
              {"tokens_per_s", nullptr},
              {"tflops_per_s", nullptr},
              {"gbytes_per_s", nullptr},
              {"flops_share", nullptr},
              {"bytes_share", nullptr}};
  if (row.status != Row::kOk) return out;
  const auto median = IntervalOf(row);
  LT2_CHECK_OK(median.status());
  out["median_s"] = median->median;
  out["low_s"] = median->low;
  out["high_s"] = median->high;
  out["coverage"] = median->coverage;
  out["tokens_per_s"] = TokensOf(row) / median->median;
  out["tflops_per_s"] = static_cast<double>(row.flops) / median->median / 1e12;
  if (row.moved_bytes > 0) {
    out["gbytes_per_s"] =
        static_cast<double>(row.moved_bytes) / median->median / 1e9;
  }
  const Shares shares = SharesOf(results, row);
  out["flops_share"] = Number(shares.flops);
  out["bytes_share"] = Number(shares.bytes);
  return out;
}

absl::StatusOr<Row> RowFromJson(const json& object, const std::string& path) {
  JsonReader reader(object, path);
  Row row;
  reader.Require({"mixer", "length", "loops", "phase", "batch", "status"});
  row.cell.mixer = reader.String("mixer", "");
  row.cell.length = reader.Int("length", 1, 1);
  row.cell.loops = reader.Int("loops", 1, 1);
  row.cell.batch = reader.Int("batch", 1, 1);
  std::vector<std::pair<std::string, Phase>> phases;
  for (Phase phase : kPhases) phases.push_back({NameOf(phase), phase});
  row.cell.phase = reader.Enum("phase", Phase::kTrain, phases);
  std::vector<std::pair<std::string, Row::Status>> states;
  for (Row::Status status :
       {Row::kOk, Row::kOutOfMemory, Row::kOverTime, Row::kError}) {
    states.push_back({NameOf(status), status});
  }
  row.status = reader.Enum("status", Row::kError, states);
  row.message = reader.String("message", "");
  row.run = static_cast<int>(reader.Int("run", 0, 0, 1 << 20));
  row.samples = reader.Floats("samples_s", 1e-11);
  row.process_medians = reader.Floats("process_medians_s", 1e-11);
  row.timing.calls =
      static_cast<int>(reader.Int("calls_per_sample", 1, 1, 1 << 20));
  row.timing.stopped = reader.String("stopped", "");
  row.timing.wall_s = reader.Float("wall_s", 0, 0, 1e9);
  const std::vector<double> clocks = reader.Floats("clock_mhz", 0);
  for (size_t i = 0; i < std::min<size_t>(2, clocks.size()); ++i) {
    row.timing.clock_mhz[i] = static_cast<int>(clocks[i]);
  }
  row.flops = reader.Int("flops", 0);
  row.state_bytes = reader.Int("state_bytes", 0);
  row.moved_bytes = reader.Int("moved_bytes", 0);
  row.peak_bytes = reader.Int("peak_bytes", 0);
  // The other keys are derived from these.
  LT2_RETURN_IF_ERROR(reader.status());
  if (row.status == Row::kOk &&
      (row.samples.empty() || row.process_medians.empty())) {
    return InvalidArgument(path, ": no samples, or no medians of processes");
  }
  return row;
}

json ToJson(const RunInfo& run) {
  return {{"command", run.command},
          {"seconds", run.seconds},
          {"load_average", json::array({run.load[0], run.load[1]})},
          {"ceilings",
           {{"tflops_per_s", run.ceilings.flops_per_s / 1e12},
            {"gbytes_per_s", run.ceilings.bytes_per_s / 1e9},
            {"gemm", run.ceilings.gemm},
            {"copy", run.ceilings.copy},
            {"clock_mhz", run.ceilings.clock_mhz}}}};
}

absl::StatusOr<RunInfo> RunFromJson(const json& object,
                                    const std::string& path) {
  RunInfo run;
  JsonReader reader(object, path);
  run.command = reader.String("command", "");
  run.seconds = reader.Float("seconds", 0, 0, 1e9);
  const std::vector<double> load = reader.Floats("load_average", 0);
  for (size_t i = 0; i < std::min<size_t>(2, load.size()); ++i) {
    run.load[i] = load[i];
  }
  JsonReader ceilings = reader.Object("ceilings");
  run.ceilings.flops_per_s = 1e12 * ceilings.Float("tflops_per_s", 0, 0, 1e9);
  run.ceilings.bytes_per_s = 1e9 * ceilings.Float("gbytes_per_s", 0, 0, 1e9);
  run.ceilings.gemm = ceilings.String("gemm", "");
  run.ceilings.copy = ceilings.String("copy", "");
  run.ceilings.clock_mhz =
      static_cast<int>(ceilings.Int("clock_mhz", 0, 0, 1 << 20));
  LT2_RETURN_IF_ERROR(reader.status());
  return run;
}

std::string ClockOf(const Preset& preset) {
  return preset.device == Device::kCUDA ? "events"
         : preset.cpu_clock             ? "cpu"
                                        : "wall";
}

// What of a preset its results depend on, besides the models.
json GridJson(const Preset& preset) {
  return {{"mixers", preset.mixers},
          {"lengths", preset.lengths},
          {"loops", preset.loops},
          {"batches", preset.batches},
          {"model", preset.model}};
}

json LawJson(const PowerLaw& law) {
  return {{"exponent", law.exponent},
          {"low", Number(law.low)},
          {"high", Number(law.high)},
          {"points", law.points}};
}

json ModelsJson(const Preset& preset) {
  json models = json::object();
  for (const std::string& mixer : preset.mixers) {
    const auto config = ConfigOf(preset, mixer);
    if (config.ok()) models[mixer] = config->ToJson();
  }
  return models;
}

}  // namespace

json ToJson(const Results& results) {
  json rows = json::array(), exponents = json::array(),
       crossovers = json::array();
  for (const Cell& cell : CellsOf(results.preset)) {
    const auto found = results.rows.find(cell.Key());
    if (found != results.rows.end()) {
      rows.push_back(ToJson(results, found->second));
    }
  }
  for (const Exponent& e : Exponents(results)) {
    json out = {{"variable", e.variable},    {"mixer", e.mixer},
                {"phase", NameOf(e.phase)},  {"batch", e.batch},
                {"seconds", LawJson(e.law)}, {"flops", LawJson(e.flops)}};
    out[e.variable == "length" ? "loops" : "length"] = e.fixed;
    exponents.push_back(out);
  }
  for (const CrossoverRow& c : Crossovers(results)) {
    const bool reached = c.crossover.outcome == Crossover::kReached;
    crossovers.push_back(
        {{"mixer", c.mixer},
         {"against", c.against},
         {"phase", NameOf(c.phase)},
         {"loops", c.loops},
         {"batch", c.batch},
         {"outcome", NameOf(c.crossover.outcome)},
         {"length", reached ? json(c.crossover.x) : json(nullptr)},
         {"ratio_at_largest", c.crossover.outcome == Crossover::kUnknown
                                  ? json(nullptr)
                                  : Number(c.crossover.ratio)}});
  }
  json frontiers = json::array(), runs = json::array();
  for (const FrontierRow& f : Frontiers(results)) {
    frontiers.push_back({{"mixer", f.mixer},
                         {"phase", NameOf(f.phase)},
                         {"loops", f.loops},
                         {"batch", f.batch},
                         {"longest", f.longest},
                         {"out_of_memory", f.out_of_memory},
                         {"untried", f.untried}});
  }
  for (const RunInfo& run : results.runs) runs.push_back(ToJson(run));
  return {{"schema_version", kScalingSchemaVersion},
          {"program", "scaling"},
          {"preset", results.preset.name},
          {"grid", GridJson(results.preset)},
          {"machine",
           {{"device", results.device},
            {"processor", results.processor},
            {"threads", results.threads},
            {"cuda_driver", results.driver},
            {"clock", ClockOf(results.preset)},
            {"build", results.build}}},
          {"models", ModelsJson(results.preset)},
          {"runs", runs},
          {"rows", rows},
          {"exponents", exponents},
          {"crossovers", crossovers},
          {"frontiers", frontiers}};
}

std::string ToText(const json& file) {
  std::string text;
  for (const auto& item : file.items()) {
    absl::StrAppend(&text, text.empty() ? "{" : ",", "\n\"", item.key(),
                    "\": ");
    if (!item.value().is_array()) {
      absl::StrAppend(&text, item.value().dump());
      continue;
    }
    std::string elements;
    for (const json& element : item.value()) {
      absl::StrAppend(&elements, elements.empty() ? "\n" : ",\n",
                      element.dump());
    }
    absl::StrAppend(&text, "[", elements, "]");
  }
  return text + "\n}\n";
}

namespace {

absl::Status CheckFile(const json& file) {
  if (!file.is_object() || file.value("program", "") != "scaling" ||
      file.value("schema_version", 0) != kScalingSchemaVersion) {
    return InvalidArgument("not the results of this program, schema version ",
                           kScalingSchemaVersion);
  }
  for (const char* key : {"rows", "runs"}) {
    if (!file.contains(key) || !file[key].is_array()) {
      return InvalidArgument(key, " is no list");
    }
  }
  for (const char* key : {"grid", "machine", "models"}) {
    if (!file.contains(key) || !file[key].is_object()) {
      return InvalidArgument(key, " is no object");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadRows(const json& file, bool keep_errors, Results* results) {
  for (size_t i = 0; i < file["runs"].size(); ++i) {
    LT2_ASSIGN_OR_RETURN(
        const RunInfo run,
        RunFromJson(file["runs"][i], absl::StrCat("runs[", i, "]")));
    results->runs.push_back(run);
  }
  for (size_t i = 0; i < file["rows"].size(); ++i) {
    LT2_ASSIGN_OR_RETURN(
        Row row, RowFromJson(file["rows"][i], absl::StrCat("rows[", i, "]")));
    if (row.status != Row::kError || keep_errors) {
      results->rows[row.cell.Key()] = row;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TakeRows(const json& file, bool keep_errors, Results* results) {
  LT2_RETURN_IF_ERROR(CheckFile(file));
  const json now = ToJson(*results);
  if (!file.contains("preset") || file["preset"] != now["preset"]) {
    return InvalidArgument(
        "the results are of another preset; name another "
        "--out or remove them");
  }
  for (const char* key : {"lengths", "loops", "batches", "model", "mixers"}) {
    if (!file["grid"].contains(key) || file["grid"][key] != now["grid"][key]) {
      return InvalidArgument("the results are of another grid (", key,
                             "); name another --out or remove them");
    }
  }
  if (file["models"] != now["models"]) {
    return InvalidArgument(
        "the results are of other models; name another --out or remove them");
  }
  for (const char* key :
       {"device", "processor", "threads", "build", "cuda_driver", "clock"}) {
    if (!file["machine"].contains(key) ||
        file["machine"][key] != now["machine"][key]) {
      return InvalidArgument("the results are of another ", key, " than ",
                             now["machine"][key].dump(),
                             "; name another --out or remove them");
    }
  }
  return ReadRows(file, keep_errors, results);
}

absl::StatusOr<Results> ResultsFromJson(const json& file) {
  LT2_RETURN_IF_ERROR(CheckFile(file));
  Results results;
  JsonReader reader(file, "");
  LT2_ASSIGN_OR_RETURN(results.preset, MakePreset(reader.String("preset", "")));
  const json& machine = file["machine"];
  JsonReader machine_reader(machine, "machine");
  results.device = machine_reader.String("device", "");
  results.processor = machine_reader.String("processor", "");
  results.build = machine_reader.String("build", "");
  results.threads =
      static_cast<int>(machine_reader.Int("threads", 1, 1, 1 << 20));
  results.driver =
      static_cast<int>(machine_reader.Int("cuda_driver", 0, 0, 1 << 30));
  results.preset.cpu_clock = machine_reader.String("clock", "") == "cpu";
  LT2_RETURN_IF_ERROR(machine_reader.status());
  const json& grid = file["grid"];
  JsonReader grid_reader(grid, "grid");
  grid_reader.Require({"mixers", "lengths", "loops", "batches"});
  results.preset.mixers = grid_reader.Strings("mixers");
  results.preset.lengths = grid_reader.Ints("lengths", 1);
  results.preset.loops = grid_reader.Ints("loops", 1);
  results.preset.batches = grid_reader.Ints("batches", 1);
  LT2_RETURN_IF_ERROR(grid_reader.status());
  if (results.preset.mixers.empty() || results.preset.lengths.empty() ||
      results.preset.loops.empty() || results.preset.batches.empty()) {
    return InvalidArgument("the grid has an empty list");
  }
  if (grid.contains("model")) results.preset.model = grid["model"];
  // Other builds may know other keys of models: those are not compared.
  LT2_RETURN_IF_ERROR(ReadRows(file, /*keep_errors=*/true, &results));
  return results;
}

}  // namespace lt2::bench
