// Prefetcher: makes the next batches on other threads while a step runs.
//
// Batch k holds the examples start_index + k*batch, ... in order, so the
// batches are the same bits for any number of threads and any depth.
//
//   Prefetcher data(*task, {.seed = 1, .batch = 32, .seq = 256});
//   LT2_ASSIGN_OR_RETURN(Batch batch, data.Next());
//   checkpoint["data_position"] = data.position();   // resume: start_index

#ifndef LT2_TASKS_PREFETCH_H_
#define LT2_TASKS_PREFETCH_H_

#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tasks/task.h"

namespace lt2::tasks {

struct PrefetchOptions {
  Split split = Split::kTrain;
  uint64_t seed = 0;
  int64_t batch = 1;
  int64_t seq = 0;    // Padded length; 0 = task.max_length(split).
  int threads = 2;    // 0 = Next() makes the batch itself.
  int64_t depth = 4;  // Batches made ahead at most; at least 1.
  int64_t start_index = 0;
};

class Prefetcher {
 public:
  // `task` must outlive the prefetcher.
  Prefetcher(const Task& task, const PrefetchOptions& options);
  ~Prefetcher();  // Stops and joins the threads.

  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  // The next batch in order; waits for it if need be. An error of the task is
  // returned here, once its batch is due, and again by every later call. Past
  // the last example of a finite split: OutOfRange.
  absl::StatusOr<Batch> Next();

  // Index of the first example that Next() has not returned yet.
  int64_t position() const;

 private:
  void Work();
  absl::StatusOr<Batch> Make(int64_t number) const;

  const Task& task_;
  PrefetchOptions options_;

  mutable absl::Mutex mutex_;
  int64_t next_to_make_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t next_to_return_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<int64_t, absl::StatusOr<Batch>> ready_ ABSL_GUARDED_BY(mutex_);

  std::vector<std::thread> threads_;
};

}  // namespace lt2::tasks

#endif  // LT2_TASKS_PREFETCH_H_
