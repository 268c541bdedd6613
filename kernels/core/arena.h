// Arena: a caching allocator for one device.
//
// Freed blocks go to a free list of their size class and are handed out again,
// so that a training step of fixed shape asks the system or the CUDA driver
// for nothing after its first run (which CUDA-graph capture needs). On a GPU
// all work of a Context is on one stream, so reuse is ordered by the stream.
//
// Size classes: multiples of 512 bytes up to 1 MiB, above that multiples of an
// eighth of the next lower power of two: at most 12.5 % is wasted.
//
// Thread-safe. Blocks may outlive the Arena object.

#ifndef LT2_KERNELS_CORE_ARENA_H_
#define LT2_KERNELS_CORE_ARENA_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/core/tensor.h"

namespace lt2 {

// How an arena gets memory from its device.
struct ArenaBackend {
  std::function<void*(size_t)> allocate;  // nullptr when out of memory
  std::function<void(void*)> release;
};

struct ArenaStats {
  int64_t in_use = 0;       // bytes in live blocks
  int64_t peak = 0;         // highest in_use since the last ResetPeak
  int64_t reserved = 0;     // bytes held from the device
  int64_t allocations = 0;  // requests that reached the device
};

class Arena {
 public:
  Arena(ArenaBackend backend, Device device, int64_t limit_bytes);

  // A block of at least `bytes` (possibly 0). ResourceExhausted names the
  // request, what is in use and the limit.
  absl::StatusOr<std::shared_ptr<Buffer>> Allocate(int64_t bytes);

  ArenaStats stats() const;
  void ResetPeak();

  // The size that a request is rounded up to.
  static int64_t SizeClass(int64_t bytes);

 private:
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_ARENA_H_
