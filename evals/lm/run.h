// Runs suites on a model.

#ifndef LT2_EVALS_LM_RUN_H_
#define LT2_EVALS_LM_RUN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/optional.h"
#include "evals/lm/metrics.h"
#include "evals/lm/response_cache.h"
#include "evals/lm/suite.h"

namespace lt2::evals {

struct LmRunOptions {
  std::string data_dir;
  // Of each suite: the first `limit` items, or `sample` random ones drawn with
  // `sample_seed`; 0: all. Not both.
  int64_t limit = 0, sample = 0;
  uint64_t sample_seed = 0;
  absl::optional<int64_t> shots;  // instead of the suite's
  uint64_t shot_seed = 1234;
  // Requests given to the model at a time; does not change a response.
  int64_t batch = 64;
  // Set (by a signal handler) to stop after the requests under way. Responses
  // so far are in the cache.
  const std::atomic<bool>* stop = nullptr;
  // Requests done and in all, of a suite.
  std::function<void(const Suite&, int64_t, int64_t)> progress;
};

struct SuiteResult {
  std::shared_ptr<const Suite> suite;
  int64_t shots = 0;
  uint64_t shot_seed = 0;
  int64_t documents = 0;  // there are
  int64_t evaluated = 0;  // of those
  int64_t requests = 0, cached = 0;
  int64_t cut_requests = 0, cut_tokens = 0;  // contexts that did not fit
  double chance = 0;                         // NaN: none
  double seconds = 0;
  std::string data_digest;
  std::vector<MetricResult> metrics;
  std::vector<nlohmann::json> samples;  // one for each item, report.h

  bool partial() const { return evaluated < documents; }
  const MetricResult& primary() const;
};

// Cancelled if options.stop was set.
absl::StatusOr<SuiteResult> RunSuite(LanguageModel& model,
                                     std::shared_ptr<const Suite> suite,
                                     ResponseCache& cache,
                                     const LmRunOptions& options);

}  // namespace lt2::evals

#endif  // LT2_EVALS_LM_RUN_H_
