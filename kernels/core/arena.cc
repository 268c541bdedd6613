#include "kernels/core/arena.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace lt2 {
// Of arena_pool.h, which declares the functions below. It is not included: what
// this library includes is an input of every kernel's compilation.
namespace internal {

struct PoolBlocks {
  const void* arena = nullptr;                 // whose blocks these are
  std::map<int64_t, std::vector<void*>> free;  // size class -> blocks
  std::function<void(void*, int64_t)> give_back;
};

thread_local PoolBlocks* current_pool = nullptr;

PoolBlocks* NewPool() { return new PoolBlocks(); }

void DeletePool(PoolBlocks* pool) {
  for (const auto& [size, blocks] : pool->free) {
    for (void* block : blocks) pool->give_back(block, size);
  }
  delete pool;
}

int64_t PoolBytes(const PoolBlocks* pool) {
  int64_t sum = 0;
  for (const auto& [size, blocks] : pool->free) {
    sum += size * static_cast<int64_t>(blocks.size());
  }
  return sum;
}

PoolBlocks* SetCurrentPool(PoolBlocks* pool) {
  PoolBlocks* const before = current_pool;
  current_pool = pool;
  return before;
}

}  // namespace internal

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
    internal::PoolBlocks* const pool = internal::current_pool;
    if (pool == nullptr || (pool->arena != nullptr && pool->arena != this)) {
      free_[size].push_back(data);
      return;
    }
    if (pool->arena == nullptr) {
      pool->arena = this;
      pool->give_back = [self = shared_from_this()](void* block,
                                                    int64_t block_size) {
        absl::MutexLock inner(&self->mutex_);
        self->free_[block_size].push_back(block);
      };
    }
    pool->free[size].push_back(data);
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
  internal::PoolBlocks* const pool = internal::current_pool;
  const bool pooled =
      pool != nullptr && pool->arena == this && !pool->free[size].empty();
  std::vector<void*>& cached = pooled ? pool->free[size] : free_[size];
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
