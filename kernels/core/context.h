// Context: one device, its memory, its stream and its threads. Every operator
// takes one, allocates its results from it, and runs in its order.
//
//   LT2_ASSIGN_OR_RETURN(auto ctx, Context::Create(Device::kCUDA));
//   LT2_ASSIGN_OR_RETURN(Tensor x, ctx->FromHost<float>(values, {4, 8}));
//   LT2_RETURN_IF_ERROR(Silu(*ctx, {x}, &y));
//   LT2_ASSIGN_OR_RETURN(std::vector<float> host, ctx->ToHost<float>(y));
//
// On a GPU operators are asynchronous: they enqueue on stream() and return.
// Errors of a launch are returned at once, errors of the execution by the next
// Synchronize or copy to the host.
//
// Not thread-safe: one thread uses a Context at a time. Several Contexts may be
// used at once.

#ifndef LT2_KERNELS_CORE_CONTEXT_H_
#define LT2_KERNELS_CORE_CONTEXT_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/tensor.h"

namespace lt2 {

struct ContextOptions {
  // CPU threads for operators. Results do not depend on it.
  int threads = 1;
  // Fill every allocation with NaN (all bytes 0xFF): tests find unwritten
  // outputs with it.
  bool poison = false;
  // Most bytes to hold from the device.
  int64_t memory_limit = std::numeric_limits<int64_t>::max();
};

// What the machine says of a device.
struct DeviceInfo {
  std::string name;  // "NVIDIA H200", or the processor's model
  int64_t memory_bytes = 0;
  int multiprocessors = 0;  // CUDA; on the CPU, hardware threads
};

class Context {
 public:
  // Fails with FailedPrecondition and a remedy when this build or machine has
  // no such device.
  static absl::StatusOr<std::unique_ptr<Context>> Create(
      Device device, const ContextOptions& options = {});
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Device device() const { return device_; }
  bool is_cuda() const { return device_ == Device::kCUDA; }
  const DeviceInfo& info() const { return info_; }
  const ContextOptions& options() const { return options_; }
  Arena& arena() { return arena_; }

  // New tensors on this device.
  absl::StatusOr<Tensor> Empty(DType dtype, const Shape& shape);
  absl::StatusOr<Tensor> Zeros(DType dtype, const Shape& shape);
  template <typename T>
  absl::StatusOr<Tensor> FromHost(absl::Span<const T> values,
                                  const Shape& shape) {
    LT2_CHECK(static_cast<int64_t>(values.size()) == shape.numel());
    LT2_ASSIGN_OR_RETURN(Tensor t, Empty(DTypeOf<T>::value, shape));
    LT2_RETURN_IF_ERROR(CopyFromHost(values.data(), &t));
    return t;
  }

  // If `out` is undefined allocates it; else checks type and shape. How
  // operators prepare their results.
  absl::Status Prepare(absl::string_view what, DType dtype, const Shape& shape,
                       Tensor* out);

  // Bytes to and from this device. Both wait for the copy to finish.
  absl::Status CopyFromHost(const void* source, Tensor* destination);
  absl::Status CopyToHost(const Tensor& source, void* destination);
  template <typename T>
  absl::StatusOr<std::vector<T>> ToHost(const Tensor& source) {
    LT2_CHECK(DTypeOf<T>::value == source.dtype());
    std::vector<T> values(source.numel());
    LT2_RETURN_IF_ERROR(CopyToHost(source, values.data()));
    return values;
  }
  // Same device, type and size; asynchronous on a GPU.
  absl::Status Copy(const Tensor& source, Tensor* destination);
  absl::Status Zero(Tensor* destination);

  // Waits for all work and returns its first error.
  absl::Status Synchronize();

  // Runs body(begin, end) over a partition of [0, n) on this Context's
  // threads. The body's writes must not depend on the partition.
  void ParallelFor(int64_t n, int64_t grain,
                   const std::function<void(int64_t, int64_t)>& body);

  // Operators with matrix products, attention or recurrences add what they do
  // here (a multiply-add counts as two), which checks the accounting formulas.
  void CountFlops(int64_t n) { flops_ += n; }
  int64_t flops() const { return flops_; }

  // The CUDA stream (a cudaStream_t) and cuBLASLt handle; null on the CPU.
  void* stream() const { return stream_; }
  void* cublas() const { return cublas_; }

 private:
  class ThreadPool;
  Context(Device device, const ContextOptions& options, ArenaBackend backend);

  const Device device_;
  const ContextOptions options_;
  DeviceInfo info_;
  Arena arena_;
  std::unique_ptr<ThreadPool> pool_;
  void* stream_ = nullptr;
  void* cublas_ = nullptr;
  int64_t flops_ = 0;
};

// A captured sequence of GPU work that is launched again as one.
//
//   LT2_ASSIGN_OR_RETURN(auto graph, CudaGraph::Capture(ctx, [&] {...}));
//   LT2_RETURN_IF_ERROR(graph->Launch());
//
// The work must have run once before (so that the arena holds its memory), must
// not synchronise or copy to the host, and keeps using the same addresses:
// tensors it reads and writes must stay alive.
class CudaGraph {
 public:
  static absl::StatusOr<std::unique_ptr<CudaGraph>> Capture(
      Context& ctx, const std::function<absl::Status()>& work);
  ~CudaGraph();
  absl::Status Launch();
  int64_t nodes() const { return nodes_; }

 private:
  explicit CudaGraph(Context& ctx) : ctx_(ctx) {}
  Context& ctx_;
  void* executable_ = nullptr;
  int64_t nodes_ = 0;
};

// True if this build has CUDA and this machine a usable device.
bool CudaAvailable();

}  // namespace lt2

// Calls the CPU or the CUDA form of an operator; a build without CUDA has no
// CUDA form, and Context::Create has said so before anyone gets here.
#if LT2_HAVE_CUDA
#define LT2_DISPATCH(ctx, cpu_call, cuda_call) \
  return (ctx).is_cuda() ? (cuda_call) : (cpu_call)
#else
#define LT2_DISPATCH(ctx, cpu_call, cuda_call) return (cpu_call)
#endif

#endif  // LT2_KERNELS_CORE_CONTEXT_H_
