#include "tasks/prefetch.h"

#include <algorithm>
#include <utility>

#include "kernels/core/status.h"

namespace lt2::tasks {

Prefetcher::Prefetcher(const Task& task, const PrefetchOptions& options)
    : task_(task), options_(options) {
  if (options_.seq == 0) options_.seq = task.max_length(options_.split);
  options_.depth = std::max<int64_t>(options_.depth, 1);
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

Prefetcher::~Prefetcher() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::StatusOr<Batch> Prefetcher::Make(int64_t number) const {
  if (options_.batch < 1) {
    return InvalidArgument("batch must be >= 1, got ", options_.batch);
  }
  const int64_t first = options_.start_index + number * options_.batch;
  const int64_t end = task_.num_examples(options_.split);
  if (end >= 0 && first >= end) {
    return absl::OutOfRangeError(
        absl::StrCat(task_.name(), ": the ", Name(options_.split),
                     " split has ", end, " examples, asked for ", first));
  }
  return MakeBatch(task_, options_.split, options_.seed, first, options_.batch,
                   options_.seq);
}

// Takes the lowest number that nobody has taken, so that the batch Next()
// waits for is always among those being made.
void Prefetcher::Work() {
  while (true) {
    int64_t number;
    {
      absl::MutexLock lock(&mutex_);
      auto may_make = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return stop_ || next_to_make_ < next_to_return_ + options_.depth;
      };
      mutex_.Await(absl::Condition(&may_make));
      if (stop_) return;
      number = next_to_make_++;
    }
    absl::StatusOr<Batch> batch = Make(number);
    absl::MutexLock lock(&mutex_);
    ready_.emplace(number, std::move(batch));
  }
}

absl::StatusOr<Batch> Prefetcher::Next() {
  absl::MutexLock lock(&mutex_);
  if (threads_.empty()) {
    absl::StatusOr<Batch> batch = Make(next_to_return_);
    if (batch.ok()) ++next_to_return_;
    return batch;
  }
  auto is_ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ready_.count(next_to_return_) > 0;
  };
  mutex_.Await(absl::Condition(&is_ready));
  const auto found = ready_.find(next_to_return_);
  // An error stays in place: the next call returns it again.
  if (!found->second.ok()) return found->second.status();
  absl::StatusOr<Batch> batch = std::move(found->second);
  ready_.erase(found);
  ++next_to_return_;
  return batch;
}

int64_t Prefetcher::position() const {
  absl::MutexLock lock(&mutex_);
  return options_.start_index + next_to_return_ * options_.batch;
}

}  // namespace lt2::tasks
