#include "kernels/core/arena.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "kernels/core/arena_pool.h"

namespace lt2 {
namespace {

thread_local ArenaPool* current_pool = nullptr;

}  // namespace

// Shared with every live block, so that blocks may outlive the arena.
class Arena::State : public std::enable_shared_from_this<Arena::State> {
 public:
  State(ArenaBackend backend, Device device, int64_t limit)
      : backend_(std::move(backend)), device_(device), limit_(limit) {}

  ~State() { ReleaseCached(); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(int64_t bytes);

  void Free(void* data, int64_t size) {
    absl::MutexLock lock(&mutex_);
    stats_.in_use -= size;
    ArenaPool* const pool = current_pool;
    if (pool == nullptr || (pool->arena_ != nullptr && pool->arena_ != this)) {
      free_[size].push_back(data);
      return;
    }
    if (pool->arena_ == nullptr) {
      pool->arena_ = this;
      pool->give_back_ = [self = shared_from_this()](void* block,
                                                     int64_t block_size) {
        absl::MutexLock inner(&self->mutex_);
        self->free_[block_size].push_back(block);
      };
    }
    pool->free_[size].push_back(data);
  }

  ArenaStats stats() {
    absl::MutexLock lock(&mutex_);
    return stats_;
  }

  void ResetPeak() {
    absl::MutexLock lock(&mutex_);
    stats_.peak = stats_.in_use;
  }

 private:
  void ReleaseCached() {
    for (auto& [size, blocks] : free_) {
      for (void* block : blocks) backend_.release(block);
      stats_.reserved -= size * static_cast<int64_t>(blocks.size());
      blocks.clear();
    }
  }

  const ArenaBackend backend_;
  const Device device_;
  const int64_t limit_;
  absl::Mutex mutex_;
  ArenaStats stats_;
  std::map<int64_t, std::vector<void*>> free_;  // size class -> blocks
};

namespace {

class Block : public Buffer {
 public:
  Block(std::function<void(void*)> give_back, void* data)
      : give_back_(std::move(give_back)), data_(data) {}
  ~Block() override { give_back_(data_); }
  void* data() const override { return data_; }

 private:
  std::function<void(void*)> give_back_;
  void* data_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Buffer>> Arena::State::Allocate(int64_t bytes) {
  const int64_t size = SizeClass(bytes);
  absl::MutexLock lock(&mutex_);
  void* data = nullptr;
  ArenaPool* const pool = current_pool;
  const bool pooled =
      pool != nullptr && pool->arena_ == this && !pool->free_[size].empty();
  std::vector<void*>& cached = pooled ? pool->free_[size] : free_[size];
  if (!cached.empty()) {
    data = cached.back();
    cached.pop_back();
  } else {
    if (stats_.reserved + size > limit_) ReleaseCached();
    if (stats_.reserved + size <= limit_) {
      data = backend_.allocate(size);
      if (data == nullptr) {
        ReleaseCached();
        data = backend_.allocate(size);
      }
    }
    if (data == nullptr) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "out of memory on ", Name(device_), ": asked for ", bytes,
          " bytes with ", stats_.in_use, " in use and a limit of ", limit_));
    }
    stats_.reserved += size;
    ++stats_.allocations;
  }
  stats_.in_use += size;
  stats_.peak = std::max(stats_.peak, stats_.in_use);
  auto give_back = [self = shared_from_this(), size](void* block) {
    self->Free(block, size);
  };
  return std::make_shared<Block>(std::move(give_back), data);
}

Arena::Arena(ArenaBackend backend, Device device, int64_t limit_bytes)
    : state_(std::make_shared<State>(std::move(backend), device, limit_bytes)) {
}

absl::StatusOr<std::shared_ptr<Buffer>> Arena::Allocate(int64_t bytes) {
  return state_->Allocate(bytes);
}

ArenaStats Arena::stats() const { return state_->stats(); }
void Arena::ResetPeak() { state_->ResetPeak(); }

ArenaPool::~ArenaPool() {
  for (const auto& [size, blocks] : free_) {
    for (void* block : blocks) give_back_(block, size);
  }
}

int64_t ArenaPool::bytes() const {
  int64_t sum = 0;
  for (const auto& [size, blocks] : free_) {
    sum += size * static_cast<int64_t>(blocks.size());
  }
  return sum;
}

ArenaPool::Scope::Scope(ArenaPool* pool) : outer_(current_pool) {
  current_pool = pool;
}

ArenaPool::Scope::~Scope() { current_pool = outer_; }

int64_t Arena::SizeClass(int64_t bytes) {
  constexpr int64_t kSmallStep = 512;
  constexpr int64_t kLarge = int64_t{1} << 20;
  int64_t step = kSmallStep;
  if (bytes > kLarge) {
    step = kLarge / 8;
    while (step * 16 <= bytes) step *= 2;
  }
  return std::max(step, (bytes + step - 1) / step * step);
}

}  // namespace lt2
