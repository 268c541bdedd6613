// The models that probes look at: trained checkpoints and their inputs.

#ifndef LT2_EVALS_PROBES_MODELS_H_
#define LT2_EVALS_PROBES_MODELS_H_

#include <memory>
#include <string>
#include <vector>

#include "evals/probes/probe.h"
#include "evals/ranking/columns.h"
#include "model/looped/looped_model.h"
#include "tasks/task.h"

namespace lt2::evals {

// A trained model of the leaderboard, not loaded.
struct TrainedModel {
  std::string family, name, folder;
  model::ModelConfig config;
  const TaskColumn* column = nullptr;  // the first of its family

  std::string label() const { return family + "/" + name; }
  // True if the mixer runs in some layer.
  bool Has(absl::string_view mixer) const;
};

// The checkpoints that options.models asks for, sorted by family and name.
// NotFound lists the names if one does not exist.
absl::StatusOr<std::vector<TrainedModel>> FindModels(
    const ProbeOptions& options);

// A model with its weights, and the context that it lives in.
struct LoadedModel {
  std::unique_ptr<Context> ctx;
  std::unique_ptr<model::LoopedModel> model;
};
absl::StatusOr<LoadedModel> Load(const TrainedModel& trained, Device device,
                                 bool training);
// Of random weights.
absl::StatusOr<LoadedModel> Create(const model::ModelConfig& config,
                                   uint64_t seed, Device device, bool training);

// What `measure` finds in each model, as RunJobs runs it.
template <typename Row>
absl::StatusOr<std::vector<std::vector<Row>>> MeasureEach(
    const std::vector<TrainedModel>& models, const ProbeOptions& options,
    absl::StatusOr<std::vector<Row>> (*measure)(const TrainedModel&,
                                                const ProbeOptions&)) {
  std::vector<std::vector<Row>> rows(models.size());
  LT2_RETURN_IF_ERROR(RunJobs(
      static_cast<int64_t>(models.size()), options,
      [&](int64_t i) -> absl::Status {
        LT2_ASSIGN_OR_RETURN(rows[i], measure(models[i], options));
        return absl::OkStatus();
      },
      [&](int64_t i) { return models[i].label(); }));
  return rows;
}

// The task of the model's column.
absl::StatusOr<std::unique_ptr<tasks::Task>> MakeTask(
    const TrainedModel& trained, const ProbeOptions& options);

// Token ids [batch, seq] of examples of a task's test split, without padding:
// the `n` longest of the first 64, cut to the length of the shortest of them.
struct Inputs {
  int64_t batch = 0, seq = 0;
  std::vector<int32_t> ids;
};
absl::StatusOr<Inputs> LongInputs(const TrainedModel& trained,
                                  const tasks::Task& task, int64_t n);

// Values of an f32 or bf16 tensor on the host.
absl::StatusOr<std::vector<float>> HostFloats(Context& ctx, const Tensor& t);
// Values as a tensor of the type on the device of `ctx`.
absl::StatusOr<Tensor> DeviceTensor(Context& ctx, DType dtype,
                                    const Shape& shape,
                                    const std::vector<float>& values);

}  // namespace lt2::evals

#endif  // LT2_EVALS_PROBES_MODELS_H_
