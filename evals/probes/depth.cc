#include "evals/probes/depth.h"

#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "evals/scoring/task_score.h"

namespace lt2::evals {
namespace {

struct DepthRow {
  std::string model, column;
  int64_t trained_loops = 0;
  int64_t examples = 0;
  double chance = 0;
  DepthState state;
  double accuracy = 0, loss = 0;
};

absl::StatusOr<std::vector<DepthRow>> Measure(const TrainedModel& trained,
                                              const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(const auto task, MakeTask(trained, options));
  LT2_ASSIGN_OR_RETURN(const LoadedModel loaded,
                       Load(trained, options.device, /*training=*/false));
  LT2_ASSIGN_OR_RETURN(const Inputs inputs, LongInputs(trained, *task, 4));
  const int64_t most = 2 * trained.config.loop_count;
  LT2_ASSIGN_OR_RETURN(const std::vector<DepthState> states,
                       DepthStates(*loaded.model, inputs, most));
  int64_t count = options.examples;
  const int64_t available = task->num_examples(trained.column->split);
  if (available >= 0) count = std::min(count, available);
  std::vector<int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  std::vector<DepthRow> rows;
  for (const DepthState& state : states) {
    ScoreOptions score;
    score.split = trained.column->split;
    score.loops = state.loops;
    LT2_ASSIGN_OR_RETURN(const std::vector<ItemScore> items,
                         ScoreTask(*loaded.model, *task, indices, score));
    const TaskTotals total = Total(items);
    DepthRow row;
    row.model = trained.label();
    row.column = trained.column->name;
    row.trained_loops = trained.config.loop_count;
    row.examples = count;
    row.chance = task->chance();
    row.state = state;
    row.accuracy = total.accuracy();
    row.loss = total.loss();
    rows.push_back(row);
  }
  return rows;
}

nlohmann::json ToJson(const DepthRow& r) {
  return {{"model", r.model},
          {"task", r.column},
          {"trained_loops", r.trained_loops},
          {"loops", r.state.loops},
          {"examples", r.examples},
          {"chance", r.chance},
          {"accuracy", JsonNumber(r.accuracy)},
          {"loss", JsonNumber(r.loss)},
          {"cosine", JsonNumber(r.state.cosine)},
          {"change", JsonNumber(r.state.change)},
          {"rms", JsonNumber(r.state.rms)}};
}

// One row a model: a cell for each loop, the trained count in brackets.
Table ByLoop(const std::vector<std::vector<DepthRow>>& models,
             const std::function<std::string(const DepthRow&)>& cell) {
  size_t most = 0;
  for (const auto& rows : models) most = std::max(most, rows.size());
  std::vector<Column> columns = {{"model"}, {"task"}};
  for (size_t i = 1; i <= most; ++i) {
    columns.push_back({absl::StrCat("loop ", i), Align::kRight});
  }
  Table table(columns);
  for (const auto& rows : models) {
    if (rows.empty()) continue;
    std::vector<std::string> cells = {rows[0].model, rows[0].column};
    for (size_t i = 0; i < most; ++i) {
      std::string text = i < rows.size() ? cell(rows[i]) : "";
      if (i < rows.size() && rows[i].state.loops == rows[i].trained_loops) {
        text = absl::StrCat("[", text, "]");
      }
      cells.push_back(text);
    }
    table.AddRow(cells);
  }
  return table;
}

// For each family a panel of losses and one of cosines.
Figure Draw(const std::vector<TrainedModel>& models,
            const std::vector<std::vector<DepthRow>>& rows) {
  Figure figure;
  figure.columns = 2;
  std::string family;
  for (size_t i = 0; i < models.size(); ++i) {
    // Nothing to see of a model of one loop.
    if (models[i].config.loop_count < 2) continue;
    if (models[i].family != family) {
      family = models[i].family;
      figure.panels.push_back({family + ", loss",
                               "loops",
                               "loss (nats per scored token)",
                               false,
                               {},
                               1});
      figure.panels.push_back({family + ", successive states",
                               "loop t",
                               "cosine of h(t) and h(t-1)",
                               false,
                               {},
                               1});
    }
    Series loss{models[i].name, {}, false}, cosine = loss;
    for (const DepthRow& row : rows[i]) {
      loss.points.push_back({row.state.loops, row.loss});
      cosine.points.push_back({row.state.loops, row.state.cosine});
    }
    figure.panels[figure.panels.size() - 2].series.push_back(loss);
    figure.panels.back().series.push_back(cosine);
  }
  return figure;
}

}  // namespace

absl::StatusOr<std::vector<DepthState>> DepthStates(model::LoopedModel& model,
                                                    const Inputs& inputs,
                                                    int64_t loops) {
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(Tensor ids, ctx.FromHost<int32_t>(
                                       inputs.ids, {inputs.batch, inputs.seq}));
  std::vector<DepthState> states;
  std::vector<float> before;
  absl::Status status;
  const int64_t dim = model.config().dim;
  model::ForwardOptions options;
  options.loops = loops;
  options.observer = [&](int64_t loop, int64_t, absl::string_view name,
                         const model::Var& value) {
    if (name != "h") return;
    auto values = HostFloats(ctx, value.value());
    if (!values.ok()) {
      status = values.status();
      return;
    }
    const std::vector<float>& now = *values;
    if (loop > 0) {
      DepthState state;
      state.loops = loop;
      double all_before = 0, all_now = 0, difference = 0;
      for (size_t token = 0; token < now.size(); token += dim) {
        double dot = 0, a = 0, b = 0;
        for (size_t i = token; i < token + dim; ++i) {
          const double x = before[i], y = now[i];
          dot += x * y;
          a += x * x;
          b += y * y;
          difference += (y - x) * (y - x);
        }
        state.cosine += a * b > 0 ? dot / std::sqrt(a * b) : 0;
        all_before += a;
        all_now += b;
      }
      const double n = static_cast<double>(now.size());
      state.cosine /= n / static_cast<double>(dim);
      state.change = std::sqrt(difference / all_before);
      state.rms = std::sqrt(all_now / n);
      states.push_back(state);
    }
    before = *std::move(values);
  };
  model::Tape tape(ctx, model::Tape::kInference);
  model.Logits(tape, ids, options);
  LT2_RETURN_IF_ERROR(tape.status());
  LT2_RETURN_IF_ERROR(status);
  return states;
}

absl::StatusOr<ProbeReport> DepthProbe(const ProbeOptions& options) {
  LT2_ASSIGN_OR_RETURN(const std::vector<TrainedModel> models,
                       FindModels(options));
  LT2_ASSIGN_OR_RETURN(const std::vector<std::vector<DepthRow>> rows,
                       MeasureEach(models, options, Measure));
  ProbeReport report;
  report.probe = "depth";
  report.title = "What each loop adds: score and state after every loop";
  report.definitions = {
      "One set of weights, stopped after each loop; [ ] is the number of loops "
      "that it was trained with. Loops beyond reuse the last loop gate.",
      "accuracy: share of scored tokens; loss: nats per scored token; tasks "
      "are the first column of each family on the leaderboard.",
      "cosine: of h(t) and h(t-1), mean over tokens of 4 examples."};
  report.tables = {
      {"Accuracy", ByLoop(rows,
                          [](const DepthRow& r) {
                            return absl::StrFormat("%.3f", r.accuracy);
                          })},
      {"Loss", ByLoop(rows,
                      [](const DepthRow& r) {
                        return absl::StrFormat("%.3f", r.loss);
                      })},
      {"Cosine of successive states", ByLoop(rows, [](const DepthRow& r) {
         return absl::StrFormat("%.3f", r.state.cosine);
       })}};
  for (const auto& of_model : rows) {
    for (const DepthRow& row : of_model) report.rows.push_back(ToJson(row));
  }
  report.figure = Draw(models, rows);
  return report;
}

}  // namespace lt2::evals
