#include "tools/training/train_config.h"

#include <algorithm>

#include "kernels/core/json/json_reader.h"

namespace lt2::tools {
namespace {

void ReadTrain(JsonReader r, TrainConfig* c) {
  c->steps = r.Int("steps", c->steps, 1);
  c->batch = r.Int("batch", c->batch, 1, 1 << 20);
  c->batch_tokens = r.Int("batch_tokens", c->batch_tokens, 0, 1 << 30);
  c->schedule.shape = r.Enum<model::ScheduleShape>(
      "schedule", c->schedule.shape,
      {{"constant", model::ScheduleShape::kConstant},
       {"cosine", model::ScheduleShape::kCosine},
       {"wsd", model::ScheduleShape::kWsd}});
  c->schedule.lr = r.Float("lr", c->schedule.lr, 0, 10);
  c->schedule.warmup = r.Int("warmup", c->schedule.warmup, 0);
  c->schedule.final = r.Float("final_lr_fraction", c->schedule.final, 0, 1);
  c->schedule.decay = r.Float("decay_fraction", c->schedule.decay, 0, 1);
  c->schedule.steps = c->steps;
  model::OptimizerConfig& o = c->optimizer;
  o.beta1 = r.Float("beta1", o.beta1, 0, 0.999999);
  o.beta2 = r.Float("beta2", o.beta2, 0, 0.999999);
  o.eps = r.Float("eps", o.eps, 0, 1);
  o.weight_decay = r.Float("weight_decay", o.weight_decay, 0, 10);
  o.decay_everything = r.Bool("decay_everything", o.decay_everything);
  o.clip = r.Float("clip", o.clip, 0, 1e9);
  c->recompute =
      r.Enum<model::Recompute>("recompute", c->recompute,
                               {{"nothing", model::Recompute::kNothing},
                                {"blocks", model::Recompute::kBlocks},
                                {"loops", model::Recompute::kLoops}});
  c->log_every = r.Int("log_every", c->log_every, 1);
  c->eval_every = r.Int("eval_every", c->eval_every, 0);
  c->eval_examples = r.Int("eval_examples", c->eval_examples, 1);
  c->final_eval_examples =
      r.Int("final_eval_examples", c->final_eval_examples, 0);
  c->cooldown_seconds = r.Float("cooldown_seconds", 0, 0, 1e9);
  c->confirm_examples = r.Int("confirm_examples", c->confirm_examples, 0);
  c->test_examples = r.Int("test_examples", c->test_examples, 1);
  c->checkpoint_every = r.Int("checkpoint_every", c->checkpoint_every, 0);
  c->stop_at = r.Float("stop_at", c->stop_at, 0, 2);
  c->advance_at = r.Float("advance_at", c->advance_at, 0, 1);
  c->stage_advance_at = r.Floats("stage_advance_at", 0, 1);
  c->stage_steps = r.Int("stage_steps", c->stage_steps, 1);
}

absl::Status ReadData(const nlohmann::json& data, const std::string& data_dir,
                      TrainConfig* c) {
  tasks::TaskOptions options;
  options.data_dir = data_dir;
  if (!data.is_object() || !data.contains("curriculum")) {
    options.path = "data";
    LT2_ASSIGN_OR_RETURN(auto task, tasks::CreateTask(data, options));
    c->stages.push_back(std::move(task));
    return absl::OkStatus();
  }
  const nlohmann::json& curriculum = data["curriculum"];
  if (data.size() != 1 || !curriculum.is_array() || curriculum.empty()) {
    return InvalidArgument(
        "data: expected a task or {\"curriculum\": [task, ...]}, got ",
        data.dump().substr(0, 200));
  }
  for (size_t i = 0; i < curriculum.size(); ++i) {
    options.path = absl::StrCat("data.curriculum[", i, "]");
    LT2_ASSIGN_OR_RETURN(auto task, tasks::CreateTask(curriculum[i], options));
    c->stages.push_back(std::move(task));
    if (c->stages[i]->vocab_size() != c->stages[0]->vocab_size()) {
      return InvalidArgument(options.path, ": vocabulary of ",
                             c->stages[i]->vocab_size(), ", the first task's ",
                             c->stages[0]->vocab_size());
    }
  }
  return absl::OkStatus();
}

absl::Status ReadTests(const nlohmann::json& json, const std::string& data_dir,
                       TrainConfig* c) {
  for (size_t i = 0; i < json.size(); ++i) {
    tasks::TaskOptions options;
    options.data_dir = data_dir;
    options.path = absl::StrCat("test[", i, "]");
    LT2_ASSIGN_OR_RETURN(auto task, tasks::CreateTask(json[i], options));
    if (task->vocab_size() > c->stages[0]->vocab_size()) {
      return InvalidArgument(options.path, ": vocabulary of ",
                             task->vocab_size(), ", the data's ",
                             c->stages[0]->vocab_size());
    }
    c->tests.push_back(std::move(task));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TrainConfig::BatchOf(const tasks::Task& task) const {
  return std::max(batch, batch_tokens / task.max_length(tasks::Split::kTrain));
}

absl::StatusOr<TrainConfig> ReadTrainConfig(const nlohmann::json& json,
                                            const std::string& data_dir) {
  TrainConfig c;
  JsonReader r(json);
  c.name = r.String("name", "run");
  c.seed = static_cast<uint64_t>(r.Int("seed", 1, 0));
  c.init = r.String("init", "");
  r.Require({"model", "data"});
  r.Has("model");
  r.Has("data");
  const nlohmann::json& tests = r.Array("test");
  ReadTrain(r.Object("train"), &c);
  LT2_RETURN_IF_ERROR(r.Finish());
  LT2_RETURN_IF_ERROR(ReadData(json["data"], data_dir, &c));
  if (!c.stage_advance_at.empty() &&
      c.stage_advance_at.size() != c.stages.size()) {
    return InvalidArgument(
        "train.stage_advance_at: ", c.stage_advance_at.size(), " numbers for ",
        c.stages.size(), " stages");
  }
  LT2_RETURN_IF_ERROR(ReadTests(tests, data_dir, &c));
  nlohmann::json model = json["model"];
  const int64_t vocab = c.stages[0]->vocab_size();
  if (model.is_object() && !model.contains("vocab_size")) {
    model["vocab_size"] = vocab;
  }
  LT2_ASSIGN_OR_RETURN(c.model, model::ModelConfig::FromJson(model, "model"));
  if (c.model.vocab_size < vocab) {
    return InvalidArgument("model.vocab_size: ", c.model.vocab_size,
                           " is less than the task's ", vocab);
  }
  c.json = json;
  c.json["model"] = c.model.ToJson();
  if (c.stages.size() == 1) {
    c.json["data"] = c.stages[0]->spec();
  } else {
    c.json["data"] = {{"curriculum", nlohmann::json::array()}};
    for (const auto& stage : c.stages) {
      c.json["data"]["curriculum"].push_back(stage->spec());
    }
  }
  for (size_t i = 0; i < c.tests.size(); ++i) {
    c.json["test"][i] = c.tests[i]->spec();
  }
  return c;
}

}  // namespace lt2::tools
