#include "evals/ranking/run.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "evals/stats/stats.h"
#include "kernels/core/philox.h"
#include "model/looped/accounting.h"
#include "model/training/checkpoint.h"
#include "tasks/digest.h"

namespace lt2::evals {
namespace {

struct Job {
  const TaskColumn* column;
  std::string model, folder;
  int64_t loops;  // 0: the model's own
};

// Names of the folders in `path`, sorted; none if it does not exist.
std::vector<std::string> Folders(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    struct stat info;
    if (name[0] != '.' && stat((path + "/" + name).c_str(), &info) == 0 &&
        S_ISDIR(info.st_mode)) {
      names.push_back(name);
    }
  }
  closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

bool Wanted(const std::vector<std::string>& chosen, const std::string& name) {
  return chosen.empty() ||
         std::find(chosen.begin(), chosen.end(), name) != chosen.end();
}

absl::StatusOr<std::vector<Job>> FindJobs(const LeaderboardOptions& options) {
  for (const std::string& name : options.columns) {
    std::vector<std::string> known;
    for (const TaskColumn& c : Columns()) known.push_back(c.name);
    if (!Wanted(known, name)) {
      return InvalidArgument("--tasks: no column '", name,
                             "'; there are: ", absl::StrJoin(known, ", "));
    }
  }
  std::vector<Job> jobs;
  std::vector<std::string> seen;
  for (const TaskColumn& column : Columns()) {
    if (!Wanted(options.columns, column.name)) continue;
    if (column.needs_data_dir && options.data_dir.empty()) {
      if (options.columns.empty()) continue;
      return InvalidArgument("--tasks: column '", column.name,
                             "' needs --data_dir");
    }
    const std::string family =
        absl::StrCat(options.checkpoints, "/", column.family);
    for (const std::string& model : Folders(family)) {
      seen.push_back(model);
      if (!Wanted(options.models, model)) continue;
      const std::vector<int64_t> loops =
          options.loops.empty() ? std::vector<int64_t>{0} : options.loops;
      for (int64_t n : loops) {
        jobs.push_back({&column, model, absl::StrCat(family, "/", model), n});
      }
    }
  }
  for (const std::string& name : options.models) {
    if (!Wanted(seen, name)) {
      std::sort(seen.begin(), seen.end());
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      return InvalidArgument("--models: no model '", name, "' in ",
                             options.checkpoints,
                             "; there are: ", absl::StrJoin(seen, ", "));
    }
  }
  if (jobs.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no checkpoints in ", options.checkpoints,
                     " for these columns (expected FAMILY/MODEL/config.json)"));
  }
  return jobs;
}

// The examples to evaluate, sorted: all of 0..n-1, or a sample of them.
std::vector<int64_t> Indices(int64_t population, int64_t count, uint64_t seed) {
  std::vector<int64_t> all(population);
  std::iota(all.begin(), all.end(), 0);
  if (count >= population) return all;
  Philox rng(seed, 0, /*b=*/0x73616du);
  rng.Shuffle(all);
  all.resize(count);
  std::sort(all.begin(), all.end());
  return all;
}

