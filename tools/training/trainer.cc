#include "tools/training/trainer.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "evals/scoring/task_score.h"
#include "evals/scoring/text_score.h"
#include "model/io/atomic_file.h"
#include "model/looped/accounting.h"
#include "model/training/checkpoint.h"
#include "model/training/train_step.h"
#include "tasks/prefetch.h"
#include "tools/training/progress.h"

namespace lt2::tools {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool Exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

// What changes from step to step; exactly this is state.json.
struct State {
  int64_t step = 0;  // steps done
  int64_t stage = 0;
  int64_t stage_step = 0;  // of those, in this stage
  int64_t next_index = 0;  // of the stage's training examples
  int64_t solved = 0;
  int64_t evaluated_step = 0;  // of the last evaluation
  int64_t log_lines = 0;
  bool done = false, tested = false;
  double accuracy = 0, valid_loss = 0;

  nlohmann::json ToJson(uint64_t seed) const {
    return {{"schema_version", 1},
            {"seed", seed},
            {"step", step},
            {"stage", stage},
            {"stage_step", stage_step},
            {"next_index", next_index},
            {"solved", solved},
            {"done", done},
            {"tested", tested},
            {"evaluated_step", evaluated_step},
            {"log_lines", log_lines},
            {"accuracy", accuracy},
            {"valid_loss", valid_loss}};
  }
  static absl::StatusOr<State> FromJson(const nlohmann::json& json) {
    try {
      State s;
      s.step = json.at("step");
      s.stage = json.at("stage");
      s.stage_step = json.at("stage_step");
      s.next_index = json.at("next_index");
      s.solved = json.at("solved");
      s.evaluated_step = json.at("evaluated_step");
      s.log_lines = json.at("log_lines");
      s.done = json.at("done");
      s.tested = json.value("tested", false);
      s.accuracy = json.at("accuracy");
      s.valid_loss = json.at("valid_loss");
      return s;
    } catch (const nlohmann::json::exception& e) {
      return InvalidArgument("state.json: ", e.what());
    }
  }
};

class Run {
 public:
  Run(const TrainConfig& config, const RunOptions& options)
      : config_(config), options_(options) {}

  absl::StatusOr<RunResult> Execute();

 private:
  absl::Status Prepare();
  void StartStage();
  absl::Status Step();
  // The validation examples [first, first + count) of the stage's task, or
  // test examples of another one.
  absl::StatusOr<std::vector<evals::ItemScore>> Score(const tasks::Task& task,
                                                      tasks::Split split,
                                                      int64_t first,
                                                      int64_t count);
  absl::Status Evaluate(int64_t count);
  double Rate() const;
  // If the last evaluation reached `threshold`: the accuracy on further
  // examples takes its place, if the configuration wants that.
  absl::Status Confirm(double threshold);
  absl::Status LogEvaluation(const std::vector<evals::ItemScore>& items,
                             bool confirming);
  absl::Status AdvanceCurriculum();
  absl::Status End(const std::string& reason);
  absl::Status RunTests();
  absl::Status Save();
  void Tell(const std::string& text) {
    if (!options_.quiet) terminal_.Line(text);
  }
  bool Stopping() const {
    return options_.stop != nullptr && options_.stop->load();
  }
  const tasks::Task& task() const { return *config_.stages[state_.stage]; }

