// What //evals:lm says: a table for people, results.json for machines, and one
// line of JSON for each item.
//
// results.json has the top-level keys of lm-evaluation-harness ("results",
// "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config",
// "task_hashes", ...) and those of the leaderboard ("schema_version", "rows",
// ...), so that //evals:compare reads it. A metric that can be compared item by
// item is a row of its own, named TASK/METRIC or TASK/METRIC,FILTER.

#ifndef LT2_EVALS_LM_REPORT_H_
#define LT2_EVALS_LM_REPORT_H_

#include <string>
#include <vector>

#include "evals/lm/run.h"

namespace lt2::evals {

// What is said of a run beside its suites.
struct LmRunInfo {
  std::string model, model_digest, tokenizer, tokenizer_digest;
  std::string build, program_digest, machine, device, dtype, command;
  std::string layer_pattern, write_strength;
  double flops_per_token = 0;  // forward, at max_length
  int64_t state_bytes = 0;     // of one sequence of max_length
  int64_t loops = 0, trained_loops = 0, parameters = 0, max_length = 0;
  // That of the run; 0: all items.
  int64_t limit = 0, sample = 0;
  uint64_t sample_seed = 0;
  double date = 0;  // seconds since 1970
  double seconds = 0;
  int64_t tokens_computed = 0;
  std::vector<std::string> skipped;  // suites without data, and why
};

std::string LmTable(const std::vector<SuiteResult>& results,
                    const LmRunInfo& info);
nlohmann::json LmJson(const std::vector<SuiteResult>& results,
                      const LmRunInfo& info);
// Lines of samples_TASK.jsonl.
std::string LmSamples(const SuiteResult& result, const LmRunInfo& info);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_REPORT_H_
