#include "kernels/core/context.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#if LT2_HAVE_CUDA
#include "kernels/core/cuda_backend.h"
#endif

namespace lt2 {
namespace {

ArenaBackend HostBackend() {
  ArenaBackend backend;
  backend.allocate = [](size_t bytes) { return std::aligned_alloc(64, bytes); };
  backend.release = [](void* data) { std::free(data); };
  return backend;
}

DeviceInfo HostInfo() {
  DeviceInfo info;
  info.multiprocessors = static_cast<int>(std::thread::hardware_concurrency());
  info.name = "CPU";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (absl::StartsWith(line, "model name")) {
      info.name = line.substr(line.find(':') + 2);
      break;
    }
  }
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t kib = 0;
  if (meminfo >> key >> kib) info.memory_bytes = kib * 1024;
  return info;
}

}  // namespace

// Threads that wait for pieces of one ParallelFor at a time.
class Context::ThreadPool {
 public:
  explicit ThreadPool(int helpers) {
    for (int i = 0; i < helpers; ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }

  ~ThreadPool() {
    {
      absl::MutexLock lock(&mutex_);
      stop_ = true;
    }
    for (std::thread& t : threads_) t.join();
  }

  void Run(int64_t n, int64_t piece,
           const std::function<void(int64_t, int64_t)>& body) {
    {
      absl::MutexLock lock(&mutex_);
      body_ = &body;
      n_ = n;
      piece_ = piece;
      next_ = 0;
    }
    while (RunPiece()) {
    }
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](ThreadPool* p) { return p->running_ == 0; }, this));
    body_ = nullptr;
  }

 private:
  bool HasWork() const { return body_ != nullptr && next_ < n_; }

  bool RunPiece() {
    int64_t begin, end;
    const std::function<void(int64_t, int64_t)>* body;
    {
      absl::MutexLock lock(&mutex_);
      if (!HasWork()) return false;
      begin = next_;
      end = std::min(n_, begin + piece_);
      next_ = end;
      body = body_;
      ++running_;
    }
    (*body)(begin, end);
    absl::MutexLock lock(&mutex_);
    --running_;
    return true;
  }

  void Work() {
    while (true) {
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(
            +[](ThreadPool* p) { return p->stop_ || p->HasWork(); }, this));
        if (stop_) return;
      }
      RunPiece();
    }
  }

  absl::Mutex mutex_;
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t n_ = 0, piece_ = 0, next_ = 0;
  int running_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

Context::Context(Device device, const ContextOptions& options,
                 ArenaBackend backend)
    : device_(device),
      options_(options),
      arena_(std::move(backend), device, options.memory_limit) {
  if (options.threads > 1) {
    pool_ = std::make_unique<ThreadPool>(options.threads - 1);
  }
}

Context::~Context() {
#if LT2_HAVE_CUDA
  if (cublas_ != nullptr) cuda::DestroyCublas(cublas_);
  if (stream_ != nullptr) {
    cuda::Synchronize(stream_).IgnoreError();
    cuda::DestroyStream(stream_);
  }
#endif
}

absl::StatusOr<std::unique_ptr<Context>> Context::Create(
    Device device, const ContextOptions& options) {
  if (options.threads < 1) {
    return InvalidArgument("threads is ", options.threads, ", must be >= 1");
  }
  if (device == Device::kCPU) {
    auto ctx =
        std::unique_ptr<Context>(new Context(device, options, HostBackend()));
    ctx->info_ = HostInfo();
    return ctx;
  }
#if LT2_HAVE_CUDA
  if (!cuda::Available()) {
    return absl::FailedPreconditionError(
        "no usable CUDA device: install an NVIDIA driver for CUDA 13 "
        "(580 or later) on a machine with a GPU, or use --device=cpu");
  }
  auto ctx =
      std::unique_ptr<Context>(new Context(device, options, cuda::Backend()));
  LT2_ASSIGN_OR_RETURN(ctx->info_, cuda::Info());
  LT2_ASSIGN_OR_RETURN(ctx->stream_, cuda::CreateStream());
  LT2_ASSIGN_OR_RETURN(ctx->cublas_, cuda::CreateCublas());
  return ctx;
#else
  return absl::FailedPreconditionError(
      "this build has no CUDA: install the CUDA 13 toolkit (CUDA_PATH or "
      "/usr/local/cuda) and build again, or use --device=cpu");
#endif
}

absl::StatusOr<Tensor> Context::Empty(DType dtype, const Shape& shape) {
  const int64_t bytes = shape.numel() * static_cast<int64_t>(ByteSize(dtype));
  LT2_ASSIGN_OR_RETURN(std::shared_ptr<Buffer> buffer, arena_.Allocate(bytes));
  Tensor t(std::move(buffer), device_, dtype, shape);
  if (options_.poison && bytes > 0) {
#if LT2_HAVE_CUDA
    if (is_cuda()) {
      LT2_RETURN_IF_ERROR(cuda::Fill(t.raw(), 0xFF, bytes, stream_));
      return t;
    }
#endif
    std::memset(t.raw(), 0xFF, bytes);
  }
  return t;
}

