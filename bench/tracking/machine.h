// What machine is this? Times are only compared between equal machine classes,
// so the class names what makes times incomparable and nothing else:
//
//   cpu         "Intel(R) Xeon(R) Processor", as /proc/cpuinfo says
//   cpu_id      family-model-stepping, where names are vague: "6-167-1"
//   cores       logical processors
//   governor    of the clock, where the system tells: "performance"
//   os, kernel  "debian 12", "6.1" (updates of one release are one class)
//   gpu, gpus   "NVIDIA H200" and how many, if nvidia-smi runs
//   driver      of the GPU
//   power       its limit in watts
//
// The parts are pure functions of the texts that the system gives, so that they
// can be tested anywhere. What a machine does not tell is left out.

#ifndef LT2_BENCH_TRACKING_MACHINE_H_
#define LT2_BENCH_TRACKING_MACHINE_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "kernels/core/status.h"

namespace lt2::bench {

using MachineClass = std::map<std::string, std::string>;

// `cpuinfo` is that of x86 or ARM.
MachineClass CpuFacts(absl::string_view cpuinfo, absl::string_view governor);
// `os_release` is /etc/os-release, `kernel` what `uname -r` prints.
MachineClass SystemFacts(absl::string_view os_release,
                         absl::string_view kernel);
// `csv` is the output of kGpuQuery: name, driver, power limit, a line for each
// GPU. GPUs of different names are listed with '+'. An error if it is not that.
inline constexpr char kGpuQuery[] =
    "nvidia-smi --query-gpu=name,driver_version,power.limit "
    "--format=csv,noheader,nounits 2>/dev/null";
absl::StatusOr<MachineClass> GpuFacts(absl::string_view csv);

// This machine, now.
MachineClass DetectMachine();
// What `context.host_name` of Google Benchmark's files is here.
std::string HostName();

// "cpu=..., cores=2" for people.
std::string MachineText(const MachineClass& machine);

}  // namespace lt2::bench

#endif  // LT2_BENCH_TRACKING_MACHINE_H_