absl::StatusOr<Row> Evaluate(const LeaderboardOptions& options,
                             const Job& job) {
  const auto start = std::chrono::steady_clock::now();
  const TaskColumn& column = *job.column;
  LT2_ASSIGN_OR_RETURN(const nlohmann::json json,
                       model::LoadConfig(job.folder));
  LT2_ASSIGN_OR_RETURN(
      const model::ModelConfig config,
      model::ModelConfig::FromJson(json.value("model", nlohmann::json()),
                                   job.folder + "/config.json: model"));
  tasks::TaskOptions task_options;
  task_options.path = column.name;
  task_options.data_dir =
      column.needs_data_dir ? options.data_dir : options.repository;
  LT2_ASSIGN_OR_RETURN(auto task, tasks::CreateTask(column.spec, task_options));
  LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(options.device));
  LT2_ASSIGN_OR_RETURN(auto model, model::LoopedModel::Create(
                                       *ctx, config, 0, /*training=*/false));
  LT2_RETURN_IF_ERROR(model::LoadWeights(job.folder, *model));

  Row row;
  row.model = job.model;
  row.column = column.name;
  row.folder = job.folder;
  row.layer_pattern = config.layer_pattern;
  row.write_strength = WriteStrength(config);
  row.trained_loops = config.loop_count;
  row.loops = job.loops > 0 ? job.loops : config.loop_count;
  row.metric = column.metric;
  row.chance = task->chance();
  row.task_version = task->version();
  row.seed = 0;
  const int64_t seq = task->max_length(column.split);
  LT2_ASSIGN_OR_RETURN(
      const model::ModelCost cost,
      model::Cost(config, seq, row.loops, model->activation()));
  row.parameters = cost.parameters;
  row.flops_per_token = cost.flops_per_token(seq);
  row.state_bytes = cost.state_bytes;
  LT2_ASSIGN_OR_RETURN(row.model_digest, model::CheckpointDigest(job.folder));
  LT2_ASSIGN_OR_RETURN(row.data_digest,
                       tasks::Digest(*task, column.split, row.seed, 8));

  int64_t population = column.examples;
  const int64_t available = task->num_examples(column.split);
  if (available >= 0) population = available;
  int64_t count = options.sample > 0 ? options.sample : column.examples;
  count = std::min(count, std::max(population, count));
  // Generated tasks have no end: their population is what we evaluate.
  if (available < 0) population = std::max(population, count);
  std::vector<int64_t> indices;
  if (column.carry_state) {
    // The state needs consecutive text: the beginning of the file.
    indices.resize(std::min(count, population));
    std::iota(indices.begin(), indices.end(), 0);
  } else {
    indices = Indices(population, count, options.sample_seed);
  }
  const int64_t full = available >= 0 ? available : column.examples;
  row.partial = static_cast<int64_t>(indices.size()) < full;
  ScoreOptions score;
  score.split = column.split;
  score.seed = row.seed;
  score.loops = row.loops;
  score.batch = 16;
  score.carry_state = column.carry_state;
  auto items = ScoreTask(*model, *task, indices, score);
  if (!items.ok()) return Annotate(items.status(), job.folder);
  row.items = *std::move(items);

  const TaskTotals total = Total(row.items);
  row.sequence_accuracy = total.sequence_accuracy();
  std::vector<double> numerators, denominators;
  for (const ItemScore& item : row.items) {
    numerators.push_back(row.metric == Metric::kAccuracy
                             ? static_cast<double>(item.correct)
                             : item.nll / std::log(2.0));
    denominators.push_back(static_cast<double>(item.scored));
  }
  row.value = row.metric == Metric::kAccuracy ? total.accuracy() : total.bits();
  LT2_ASSIGN_OR_RETURN(const Interval interval,
                       RatioBootstrap(numerators, denominators));
  row.low = interval.low;
  row.high = interval.high;
  row.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return row;
}

}  // namespace

std::string WriteStrength(const model::ModelConfig& config) {
  bool delta = false, negative = false;
  for (const std::string& type : config.LayerTypes()) {
    const model::DeltaRuleConfig* rule = config.DeltaRuleOf(type);
    if (rule == nullptr) continue;
    delta = true;
    negative |= rule->allow_neg_eigval;
  }
  return !delta ? "-" : negative ? "(0,2)" : "(0,1)";
}

absl::StatusOr<std::vector<Row>> RunLeaderboard(
    const LeaderboardOptions& options,
    const std::function<void(int64_t, int64_t)>& progress) {
  LT2_ASSIGN_OR_RETURN(const std::vector<Job> jobs, FindJobs(options));
  const int64_t total = static_cast<int64_t>(jobs.size());
  std::vector<Row> rows(jobs.size());
  absl::Mutex mutex;
  absl::Status status;
  int64_t next = 0, done = 0;
  auto work = [&] {
    while (true) {
      int64_t mine;
      {
        absl::MutexLock lock(&mutex);
        if (next == total || !status.ok()) return;
        mine = next++;
      }
      absl::StatusOr<Row> row = Evaluate(options, jobs[mine]);
      absl::MutexLock lock(&mutex);
      if (row.ok()) {
        rows[mine] = *std::move(row);
      } else if (status.ok()) {
        status = row.status();
      }
      progress(++done, total);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < options.threads; ++i) threads.emplace_back(work);
  for (std::thread& t : threads) t.join();
  LT2_RETURN_IF_ERROR(status);
  return rows;
}

}  // namespace lt2::evals
