#include "evals/probes/short_training.h"

#include <cmath>

#include "model/training/optimizer.h"
#include "model/training/schedule.h"
#include "model/training/train_step.h"

namespace lt2::evals {
namespace {

constexpr int64_t kLookRows = 4;

absl::StatusOr<Look> LookInside(model::LoopedModel& model,
                                const tasks::Task& task, int64_t seq,
                                int64_t step) {
  Context& ctx = model.ctx();
  LT2_ASSIGN_OR_RETURN(const tasks::Batch batch,
                       tasks::MakeBatch(task, tasks::Split::kValid, /*seed=*/0,
                                        /*first_index=*/0, kLookRows, seq));
  LT2_ASSIGN_OR_RETURN(Tensor ids,
                       ctx.FromHost<int32_t>(batch.inputs, {kLookRows, seq}));
  Look look;
  look.step = step;
  AttentionWatch watch(model, /*selected=*/false);
  absl::Status status;
  auto see = [&](int64_t loop, int64_t layer, absl::string_view name,
                 const model::Var& value) -> absl::Status {
    if (name == "h") {
      LT2_ASSIGN_OR_RETURN(const std::vector<float> h,
                           HostFloats(ctx, value.value()));
      double sum = 0;
      for (float x : h) sum += static_cast<double>(x) * x;
      look.rms.push_back(std::sqrt(sum / static_cast<double>(h.size())));
      return absl::OkStatus();
    }
    LT2_ASSIGN_OR_RETURN(const QueriesAndKeys* attention,
                         watch.See(loop, layer, name, value));
    if (attention != nullptr) AddFirstTokenMass(*attention, &look.first_token);
    return absl::OkStatus();
  };
  model::ForwardOptions options;
  options.observer = [&](int64_t loop, int64_t layer, absl::string_view name,
                         const model::Var& value) {
    if (status.ok()) status = see(loop, layer, name, value);
  };
  model::Tape tape(ctx, model::Tape::kInference);
  model.Logits(tape, ids, options);
  LT2_RETURN_IF_ERROR(tape.status());
  LT2_RETURN_IF_ERROR(status);
  return look;
}

}  // namespace

absl::StatusOr<TrainingTrace> Train(const ShortTraining& training,
                                    const tasks::Task& task, Device device) {
  LT2_ASSIGN_OR_RETURN(
      const LoadedModel loaded,
      Create(training.model, training.seed, device, /*training=*/true));
  model::LoopedModel& model = *loaded.model;
  LT2_ASSIGN_OR_RETURN(auto optimizer,
                       model::Optimizer::Create(*loaded.ctx, model.parameters(),
                                                model::OptimizerConfig()));
  model::TrainStep train(model, *optimizer, model::Recompute::kNothing);
  model::Schedule schedule;
  schedule.shape = model::ScheduleShape::kConstant;
  schedule.lr = training.lr;
  schedule.warmup = training.warmup;
  schedule.steps = training.steps;

  TrainingTrace trace;
  const int64_t examples = task.num_examples(tasks::Split::kTrain);
  int64_t next_look = 0;
  for (int64_t step = 0; step <= training.steps; ++step) {
    if (step * training.looks >= next_look * training.steps ||
        step == training.steps) {
      LT2_ASSIGN_OR_RETURN(Look look,
                           LookInside(model, task, training.seq, step));
      trace.looks.push_back(std::move(look));
      ++next_look;
    }
    if (step == training.steps) break;
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < training.batch; ++i) {
      // A finite task starts again.
      const int64_t index = step * training.batch + i;
      indices.push_back(examples > 0 ? index % examples : index);
    }
    LT2_ASSIGN_OR_RETURN(
        const tasks::Batch batch,
        tasks::MakeBatch(task, tasks::Split::kTrain, training.seed, indices,
                         training.seq));
    const auto metrics =
        train.Run(training.batch, training.seq, batch.inputs, batch.targets,
                  model::LearningRate(schedule, step), step + 1);
    if (absl::IsAborted(metrics.status())) {
      trace.ended_by = std::string(metrics.status().message());
      break;
    }
    LT2_RETURN_IF_ERROR(metrics.status());
    trace.loss.push_back(metrics->loss);
    trace.norm.push_back(metrics->gradient_norm);
  }
  return trace;
}

}  // namespace lt2::evals
