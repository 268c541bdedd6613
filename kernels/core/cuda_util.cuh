// What every .cu file needs: error macros, launch checks, type conversions.

#ifndef LT2_KERNELS_CORE_CUDA_UTIL_CUH_
#define LT2_KERNELS_CORE_CUDA_UTIL_CUH_

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <mutex>

#include "kernels/core/context.h"

// Turns a CUDA error code into a Status with call text, file and line.
#define LT2_CUDA_RETURN_IF_ERROR(call)                               \
  do {                                                               \
    const cudaError_t lt2_error = (call);                            \
    if (lt2_error != cudaSuccess) {                                  \
      return ::absl::InternalError(                                  \
          ::absl::StrCat(__FILE__, ":", __LINE__, ": ", #call, ": ", \
                         cudaGetErrorString(lt2_error)));            \
    }                                                                \
  } while (false)

// After a kernel launch: returns its error, naming the kernel.
#define LT2_RETURN_LAUNCH_ERROR(kernel_name)                                \
  do {                                                                      \
    const cudaError_t lt2_error = cudaGetLastError();                       \
    if (lt2_error != cudaSuccess) {                                         \
      return ::absl::InternalError(::absl::StrCat(                          \
          "launch of ", kernel_name, ": ", cudaGetErrorString(lt2_error))); \
    }                                                                       \
  } while (false)

namespace lt2::cuda {

inline cudaStream_t StreamOf(const Context& ctx) {
  return static_cast<cudaStream_t>(ctx.stream());
}

// Device view of a tensor's elements: float stays, BFloat16 becomes CUDA's.
template <typename T>
struct DeviceType {
  using type = T;
};
template <>
struct DeviceType<BFloat16> {
  using type = __nv_bfloat16;
};
template <typename T>
typename DeviceType<T>::type* Data(const Tensor& t) {
  if (!t.defined()) return nullptr;
  return reinterpret_cast<typename DeviceType<T>::type*>(t.data<T>());
}

__device__ __forceinline__ float AsFloat(float x) { return x; }
__device__ __forceinline__ float AsFloat(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
template <typename T>
__device__ __forceinline__ T FromFloat(float x);
template <>
__device__ __forceinline__ float FromFloat<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ __nv_bfloat16 FromFloat<__nv_bfloat16>(float x) {
  return __float2bfloat16(x);
}

// Sum over the 32 lanes of a warp, in a fixed order; every lane gets it.
__device__ __forceinline__ float WarpSum(float x) {
  for (int offset = 16; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, offset);
  }
  return x;
}
__device__ __forceinline__ float WarpMax(float x) {
  for (int offset = 16; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  }
  return x;
}

// Sum over a block of at most 1024 threads, in a fixed order; every thread
// gets it. `scratch` is 32 floats of shared memory; may be reused after the
// next __syncthreads.
__device__ __forceinline__ float BlockSum(float x, float* scratch) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int warps = (blockDim.x + 31) / 32;
  x = WarpSum(x);
  __syncthreads();
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  x = lane < warps ? scratch[lane] : 0.0f;
  return WarpSum(x);
}

// Lets a kernel have `bytes` of dynamic shared memory. The limit is the
// kernel's, not the launch's, so it is only ever raised: another thread may be
// about to launch it with more.
template <typename Kernel>
absl::Status AllowShared(Kernel* kernel, int bytes) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  cudaFuncAttributes now;
  LT2_CUDA_RETURN_IF_ERROR(cudaFuncGetAttributes(&now, kernel));
  if (now.maxDynamicSharedSizeBytes >= bytes) return absl::OkStatus();
  LT2_CUDA_RETURN_IF_ERROR(cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
  return absl::OkStatus();
}

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Calls `fn` with a value of the element type of a floating-point dtype:
//   LT2_RETURN_IF_ERROR(VisitFloat(x.dtype(), [&](auto zero) {
//     using T = decltype(zero);   // float or BFloat16
//     ...
//   }));
template <typename F>
absl::Status VisitFloat(DType dtype, F&& fn) {
  switch (dtype) {
    case DType::kF32:
      return fn(float{});
    case DType::kBF16:
      return fn(BFloat16{});
    default:
      return InvalidArgument("expected f32 or bf16, got ", Name(dtype));
  }
}

}  // namespace lt2::cuda

#endif  // LT2_KERNELS_CORE_CUDA_UTIL_CUH_
