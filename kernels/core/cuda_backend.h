// The few CUDA runtime calls that core needs, behind plain C++ so that only
// .cu files include CUDA's headers. Streams and graphs travel as void*.

#ifndef LT2_KERNELS_CORE_CUDA_BACKEND_H_
#define LT2_KERNELS_CORE_CUDA_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/core/context.h"

namespace lt2::cuda {

bool Available();
absl::StatusOr<DeviceInfo> Info();
ArenaBackend Backend();

absl::StatusOr<void*> CreateStream();
void DestroyStream(void* stream);
absl::StatusOr<void*> CreateCublas();
void DestroyCublas(void* handle);

absl::Status Synchronize(void* stream);
absl::Status CopyHostToDevice(void* to, const void* from, size_t bytes,
                              void* stream);
absl::Status CopyDeviceToHost(void* to, const void* from, size_t bytes,
                              void* stream);
absl::Status CopyDeviceToDevice(void* to, const void* from, size_t bytes,
                                void* stream);
absl::Status Fill(void* to, int byte, size_t bytes, void* stream);

absl::Status BeginCapture(void* stream);
// Ends the capture; *executable is null if that failed.
absl::Status EndCapture(void* stream, void** executable, int64_t* nodes);
absl::Status LaunchGraph(void* executable, void* stream);
void DestroyGraph(void* executable);

}  // namespace lt2::cuda

#endif  // LT2_KERNELS_CORE_CUDA_BACKEND_H_
