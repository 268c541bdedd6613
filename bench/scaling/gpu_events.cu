#include "bench/scaling/gpu_events.h"
#include "kernels/core/cuda_util.cuh"

namespace lt2::bench {

absl::StatusOr<GpuFacts> ReadGpuFacts() {
  GpuFacts facts;
  int device = 0, l2 = 0;
  LT2_CUDA_RETURN_IF_ERROR(cudaGetDevice(&device));
  LT2_CUDA_RETURN_IF_ERROR(
      cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device));
  facts.l2_bytes = l2;
  char id[64] = {};
  LT2_CUDA_RETURN_IF_ERROR(cudaDeviceGetPCIBusId(id, sizeof(id), device));
  facts.pci_bus_id = id;
  LT2_CUDA_RETURN_IF_ERROR(cudaDriverGetVersion(&facts.driver));
  return facts;
}

absl::StatusOr<std::unique_ptr<GpuEvents>> GpuEvents::Create() {
  auto events = std::unique_ptr<GpuEvents>(new GpuEvents());
  cudaEvent_t event = nullptr;
  LT2_CUDA_RETURN_IF_ERROR(cudaEventCreate(&event));
  events->start_ = event;
  LT2_CUDA_RETURN_IF_ERROR(cudaEventCreate(&event));
  events->stop_ = event;
  return events;
}

GpuEvents::~GpuEvents() {
  for (void* event : {start_, stop_}) {
    if (event != nullptr) cudaEventDestroy(static_cast<cudaEvent_t>(event));
  }
}

absl::Status GpuEvents::Start(const Context& ctx) {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaEventRecord(static_cast<cudaEvent_t>(start_), cuda::StreamOf(ctx)));
  return absl::OkStatus();
}

absl::Status GpuEvents::Stop(const Context& ctx) {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaEventRecord(static_cast<cudaEvent_t>(stop_), cuda::StreamOf(ctx)));
  return absl::OkStatus();
}

absl::StatusOr<double> GpuEvents::Seconds() {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaEventSynchronize(static_cast<cudaEvent_t>(stop_)));
  float milliseconds = 0;
  LT2_CUDA_RETURN_IF_ERROR(
      cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(start_),
                           static_cast<cudaEvent_t>(stop_)));
  return static_cast<double>(milliseconds) * 1e-3;
}

}  // namespace lt2::bench
