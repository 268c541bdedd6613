// What benchmarks of memory-bound operators share.
//
// On the CPU activations are f32, on the GPU bf16. GPU times are wall-clock
// times of batches of launches between two synchronisations. Reports bytes per
// second: what the operator must read and write, each value once.

#ifndef LT2_KERNELS_CORE_BENCHMARKING_H_
#define LT2_KERNELS_CORE_BENCHMARKING_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/core/context.h"

namespace lt2::benchmarking {

inline DType ActivationType(const Context& ctx) {
  return ctx.is_cuda() ? DType::kBF16 : DType::kF32;
}

// Values in [-1, 1) of both signs: timing all zeros flatters some hardware.
inline Tensor Fill(Context& ctx, DType dtype, const Shape& shape) {
  Tensor t = *ctx.Empty(dtype, shape);
  std::vector<float> f32(shape.numel());
  std::vector<BFloat16> bf16(shape.numel());
  for (int64_t i = 0; i < shape.numel(); ++i) {
    f32[i] = static_cast<float>(i * 2654435761u % 1024) / 512 - 1;
    bf16[i] = ToBFloat16(f32[i]);
  }
  LT2_CHECK_OK(dtype == DType::kBF16 ? ctx.CopyFromHost(bf16.data(), &t)
                                     : ctx.CopyFromHost(f32.data(), &t));
  return t;
}
inline Tensor Activations(Context& ctx, const Shape& shape) {
  return Fill(ctx, ActivationType(ctx), shape);
}
inline Tensor Parameters(Context& ctx, const Shape& shape) {
  return Fill(ctx, DType::kF32, shape);
}

// Times what `setup` returns. `values` is how many activations one call must
// read and write.
using Work = std::function<absl::Status()>;
inline void Measure(benchmark::State& state, Device device, int64_t values,
                    const std::function<Work(Context&)>& setup) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  const Work work = setup(ctx);
  LT2_CHECK_OK(work());
  LT2_CHECK_OK(ctx.Synchronize());
  const int64_t batch = ctx.is_cuda() ? 20 : 1;
  while (state.KeepRunningBatch(batch)) {
    for (int64_t i = 0; i < batch; ++i) LT2_CHECK_OK(work());
    LT2_CHECK_OK(ctx.Synchronize());
  }
  const int64_t bytes =
      values * static_cast<int64_t>(ByteSize(ActivationType(ctx)));
  state.SetBytesProcessed(bytes * state.iterations());
}

}  // namespace lt2::benchmarking

#endif  // LT2_KERNELS_CORE_BENCHMARKING_H_
