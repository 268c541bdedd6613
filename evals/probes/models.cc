#include "evals/probes/models.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "absl/strings/str_join.h"
#include "kernels/activation/activation.h"
#include "model/training/checkpoint.h"

namespace lt2::evals {
namespace {

constexpr int64_t kExamplesToChooseFrom = 64;

// Names of the folders in `path`, sorted; none if it does not exist.
std::vector<std::string> FoldersIn(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (entry.is_directory(error)) names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

const TaskColumn* ColumnOf(const std::string& family) {
  for (const TaskColumn& column : Columns()) {
    if (column.family == family && !column.needs_data_dir) return &column;
  }
  return nullptr;
}

}  // namespace

bool TrainedModel::Has(absl::string_view mixer) const {
  const std::vector<std::string> types = config.LayerTypes();
  return std::find(types.begin(), types.end(), mixer) != types.end();
}

absl::StatusOr<std::vector<TrainedModel>> FindModels(
    const ProbeOptions& options) {
  std::vector<TrainedModel> models;
  std::vector<std::string> there;
  std::set<std::string> unused(options.models.begin(), options.models.end());
  for (const std::string& family : FoldersIn(options.checkpoints)) {
    const TaskColumn* column = ColumnOf(family);
    if (column == nullptr) continue;
    const std::string path = absl::StrCat(options.checkpoints, "/", family);
    for (const std::string& name : FoldersIn(path)) {
      TrainedModel model;
      model.family = family;
      model.name = name;
      model.folder = absl::StrCat(path, "/", name);
      model.column = column;
      there.push_back(model.label());
      if (!options.models.empty()) {
        bool wanted = false;
        for (const std::string& text : options.models) {
          if (text != name && text != model.label()) continue;
          wanted = true;
          unused.erase(text);
        }
        if (!wanted) continue;
      }
      LT2_ASSIGN_OR_RETURN(const nlohmann::json json,
                           model::LoadConfig(model.folder));
      LT2_ASSIGN_OR_RETURN(
          model.config,
          model::ModelConfig::FromJson(json.value("model", nlohmann::json()),
                                       model.folder + "/config.json: model"));
      models.push_back(std::move(model));
    }
  }
  if (!unused.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "--models: no model '", *unused.begin(), "' in ", options.checkpoints,
        "; there are: ", absl::StrJoin(there, ", ")));
  }
  return models;
}

absl::StatusOr<LoadedModel> Create(const model::ModelConfig& config,
                                   uint64_t seed, Device device,
                                   bool training) {
  LoadedModel loaded;
  LT2_ASSIGN_OR_RETURN(loaded.ctx, Context::Create(device));
  LT2_ASSIGN_OR_RETURN(loaded.model, model::LoopedModel::Create(
                                         *loaded.ctx, config, seed, training));
  return loaded;
}

absl::StatusOr<LoadedModel> Load(const TrainedModel& trained, Device device,
                                 bool training) {
  LT2_ASSIGN_OR_RETURN(LoadedModel loaded,
                       Create(trained.config, 0, device, training));
  LT2_RETURN_IF_ERROR(model::LoadWeights(trained.folder, *loaded.model));
  return loaded;
}

absl::StatusOr<std::unique_ptr<tasks::Task>> MakeTask(
    const TrainedModel& trained, const ProbeOptions& options) {
  tasks::TaskOptions task_options;
  task_options.path = trained.column->name;
  task_options.data_dir = options.repository;
  return tasks::CreateTask(trained.column->spec, task_options);
}

absl::StatusOr<Inputs> LongInputs(const TrainedModel& trained,
                                  const tasks::Task& task, int64_t n) {
  const tasks::Split split = trained.column->split;
  int64_t count = kExamplesToChooseFrom;
  if (task.num_examples(split) >= 0) {
    count = std::min(count, task.num_examples(split));
  }
  std::vector<tasks::Example> examples(count);
  for (int64_t i = 0; i < count; ++i) {
    LT2_RETURN_IF_ERROR(task.Generate(split, /*seed=*/0, i, &examples[i]));
  }
  std::stable_sort(examples.begin(), examples.end(),
                   [](const tasks::Example& a, const tasks::Example& b) {
                     return a.inputs.size() > b.inputs.size();
                   });
  examples.resize(std::min(n, count));
  if (examples.empty()) {
    return absl::NotFoundError(
        absl::StrCat(task.name(), " has no examples to probe with"));
  }
  Inputs inputs;
  inputs.batch = static_cast<int64_t>(examples.size());
  inputs.seq = static_cast<int64_t>(examples.back().inputs.size());
  for (const tasks::Example& example : examples) {
    inputs.ids.insert(inputs.ids.end(), example.inputs.begin(),
                      example.inputs.begin() + inputs.seq);
  }
  return inputs;
}

absl::StatusOr<std::vector<float>> HostFloats(Context& ctx, const Tensor& t) {
  if (t.dtype() == DType::kF32) return ctx.ToHost<float>(t);
  LT2_ASSIGN_OR_RETURN(const std::vector<BFloat16> values,
                       ctx.ToHost<BFloat16>(t));
  std::vector<float> floats;
  floats.reserve(values.size());
  for (BFloat16 value : values) floats.push_back(ToFloat(value));
  return floats;
}

absl::StatusOr<Tensor> DeviceTensor(Context& ctx, DType dtype,
                                    const Shape& shape,
                                    const std::vector<float>& values) {
  LT2_ASSIGN_OR_RETURN(Tensor f32, ctx.FromHost<float>(values, shape));
  if (dtype == DType::kF32) return f32;
  Tensor cast;
  LT2_RETURN_IF_ERROR(kernels::Cast(ctx, {f32, dtype}, &cast));
  return cast;
}

}  // namespace lt2::evals