  const TrainConfig& config_;
  const RunOptions& options_;
  std::unique_ptr<Context> ctx_;
  std::unique_ptr<model::LoopedModel> model_;
  std::unique_ptr<model::Optimizer> optimizer_;
  std::unique_ptr<model::TrainStep> step_;
  std::unique_ptr<tasks::Prefetcher> data_;
  std::unique_ptr<JsonLog> log_;
  Terminal terminal_;
  State state_;
  int64_t seq_ = 0, batch_ = 0;  // of the stage
  double step_flops_ = 0, peak_ = 0;
  double loss_ = 0, bits_per_byte_ = 0;
  int64_t first_step_ = 0;  // of this process
  Clock::time_point start_;
};

absl::Status Run::Prepare() {
  LT2_RETURN_IF_ERROR(model::MakeFolder(options_.out));
  LT2_RETURN_IF_ERROR(model::CleanLeftovers(options_.out));
  const std::string last = options_.out + "/last";
  const bool exists = Exists(last);
  if (exists && !options_.resume) {
    return absl::AlreadyExistsError(absl::StrCat(
        last,
        " holds a checkpoint: pass --resume to continue it, or choose "
        "another --out"));
  }
  ContextOptions context_options;
  context_options.threads = options_.threads;
  LT2_ASSIGN_OR_RETURN(ctx_, Context::Create(options_.device, context_options));
  LT2_ASSIGN_OR_RETURN(
      model_, model::LoopedModel::Create(*ctx_, config_.model, config_.seed,
                                         /*training=*/true));
  LT2_ASSIGN_OR_RETURN(
      optimizer_,
      model::Optimizer::Create(*ctx_, model_->parameters(), config_.optimizer));
  step_ = std::make_unique<model::TrainStep>(*model_, *optimizer_,
                                             config_.recompute);
  if (exists) {
    LT2_ASSIGN_OR_RETURN(const nlohmann::json saved, model::LoadConfig(last));
    if (saved["model"] != config_.json["model"] ||
        saved["data"] != config_.json["data"] ||
        saved.value("seed", uint64_t{1}) != config_.seed) {
      return absl::FailedPreconditionError(absl::StrCat(
          last,
          " was made with another model, data or seed; resume with its "
          "config.json, or choose another --out"));
    }
    LT2_RETURN_IF_ERROR(model::LoadWeights(last, *model_));
    LT2_ASSIGN_OR_RETURN(const nlohmann::json state,
                         model::LoadTrainingState(last, *model_, *optimizer_));
    LT2_ASSIGN_OR_RETURN(state_, State::FromJson(state));
    if (state_.stage < 0 ||
        state_.stage >= static_cast<int64_t>(config_.stages.size())) {
      return InvalidArgument("state.json: stage ", state_.stage, " of ",
                             config_.stages.size());
    }
  } else if (!config_.init.empty()) {
    LT2_RETURN_IF_ERROR(model::LoadWeights(config_.init, *model_));
  }
  LT2_ASSIGN_OR_RETURN(
      log_, JsonLog::Open(options_.out + "/log.jsonl", state_.log_lines));
  peak_ = options_.peak_flops > 0 ? options_.peak_flops
                                  : PeakFlops(ctx_->info().name);
  LT2_ASSIGN_OR_RETURN(
      const model::ModelCost cost,
      model::Cost(config_.model, task().max_length(tasks::Split::kTrain), 0,
                  model_->activation()));
  Tell(absl::StrFormat(
      "%s: %s, %d parameters (%d without embeddings), %d loops, on %s",
      config_.name, config_.model.layer_pattern, cost.parameters,
      cost.parameters - cost.embedding_parameters, config_.model.loop_count,
      ctx_->info().name));
  if (state_.step > 0) Tell(absl::StrCat("resumed at step ", state_.step));
  return absl::OkStatus();
}

void Run::StartStage() {
  seq_ = task().max_length(tasks::Split::kTrain);
  batch_ = config_.BatchOf(task());
  tasks::PrefetchOptions prefetch;
  prefetch.seed = config_.seed;
  prefetch.batch = batch_;
  prefetch.seq = seq_;
  prefetch.start_index = state_.next_index;
  data_ = std::make_unique<tasks::Prefetcher>(task(), prefetch);
  const auto cost = model::Cost(config_.model, seq_, 0, model_->activation());
  // Backward costs twice the forward pass.
  step_flops_ = 3.0 * static_cast<double>(cost->flops / cost->passes) *
                static_cast<double>(batch_);
  if (config_.stages.size() > 1) {
    Tell(absl::StrFormat("stage %d of %d: batches of %d x %d tokens",
                         state_.stage + 1, config_.stages.size(), batch_,
                         seq_));
  }
}

double Run::Rate() const {
  const double lr = model::LearningRate(config_.schedule, state_.step);
  if (options_.time_limit <= 0 || config_.cooldown_seconds <= 0) return lr;
  const double left = options_.time_limit - Since(start_);
  return lr * std::clamp(left / config_.cooldown_seconds, 0.0, 1.0);
}

absl::Status Run::Step() {
  const Clock::time_point start = Clock::now();
  LT2_ASSIGN_OR_RETURN(const tasks::Batch batch, data_->Next());
  const double lr = Rate();
  const auto metrics = step_->Run(batch_, seq_, batch.inputs, batch.targets, lr,
                                  state_.step + 1);
  if (!metrics.ok()) return metrics.status();
  loss_ = metrics->loss;
  ++state_.step;
  ++state_.stage_step;
  state_.next_index += batch_;
  const double seconds = Since(start);
  const double tokens = static_cast<double>(batch_ * seq_) / seconds;
  nlohmann::json line = {{"step", state_.step},
                         {"loss", metrics->loss},
                         {"gradient_norm", metrics->gradient_norm},
                         {"lr", lr},
                         {"tokens_per_second", tokens}};
  if (metrics->attached_loss != 0) {
    line["attached_loss"] = metrics->attached_loss;
  }
  std::string mfu = "-";
  if (peak_ > 0) {
    const double fraction = step_flops_ / seconds / peak_;
    line["mfu"] = fraction;
    mfu = absl::StrFormat("%.1f %%", 100 * fraction);
  }
  if (state_.step % config_.log_every == 0 || state_.step == config_.steps) {
    LT2_RETURN_IF_ERROR(log_->Write(line));
    Tell(absl::StrFormat(
        "step %d/%d  loss %.4f  norm %.3f  lr %.2e  %.0f tok/s  MFU %s",
        state_.step, config_.steps, metrics->loss, metrics->gradient_norm, lr,
        tokens, mfu));
  }
  if (!options_.quiet) {
    terminal_.Bar(ProgressBar(state_.step, config_.steps, Since(start_),
                              state_.step - first_step_));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<evals::ItemScore>> Run::Score(
    const tasks::Task& task, tasks::Split split, int64_t first, int64_t count) {
  const int64_t available = task.num_examples(split);
  if (available >= 0) {
    count = std::min(count, std::max<int64_t>(0, available - first));
  }
  evals::ScoreOptions score;
  score.split = split;
  score.seed = config_.seed;
  score.batch = std::max<int64_t>(1, std::min(config_.batch, count));
  std::vector<int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), first);
  return evals::ScoreTask(*model_, task, indices, score);
}

absl::Status Run::LogEvaluation(const std::vector<evals::ItemScore>& items,
                                bool confirming) {
  const evals::TaskTotals total = evals::Total(items);
  state_.accuracy = total.accuracy();
  state_.valid_loss = total.loss();
  Tell(absl::StrFormat(
      "  %s: loss %.4f  accuracy %.4f  whole sequences %.4f  (%d examples)",
      confirming ? "confirmation" : "evaluation", total.loss(),
      total.accuracy(), total.sequence_accuracy(), total.items));
  nlohmann::json line = {{"step", state_.step},
                         {"stage", state_.stage + 1},
                         {"valid_loss", total.loss()},
                         {"accuracy", total.accuracy()},
                         {"sequence_accuracy", total.sequence_accuracy()},
                         {"examples", total.items}};
  if (confirming) line["confirming"] = true;
  LT2_ASSIGN_OR_RETURN(const absl::optional<evals::TextScore> text,
                       evals::ScoreText(task(), tasks::Split::kValid, items));
  if (text.has_value()) {
    line.update(text->ToJson());
    bits_per_byte_ = text->bits_per_byte.estimate;
    Tell(absl::StrFormat("  %.4f bits per byte [%.4f, %.4f] of %d documents",
                         bits_per_byte_, text->bits_per_byte.low,
                         text->bits_per_byte.high, text->bytes.size()));
  }
  return log_->Write(line);
}

absl::Status Run::Evaluate(int64_t count) {
  LT2_ASSIGN_OR_RETURN(const std::vector<evals::ItemScore> items,
                       Score(task(), tasks::Split::kValid, 0, count));
  state_.evaluated_step = state_.step;
  return LogEvaluation(items, /*confirming=*/false);
}

absl::Status Run::Confirm(double threshold) {
  if (state_.accuracy < threshold || config_.confirm_examples == 0) {
    return absl::OkStatus();
  }
  LT2_ASSIGN_OR_RETURN(const std::vector<evals::ItemScore> items,
                       Score(task(), tasks::Split::kValid,
                             config_.eval_examples, config_.confirm_examples));
  if (items.empty()) return absl::OkStatus();  // no further ones
  return LogEvaluation(items, /*confirming=*/true);
}

absl::Status Run::End(const std::string& reason) {
  state_.done = true;
  return log_->Write({{"step", state_.step}, {"ended_by", reason}});
}

absl::Status Run::AdvanceCurriculum() {
  state_.solved = state_.stage + 1;
  Tell(absl::StrFormat("stage %d solved after %d steps", state_.solved,
                       state_.stage_step));
  LT2_RETURN_IF_ERROR(log_->Write({{"step", state_.step},
                                   {"solved", state_.solved},
                                   {"stage_steps", state_.stage_step}}));
  if (state_.solved == static_cast<int64_t>(config_.stages.size())) {
    return End("all_solved");
  }
  ++state_.stage;
  state_.stage_step = 0;
  state_.next_index = 0;
  StartStage();
  return absl::OkStatus();
}

absl::Status Run::RunTests() {
  for (size_t i = 0; i < config_.tests.size(); ++i) {
    LT2_ASSIGN_OR_RETURN(const std::vector<evals::ItemScore> items,
                         Score(*config_.tests[i], tasks::Split::kTest, 0,
                               config_.test_examples));
    const evals::TaskTotals total = evals::Total(items);
    Tell(absl::StrFormat("  test %d: loss %.4f  accuracy %.4f", i + 1,
                         total.loss(), total.accuracy()));
    LT2_RETURN_IF_ERROR(
        log_->Write({{"step", state_.step},
                     {"test", i + 1},
                     {"task", config_.tests[i]->spec()},
                     {"loss", total.loss()},
                     {"test_accuracy", total.accuracy()},
                     {"sequence_accuracy", total.sequence_accuracy()},
                     {"examples", total.items}}));
  }
  state_.tested = true;
  return absl::OkStatus();
}

absl::Status Run::Save() {
  state_.log_lines = log_->lines();
  return model::SaveCheckpoint(options_.out + "/last", config_.json, *model_,
                               *optimizer_, state_.ToJson(config_.seed));
}

absl::StatusOr<RunResult> Run::Execute() {
  LT2_RETURN_IF_ERROR(Prepare());
  first_step_ = state_.step;
  start_ = Clock::now();
  const bool curriculum = config_.stages.size() > 1;
  StartStage();
  while (!state_.done && state_.step < config_.steps && !Stopping()) {
    if (options_.time_limit > 0 && Since(start_) > options_.time_limit) {
      Tell(absl::StrFormat("time limit reached at step %d", state_.step));
      LT2_RETURN_IF_ERROR(End("time_limit"));
      break;
    }
    LT2_RETURN_IF_ERROR(Step());
    if (config_.eval_every > 0 && state_.step % config_.eval_every == 0) {
      LT2_RETURN_IF_ERROR(Evaluate(config_.eval_examples));
      const double advance_at =
          curriculum ? config_.AdvanceAt(state_.stage) : 2;
      LT2_RETURN_IF_ERROR(Confirm(std::min(config_.stop_at, advance_at)));
      if (state_.accuracy >= advance_at) {
        LT2_RETURN_IF_ERROR(AdvanceCurriculum());
      }
      if (!state_.done && state_.accuracy >= config_.stop_at) {
        LT2_RETURN_IF_ERROR(End("stop_at"));
      }
    }
    if (curriculum && !state_.done &&
        state_.stage_step >= config_.stage_steps) {
      Tell(absl::StrFormat("stage %d not solved in %d steps", state_.stage + 1,
                           state_.stage_step));
      LT2_RETURN_IF_ERROR(End("stage_steps"));
    }
    if (config_.checkpoint_every > 0 &&
        state_.step % config_.checkpoint_every == 0) {
      LT2_RETURN_IF_ERROR(Save());
    }
  }
  RunResult result;
  result.finished = state_.done || state_.step >= config_.steps;
  const int64_t last = config_.final_eval_examples;
  if (result.finished &&
      (state_.evaluated_step != state_.step || (last > 0 && !state_.tested))) {
    LT2_RETURN_IF_ERROR(Evaluate(last > 0 ? last : config_.eval_examples));
  }
  if (result.finished && !state_.tested) LT2_RETURN_IF_ERROR(RunTests());
  LT2_RETURN_IF_ERROR(Save());
  if (result.finished) {
    LT2_RETURN_IF_ERROR(model::ExportCheckpoint(
        options_.out + "/final", config_.json, *model_, DType::kBF16));
  } else {
    Tell(absl::StrFormat("stopped at step %d; continue with --resume",
                         state_.step));
  }
  if (curriculum) {
    Tell(absl::StrFormat("highest stage solved: %d of %d", state_.solved,
                         config_.stages.size()));
  }
  result.step = state_.step;
  result.stage = state_.stage;
  result.solved = state_.solved;
  result.loss = loss_;
  result.accuracy = state_.accuracy;
  result.valid_loss = state_.valid_loss;
  result.bits_per_byte = bits_per_byte_;
  return result;
}

}  // namespace

absl::StatusOr<RunResult> Train(const TrainConfig& config,
                                const RunOptions& options) {
  if (options.out.empty()) return InvalidArgument("--out is empty");
  return Run(config, options).Execute();
}

double PeakFlops(absl::string_view device_name) {
  // Vendors' data sheets: dense bf16, fp32 accumulation.
  if (absl::StrContains(device_name, "H200") ||
      absl::StrContains(device_name, "H100")) {
    return 989e12;
  }
  if (absl::StrContains(device_name, "A100")) return 312e12;
  return 0;
}

}  // namespace lt2::tools
