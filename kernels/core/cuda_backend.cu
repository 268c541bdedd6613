#include <cublasLt.h>

#include "kernels/core/cuda_backend.h"
#include "kernels/core/cuda_util.cuh"

namespace lt2::cuda {

bool Available() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

absl::StatusOr<DeviceInfo> Info() {
  cudaDeviceProp properties;
  LT2_CUDA_RETURN_IF_ERROR(cudaGetDeviceProperties(&properties, 0));
  if (properties.major < 8) {
    return absl::FailedPreconditionError(absl::StrCat(
        properties.name, " has compute capability ", properties.major, ".",
        properties.minor, "; 8.0 or later is needed"));
  }
  DeviceInfo info;
  info.name = properties.name;
  info.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  info.multiprocessors = properties.multiProcessorCount;
  return info;
}

ArenaBackend Backend() {
  ArenaBackend backend;
  backend.allocate = [](size_t bytes) -> void* {
    void* data = nullptr;
    if (cudaMalloc(&data, bytes) != cudaSuccess) {
      cudaGetLastError();  // out of memory is reported by the arena
      return nullptr;
    }
    return data;
  };
  backend.release = [](void* data) { cudaFree(data); };
  return backend;
}

absl::StatusOr<void*> CreateStream() {
  cudaStream_t stream;
  LT2_CUDA_RETURN_IF_ERROR(
      cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return static_cast<void*>(stream);
}

void DestroyStream(void* stream) {
  cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

absl::StatusOr<void*> CreateCublas() {
  cublasLtHandle_t handle;
  const cublasStatus_t status = cublasLtCreate(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return absl::InternalError(
        absl::StrCat("cublasLtCreate: ", cublasLtGetStatusString(status)));
  }
  return static_cast<void*>(handle);
}

void DestroyCublas(void* handle) {
  cublasLtDestroy(static_cast<cublasLtHandle_t>(handle));
}

absl::Status Synchronize(void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaStreamSynchronize(static_cast<cudaStream_t>(stream)));
  return absl::OkStatus();
}

absl::Status CopyHostToDevice(void* to, const void* from, size_t bytes,
                              void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(to, from, bytes,
                                           cudaMemcpyHostToDevice,
                                           static_cast<cudaStream_t>(stream)));
  return Synchronize(stream);
}

absl::Status CopyDeviceToHost(void* to, const void* from, size_t bytes,
                              void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(to, from, bytes,
                                           cudaMemcpyDeviceToHost,
                                           static_cast<cudaStream_t>(stream)));
  return Synchronize(stream);
}

absl::Status CopyDeviceToDevice(void* to, const void* from, size_t bytes,
                                void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(cudaMemcpyAsync(to, from, bytes,
                                           cudaMemcpyDeviceToDevice,
                                           static_cast<cudaStream_t>(stream)));
  return absl::OkStatus();
}

absl::Status Fill(void* to, int byte, size_t bytes, void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaMemsetAsync(to, byte, bytes, static_cast<cudaStream_t>(stream)));
  return absl::OkStatus();
}

absl::Status BeginCapture(void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(cudaStreamBeginCapture(
      static_cast<cudaStream_t>(stream), cudaStreamCaptureModeThreadLocal));
  return absl::OkStatus();
}

absl::Status EndCapture(void* stream, void** executable, int64_t* nodes) {
  *executable = nullptr;
  cudaGraph_t graph = nullptr;
  LT2_CUDA_RETURN_IF_ERROR(
      cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &graph));
  size_t count = 0;
  cudaGraphExec_t instance = nullptr;
  cudaError_t error = cudaGraphGetNodes(graph, nullptr, &count);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&instance, graph, 0);
  cudaGraphDestroy(graph);
  LT2_CUDA_RETURN_IF_ERROR(error);
  *nodes = static_cast<int64_t>(count);
  *executable = instance;
  return absl::OkStatus();
}

absl::Status LaunchGraph(void* executable, void* stream) {
  LT2_CUDA_RETURN_IF_ERROR(
      cudaGraphLaunch(static_cast<cudaGraphExec_t>(executable),
                      static_cast<cudaStream_t>(stream)));
  return absl::OkStatus();
}

void DestroyGraph(void* executable) {
  cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(executable));
}

}  // namespace lt2::cuda
