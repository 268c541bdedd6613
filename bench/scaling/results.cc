#include "bench/scaling/results.h"

#include <cmath>
#include <functional>

#include "absl/strings/str_cat.h"
#include "kernels/core/json/json_reader.h"

namespace lt2::bench {
namespace {

using nlohmann::json;

json Number(double value) {
  return std::isfinite(value) ? json(value) : json(nullptr);
}

const Row* Find(const Results& results, const Cell& cell) {
  const auto found = results.rows.find(cell.Key());
  if (found == results.rows.end() || found->second.status != Row::kOk) {
    return nullptr;
  }
  return &found->second;
}

json ToJson(const Row& row) {
  json out = {{"mixer", row.cell.mixer},
              {"length", row.cell.length},
              {"loops", row.cell.loops},
              {"phase", NameOf(row.cell.phase)},
              {"batch", row.cell.batch},
              {"status", NameOf(row.status)},
              {"message", row.message},
              {"samples_s", row.samples},
              {"flops", row.flops},
              {"state_bytes", row.state_bytes},
              {"moved_bytes", row.moved_bytes},
              {"peak_bytes", row.peak_bytes},
              {"median_s", nullptr},
              {"low_s", nullptr},
              {"high_s", nullptr},
              {"coverage", nullptr},
              {"tokens_per_s", nullptr},
              {"gflops_per_s", nullptr},
              {"gbytes_per_s", nullptr}};
  if (row.status != Row::kOk) return out;
  const auto median = MedianOf(row.samples);
  LT2_CHECK_OK(median.status());
  out["median_s"] = median->median;
  out["low_s"] = median->low;
  out["high_s"] = median->high;
  out["coverage"] = median->coverage;
  out["tokens_per_s"] = TokensOf(row) / median->median;
  out["gflops_per_s"] = static_cast<double>(row.flops) / median->median / 1e9;
  if (row.moved_bytes > 0) {
    out["gbytes_per_s"] =
        static_cast<double>(row.moved_bytes) / median->median / 1e9;
  }
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
  row.samples = reader.Floats("samples_s", 1e-10);
  row.flops = reader.Int("flops", 0);
  row.state_bytes = reader.Int("state_bytes", 0);
  row.moved_bytes = reader.Int("moved_bytes", 0);
  row.peak_bytes = reader.Int("peak_bytes", 0);
  // The other keys are derived from these.
  LT2_RETURN_IF_ERROR(reader.status());
  if (row.samples.empty() && row.status == Row::kOk) {
    return InvalidArgument(path, ": no samples");
  }
  return row;
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

Points Gather(const Results& results, const std::vector<int64_t>& values,
              bool flops, const std::function<Cell(int64_t)>& cell) {
  Points points;
  for (int64_t value : values) {
    const Row* row = Find(results, cell(value));
    if (row == nullptr) continue;
    points.push_back(
        {static_cast<double>(value),
         flops ? static_cast<double>(row->flops) : MedianSeconds(*row)});
  }
  return points;
}

}  // namespace

double MedianSeconds(const Row& row) {
  const auto median = MedianOf(row.samples);
  return median.ok() ? median->median : std::nan("");
}

double TokensOf(const Row& row) {
  return static_cast<double>(row.cell.batch * (row.cell.phase == Phase::kDecode
                                                   ? 1
                                                   : row.cell.length));
}

Points ByLength(const Results& results, const std::string& mixer, Phase phase,
                int64_t loops, int64_t batch) {
  return Gather(results, results.preset.lengths, false, [&](int64_t length) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

Points FlopsByLength(const Results& results, const std::string& mixer,
                     Phase phase, int64_t loops, int64_t batch) {
  return Gather(results, results.preset.lengths, true, [&](int64_t length) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

Points ByLoops(const Results& results, const std::string& mixer, Phase phase,
               int64_t length, int64_t batch) {
  return Gather(results, results.preset.loops, false, [&](int64_t loops) {
    return Cell{mixer, length, loops, batch, phase};
  });
}

std::vector<Exponent> Exponents(const Results& results) {
  const Preset& preset = results.preset;
  std::vector<Exponent> exponents;
  for (Phase phase : kPhases) {
    for (const std::string& mixer : preset.mixers) {
      for (int64_t batch : preset.batches) {
        for (int64_t loops : preset.loops) {
          const auto law = FitPowerLaw(Largest(
              ByLength(results, mixer, phase, loops, batch), kFitPoints));
          const auto flops = FitPowerLaw(Largest(
              FlopsByLength(results, mixer, phase, loops, batch), kFitPoints));
          if (!law.ok() || !flops.ok()) continue;
          exponents.push_back(
              {"length", mixer, phase, loops, batch, *law, *flops});
        }
        for (size_t i = preset.lengths.size(); i-- > 0;) {
          const int64_t length = preset.lengths[i];
          const Points points = ByLoops(results, mixer, phase, length, batch);
          if (points.size() < preset.loops.size()) continue;
          const auto law = FitPowerLaw(points);
          const auto flops = FitPowerLaw(
              Gather(results, preset.loops, true, [&](int64_t loops) {
                return Cell{mixer, length, loops, batch, phase};
              }));
          if (!law.ok() || !flops.ok()) continue;
          exponents.push_back(
              {"loops", mixer, phase, length, batch, *law, *flops});
          break;
        }
      }
    }
  }
  return exponents;
}

std::vector<CrossoverRow> Crossovers(const Results& results) {
  std::vector<CrossoverRow> rows;
  for (Phase phase : kPhases) {
    for (const std::string& mixer : results.preset.mixers) {
      if (mixer == "full") continue;
      for (int64_t batch : results.preset.batches) {
        for (int64_t loops : results.preset.loops) {
          rows.push_back(
              {mixer, phase, loops, batch,
               FindCrossover(ByLength(results, "full", phase, loops, batch),
                             ByLength(results, mixer, phase, loops, batch))});
        }
      }
    }
  }
  return rows;
}

json ToJson(const Results& results) {
  json rows = json::array(), exponents = json::array(),
       crossovers = json::array();
  for (const Cell& cell : CellsOf(results.preset)) {
    const auto found = results.rows.find(cell.Key());
    if (found != results.rows.end()) rows.push_back(ToJson(found->second));
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
         {"against", "full"},
         {"phase", NameOf(c.phase)},
         {"loops", c.loops},
         {"batch", c.batch},
         {"outcome", NameOf(c.crossover.outcome)},
         {"length", reached ? json(c.crossover.x) : json(nullptr)},
         {"ratio_at_largest", c.crossover.outcome == Crossover::kUnknown
                                  ? json(nullptr)
                                  : Number(c.crossover.ratio)}});
  }
  return {{"schema_version", kScalingSchemaVersion},
          {"program", "scaling"},
          {"preset", results.preset.name},
          {"command", results.command},
          {"machine",
           {{"device", results.device},
            {"processor", results.processor},
            {"threads", results.threads},
            {"load_average", json::array({results.load[0], results.load[1]})},
            {"build", results.build}}},
          {"models", ModelsJson(results.preset)},
          {"seconds", results.seconds},
          {"rows", rows},
          {"exponents", exponents},
          {"crossovers", crossovers}};
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

absl::Status TakeRows(const json& file, Results* results) {
  if (!file.is_object() || !file.contains("rows") || !file["rows"].is_array() ||
      !file.contains("machine") ||
      file.value("schema_version", 0) != kScalingSchemaVersion ||
      file.value("program", "") != "scaling") {
    return InvalidArgument("not the results of this program, schema version ",
                           kScalingSchemaVersion);
  }
  const json now = ToJson(*results);
  for (const char* key : {"preset", "models"}) {
    if (!file.contains(key) || file[key] != now[key]) {
      return InvalidArgument("the results are of another ", key,
                             "; name another --out or remove them");
    }
  }
  for (const char* key : {"device", "processor", "threads", "build"}) {
    if (!file["machine"].contains(key) ||
        file["machine"][key] != now["machine"][key]) {
      return InvalidArgument("the results are of another ", key, " than ",
                             now["machine"][key].dump(),
                             "; name another --out or remove them");
    }
  }
  for (size_t i = 0; i < file["rows"].size(); ++i) {
    LT2_ASSIGN_OR_RETURN(
        Row row, RowFromJson(file["rows"][i], absl::StrCat("rows[", i, "]")));
    if (row.status != Row::kError) results->rows[row.cell.Key()] = row;
  }
  if (file.contains("seconds") && file["seconds"].is_number()) {
    results->seconds += file["seconds"].get<double>();
  }
  return absl::OkStatus();
}

}  // namespace lt2::bench
