// The configuration of a training run, read strictly from JSON:
//
//   {
//     "name": "gdn-T4",              what tables call it
//     "seed": 1,                     of initial values and data
//     "init": "FOLDER",              optional: a checkpoint whose weights the
//                                    run starts from (its optimizer's state is
//                                    not taken over: that is --resume)
//     "model": {...},                model/config/config.h; vocab_size may be
//                                    left to the task
//     "data":  {"task": ...}         tasks/README.md; or
//     "data":  {"curriculum": [{"task": ...}, ...]}
//     "train": {...},                below
//     "test":  [{"task": ...}, ...]  optional: tasks whose test split is scored
//                                    when the run is done
//   }
//
// A curriculum moves to its next task when the accuracy on the validation split
// reaches advance_at (or the stage's own, of the list stage_advance_at), and
// ends the run when the last is reached or a stage has used stage_steps. All
// its tasks need one vocabulary, and the tests' must not be larger.
//
// Evaluations must be frequent for a curriculum to advance without delay, and
// large for its decisions to be sure. With confirm_examples > 0 both are cheap:
// where eval_examples reach advance_at (or stop_at), that many further examples
// are scored and decide.

#ifndef LT2_TOOLS_TRAINING_TRAIN_CONFIG_H_
#define LT2_TOOLS_TRAINING_TRAIN_CONFIG_H_

#include <string>
#include <vector>

#include "model/config/config.h"
#include "model/looped/looped_model.h"
#include "model/training/optimizer.h"
#include "model/training/schedule.h"
#include "nlohmann/json.hpp"
#include "tasks/task.h"

namespace lt2::tools {

struct TrainConfig {
  std::string name;
  uint64_t seed = 1;
  std::string init;
  model::ModelConfig model;
  std::vector<std::unique_ptr<tasks::Task>> stages;  // one without curriculum
  std::vector<std::unique_ptr<tasks::Task>> tests;

  int64_t steps = 1000;      // of all stages together
  int64_t batch = 32;        // examples
  int64_t batch_tokens = 0;  // see BatchOf
  model::Schedule schedule;
  model::OptimizerConfig optimizer;
  model::Recompute recompute = model::Recompute::kNothing;
  int64_t log_every = 1;
  int64_t eval_every = 0;  // 0: at the end only
  int64_t eval_examples = 256;
  int64_t final_eval_examples = 0;  // of the last evaluation; 0: eval_examples
  int64_t confirm_examples = 0;     // 0: eval_examples decide
  int64_t test_examples = 1000;     // of each test
  int64_t checkpoint_every = 0;     // 0: at the end only
  double stop_at = 2;               // accuracy that ends the run early
  double advance_at = 0.9;
  std::vector<double> stage_advance_at;  // empty, or in place of advance_at
  int64_t stage_steps = 100000;
  // With a time limit: over the last so many seconds before it, the rate is
  // also multiplied by the share of them that is left. A run that is cut off
  // has cooled down then. 0: no such thing.
  double cooldown_seconds = 0;

  // Examples of a batch of a stage: `batch`, or more if as many examples of
  // its length are needed for batch_tokens. Early stages of a curriculum have
  // short sequences with few answers, whose steps cost next to nothing on a
  // GPU.
  int64_t BatchOf(const tasks::Task& task) const;

  // The accuracy that ends stage i (from 0) of a curriculum.
  double AdvanceAt(int64_t i) const {
    return stage_advance_at.empty() ? advance_at : stage_advance_at[i];
  }

  nlohmann::json json;  // with every default of model and data filled in
};

// `data_dir` is where the text task's relative paths start.
absl::StatusOr<TrainConfig> ReadTrainConfig(const nlohmann::json& json,
                                            const std::string& data_dir);

}  // namespace lt2::tools

#endif  // LT2_TOOLS_TRAINING_TRAIN_CONFIG_H_
