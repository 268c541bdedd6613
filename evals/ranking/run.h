// Evaluates checkpoints on columns.

#ifndef LT2_EVALS_RANKING_RUN_H_
#define LT2_EVALS_RANKING_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "evals/ranking/columns.h"
#include "evals/scoring/task_score.h"
#include "kernels/core/tensor.h"

namespace lt2::evals {

struct LeaderboardOptions {
  std::string checkpoints;           // folder FAMILY/MODEL/{config.json, ...}
  std::string repository = ".";      // where testdata/ is
  std::string data_dir;              // real corpora; "" = none
  std::vector<std::string> models;   // empty: all
  std::vector<std::string> columns;  // empty: all
  std::vector<int64_t> loops;        // empty: each model's own
  int64_t sample = 0;                // 0: the column's number of examples
  uint64_t sample_seed = 0;
  Device device = Device::kCPU;
  int threads = 1;  // evaluations at a time, each on one thread
};

// One model on one column: a row of the results.
struct Row {
  std::string model, column, folder;
  std::string title;  // of the column, where it is none of Columns()
  std::string layer_pattern, write_strength;
  int64_t loops = 0;  // in this evaluation
  int64_t trained_loops = 0;
  int64_t parameters = 0;      // embeddings included
  double flops_per_token = 0;  // forward, at the column's length
  int64_t state_bytes = 0;     // of one sequence at the column's length
  Metric metric = Metric::kAccuracy;
  double value = 0, low = 0, high = 0;  // 95 % interval over examples
  double chance = 0;
  double sequence_accuracy = 0;
  bool partial = false;  // a sample of the column's examples
  double seconds = 0;
  std::string model_digest, data_digest;
  int task_version = 0;
  uint64_t seed = 0;
  std::vector<ItemScore> items;
};

// "(0,2)", "(0,1)", or "-" if the model has no delta rule.
std::string WriteStrength(const model::ModelConfig& config);

// Rows in the order of columns, then models by name. Every checkpoint found
// must load: a damaged one is an error that names its folder. `progress` gets
// the number of evaluations done and their total.
absl::StatusOr<std::vector<Row>> RunLeaderboard(
    const LeaderboardOptions& options,
    const std::function<void(int64_t, int64_t)>& progress);

}  // namespace lt2::evals

#endif  // LT2_EVALS_RANKING_RUN_H_
