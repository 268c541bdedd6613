// The few CUDA calls of the scaling benchmark: times between two events, and
// what a device says of itself. Without CUDA this is a header only; callers
// guard their calls with #if LT2_HAVE_CUDA.

#ifndef LT2_BENCH_SCALING_GPU_EVENTS_H_
#define LT2_BENCH_SCALING_GPU_EVENTS_H_

#include <memory>
#include <string>

#include "kernels/core/context.h"

namespace lt2::bench {

struct GpuFacts {
  int64_t l2_bytes = 0;
  std::string pci_bus_id;  // "0000:1b:00.0", which NVML knows too
  int driver = 0;          // the newest CUDA it knows, 13000 = 13.0
};
absl::StatusOr<GpuFacts> ReadGpuFacts();

// Seconds between two points of a stream, as the device counts them (to about
// half a microsecond).
class GpuEvents {
 public:
  static absl::StatusOr<std::unique_ptr<GpuEvents>> Create();
  ~GpuEvents();
  absl::Status Start(const Context& ctx);
  absl::Status Stop(const Context& ctx);
  // Waits for the end.
  absl::StatusOr<double> Seconds();

 private:
  GpuEvents() = default;
  void* start_ = nullptr;
  void* stop_ = nullptr;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_GPU_EVENTS_H_
