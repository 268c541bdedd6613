#include "bench/scaling/sm_clock.h"

#include <dlfcn.h>

namespace lt2::bench {
namespace {

constexpr int kSmClock = 1;  // NVML_CLOCK_SM

template <typename Function>
bool Find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

std::unique_ptr<SmClock> SmClock::Open(const std::string& pci_bus_id) {
  auto clock = std::unique_ptr<SmClock>(new SmClock());
  clock->library_ = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  if (clock->library_ == nullptr) return nullptr;
  int (*init)() = nullptr;
  int (*by_bus)(const char*, void**) = nullptr;
  if (!Find(clock->library_, "nvmlInit_v2", &init) ||
      !Find(clock->library_, "nvmlDeviceGetHandleByPciBusId_v2", &by_bus) ||
      !Find(clock->library_, "nvmlDeviceGetClockInfo", &clock->clock_) ||
      init() != 0) {
    return nullptr;
  }
  Find(clock->library_, "nvmlShutdown", &clock->shutdown_);
  if (by_bus(pci_bus_id.c_str(), &clock->device_) != 0) return nullptr;
  return clock;
}

SmClock::~SmClock() {
  if (shutdown_ != nullptr) shutdown_();
  if (library_ != nullptr) dlclose(library_);
}

int SmClock::MHz() const {
  unsigned mhz = 0;
  return clock_(device_, kSmClock, &mhz) == 0 ? static_cast<int>(mhz) : 0;
}

}  // namespace lt2::bench
