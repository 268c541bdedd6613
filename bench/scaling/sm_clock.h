// The clock of a GPU's multiprocessors, through the driver's library NVML,
// which is opened at run time: nothing links to it.

#ifndef LT2_BENCH_SCALING_SM_CLOCK_H_
#define LT2_BENCH_SCALING_SM_CLOCK_H_

#include <memory>
#include <string>

namespace lt2::bench {

class SmClock {
 public:
  // Null where there is no NVML or it does not know the device.
  static std::unique_ptr<SmClock> Open(const std::string& pci_bus_id);
  ~SmClock();
  // Now, in MHz; 0 if it cannot be read. Takes some microseconds.
  int MHz() const;

 private:
  SmClock() = default;
  void* library_ = nullptr;
  void* device_ = nullptr;
  int (*clock_)(void*, int, unsigned*) = nullptr;
  int (*shutdown_)() = nullptr;
};

}  // namespace lt2::bench

#endif  // LT2_BENCH_SCALING_SM_CLOCK_H_