absl::StatusOr<Tensor> Context::Zeros(DType dtype, const Shape& shape) {
  LT2_ASSIGN_OR_RETURN(Tensor t, Empty(dtype, shape));
  LT2_RETURN_IF_ERROR(Zero(&t));
  return t;
}

absl::Status Context::Prepare(absl::string_view what, DType dtype,
                              const Shape& shape, Tensor* out) {
  if (out->defined()) return ExpectTensor(what, *out, device_, dtype, shape);
  LT2_ASSIGN_OR_RETURN(*out, Empty(dtype, shape));
  return absl::OkStatus();
}

absl::Status Context::CopyFromHost(const void* source, Tensor* destination) {
  if (destination->bytes() == 0) return absl::OkStatus();
#if LT2_HAVE_CUDA
  if (is_cuda()) {
    return cuda::CopyHostToDevice(destination->raw(), source,
                                  destination->bytes(), stream_);
  }
#endif
  std::memcpy(destination->raw(), source, destination->bytes());
  return absl::OkStatus();
}

absl::Status Context::CopyToHost(const Tensor& source, void* destination) {
  if (source.bytes() == 0) return absl::OkStatus();
#if LT2_HAVE_CUDA
  if (is_cuda()) {
    return cuda::CopyDeviceToHost(destination, source.raw(), source.bytes(),
                                  stream_);
  }
#endif
  std::memcpy(destination, source.raw(), source.bytes());
  return absl::OkStatus();
}

absl::Status Context::Copy(const Tensor& source, Tensor* destination) {
  LT2_CHECK(source.dtype() == destination->dtype() &&
                source.numel() == destination->numel(),
            source.ToString(), " to ", destination->ToString());
  if (source.bytes() == 0) return absl::OkStatus();
#if LT2_HAVE_CUDA
  if (is_cuda()) {
    return cuda::CopyDeviceToDevice(destination->raw(), source.raw(),
                                    source.bytes(), stream_);
  }
#endif
  std::memmove(destination->raw(), source.raw(), source.bytes());
  return absl::OkStatus();
}

absl::Status Context::Zero(Tensor* destination) {
  if (destination->bytes() == 0) return absl::OkStatus();
#if LT2_HAVE_CUDA
  if (is_cuda()) {
    return cuda::Fill(destination->raw(), 0, destination->bytes(), stream_);
  }
#endif
  std::memset(destination->raw(), 0, destination->bytes());
  return absl::OkStatus();
}

absl::Status Context::Synchronize() {
#if LT2_HAVE_CUDA
  if (is_cuda()) return cuda::Synchronize(stream_);
#endif
  return absl::OkStatus();
}

void Context::ParallelFor(int64_t n, int64_t grain,
                          const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  if (pool_ == nullptr || n <= grain) {
    body(0, n);
    return;
  }
  const int64_t share = (n + options_.threads - 1) / options_.threads;
  pool_->Run(n, std::max(grain, share), body);
}

absl::StatusOr<std::unique_ptr<CudaGraph>> CudaGraph::Capture(
    Context& ctx, const std::function<absl::Status()>& work) {
#if LT2_HAVE_CUDA
  LT2_CHECK(ctx.is_cuda(), "CUDA graphs need a CUDA context");
  auto graph = std::unique_ptr<CudaGraph>(new CudaGraph(ctx));
  LT2_RETURN_IF_ERROR(cuda::BeginCapture(ctx.stream()));
  const absl::Status status = work();
  const absl::Status ended =
      cuda::EndCapture(ctx.stream(), &graph->executable_, &graph->nodes_);
  LT2_RETURN_IF_ERROR(status);
  LT2_RETURN_IF_ERROR(ended);
  return graph;
#else
  static_cast<void>(ctx);
  static_cast<void>(work);
  return absl::FailedPreconditionError("this build has no CUDA");
#endif
}

CudaGraph::~CudaGraph() {
#if LT2_HAVE_CUDA
  if (executable_ != nullptr) cuda::DestroyGraph(executable_);
#endif
}

absl::Status CudaGraph::Launch() {
#if LT2_HAVE_CUDA
  return cuda::LaunchGraph(executable_, ctx_.stream());
#else
  return absl::FailedPreconditionError("this build has no CUDA");
#endif
}

bool CudaAvailable() {
#if LT2_HAVE_CUDA
  return cuda::Available();
#else
  return false;
#endif
}

}  // namespace lt2
