#include "evals/probes/places.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "absl/strings/str_format.h"
#include "evals/probes/models.h"
#include "evals/probes/program_places.h"

namespace lt2::evals {
namespace {

constexpr int64_t kLengths[] = {16, 32, 64, 128, 256};
constexpr int64_t kSwaps = 8;
constexpr int64_t kParts = 8;  // of the array, in tables and figure

struct PlacesRow {
  std::string model;
  int64_t bits = 0;
  bool attends = false;
  PlaceCounts counts;
};

// sum / count over the places [first, last); NaN if there were none.
template <typename T>
double Mean(const std::vector<T>& sum, const std::vector<int64_t>& count,
            int64_t first, int64_t last) {
  return std::accumulate(sum.begin() + first, sum.begin() + last, 0.0) /
         std::accumulate(count.begin() + first, count.begin() + last, 0.0);
}

// What a table shows of the places [first, last).
using Quantity =
    std::function<double(const PlaceCounts&, int64_t first, int64_t last)>;

double Accuracy(const PlaceCounts& c, int64_t first, int64_t last) {
  return Mean(c.correct, c.asked, first, last);
}
double FromQuestion(const PlaceCounts& c, int64_t first, int64_t last) {
  return Mean(c.from_question, c.asked, first, last);
}
double FromNumber(const PlaceCounts& c, int64_t first, int64_t last) {
  return Mean(c.from_number, c.numbers, first, last);
}
double NearNumber(const PlaceCounts& c, int64_t first, int64_t last) {
  return Mean(c.near_number, c.numbers, first, last);
}

absl::StatusOr<std::vector<PlacesRow>> Measure(const TrainedModel& trained,
                                               const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(const LoadedModel loaded,
                       Load(trained, options.device, /*training=*/false));
  std::vector<PlacesRow> rows;
  for (const int64_t bits : kLengths) {
    LT2_ASSIGN_OR_RETURN(
        const auto task,
        tasks::CreateTask(
            {{"task", "program"}, {"bits", bits}, {"swaps", kSwaps}}, {}));
    PlacesRow row;
    row.model = trained.label();
    row.bits = bits;
    LT2_ASSIGN_OR_RETURN(
        row.counts, CountPlaces(*loaded.model, *task, bits, options.examples));
    row.attends = FromQuestion(row.counts, 0, bits) > 0;
    rows.push_back(std::move(row));
  }
  return rows;
}

nlohmann::json ToJson(const PlacesRow& r) {
  const PlaceCounts& c = r.counts;
  nlohmann::json json = {
      {"model", r.model},
      {"bits", r.bits},
      {"swaps", kSwaps},
      {"questions", std::accumulate(c.asked.begin(), c.asked.end(), 0)},
      {"accuracy", JsonNumber(Accuracy(c, 0, r.bits))},
      {"asked", c.asked},
      {"correct", c.correct}};
  if (!r.attends) return json;
  json["attention_from_question"] = JsonNumber(FromQuestion(c, 0, r.bits));
  json["attention_from_number"] = JsonNumber(FromNumber(c, 0, r.bits));
  json["attention_near_number"] = JsonNumber(NearNumber(c, 0, r.bits));
  // Sums over what was asked, as `correct`; over the numbers in the programs.
  json["from_question"] = c.from_question;
  json["numbers"] = c.numbers;
  json["from_number"] = c.from_number;
  json["near_number"] = c.near_number;
  return json;
}

// One row a model and length: all places, then each eighth of them.
Table ByPart(const std::vector<std::vector<PlacesRow>>& models,
             const std::string& name, const Quantity& quantity,
             bool attention) {
  std::vector<Column> columns = {
      {"model"}, {"n", Align::kRight}, {name, Align::kRight}};
  for (int64_t part = 1; part <= kParts; ++part) {
    columns.push_back({absl::StrCat(part, "/", kParts), Align::kRight});
  }
  Table table(columns);
  for (const auto& rows : models) {
    for (const PlacesRow& row : rows) {
      if (attention && !row.attends) continue;
      std::vector<std::string> cells = {
          row.model, absl::StrCat(row.bits),
          absl::StrFormat("%.3f", quantity(row.counts, 0, row.bits))};
      const int64_t width = row.bits / kParts;
      for (int64_t first = 0; first < row.bits; first += width) {
        cells.push_back(absl::StrFormat(
            "%.2f", quantity(row.counts, first, first + width)));
      }
      table.AddRow(cells);
    }
  }
  return table;
}

// A panel for each model, a line for each length, a point for each eighth.
Figure Draw(const std::vector<std::vector<PlacesRow>>& models) {
  Figure figure;
  figure.columns = 2;
  for (const auto& rows : models) {
    Panel panel;
    panel.title = rows[0].model;
    panel.x_label = "place, counted from 1: middle of each eighth";
    panel.y_label = "accuracy";
    panel.log_x = true;
    panel.y = {0.2, 1.05};
    for (const PlacesRow& row : rows) {
      const int64_t width = row.bits / kParts;
      Series series{absl::StrCat("n = ", row.bits), {}, false};
      for (int64_t first = 0; first < row.bits; first += width) {
        series.points.push_back(
            {static_cast<double>(first) + 0.5 * static_cast<double>(width + 1),
             Accuracy(row.counts, first, first + width)});
      }
      panel.series.push_back(series);
    }
    figure.panels.push_back(panel);
  }
  return figure;
}

}  // namespace

absl::StatusOr<ProbeReport> PlacesProbe(const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(std::vector<TrainedModel> models, FindModels(options));
  models.erase(std::remove_if(
                   models.begin(), models.end(),
                   [](const TrainedModel& m) { return m.family != "program"; }),
               models.end());
  LT2_ASSIGN_OR_RETURN(const std::vector<std::vector<PlacesRow>> rows,
                       MeasureEach(models, options, Measure));
  ProbeReport report;
  report.probe = "places";
  report.title = "Which places of its array a model of programs can read";
  report.definitions = {
      absl::StrCat("Programs of n bits and ", kSwaps,
                   " swaps: after each swap the bit at one place is asked "
                   "for. Guessing is 0.5."),
      "k/8: of the questions for places of the k-th eighth of the array.",
      "Attention: the largest weight that any head, layer and loop gives the "
      "bit, mean over questions (from the token ?) or over the programs' "
      "numbers (from the number's token); dsa as if it read all tokens."};
  report.tables = {
      {"Accuracy by place", ByPart(rows, "accuracy", Accuracy, false)},
      {"Attention from ? to the bit asked for",
       ByPart(rows, "attention", FromQuestion, true)},
      {"Attention from a number to its bit",
       ByPart(rows, "attention", FromNumber, true)},
      {"Attention from a number to its bit and the two on either side",
       ByPart(rows, "attention", NearNumber, true)}};
  for (const auto& of_model : rows) {
    for (const PlacesRow& row : of_model) report.rows.push_back(ToJson(row));
  }
  report.figure = Draw(rows);
  return report;
}

}  // namespace lt2::evals
