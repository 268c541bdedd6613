#include "kernels/core/arena.h"

#include <algorithm>
#include <map>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace lt2 {

// Shared with every live block, so that blocks may outlive the arena.
class Arena::State : public std::enable_shared_from_this<Arena::State> {
 public:
  State(ArenaBackend backend, Device device, int64_t limit)
      : backend_(std::move(backend)), device_(device), limit_(limit) {}

  ~State() { ReleaseCached(); }

  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(int64_t bytes);

  void Free(void* data, int64_t size) {
    absl::MutexLock lock(&mutex_);
    free_[size].push_back(data);
    stats_.in_use -= size;
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
  std::vector<void*>& cached = free_[size];
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
