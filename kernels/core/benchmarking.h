// What benchmarks of operators share.
//
// On the CPU activations are f32, on the GPU bf16. GPU times are wall-clock
// times of batches of launches between two synchronisations. Memory-bound
// operators report bytes per second: what must be read and written, each value
// once.

#ifndef LT2_KERNELS_CORE_BENCHMARKING_H_
#define LT2_KERNELS_CORE_BENCHMARKING_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/core/context.h"

namespace lt2::benchmarking {

inline DType ActivationType(const Context& ctx) {
  return ctx.is_cuda() ? DType::kBF16 : DType::kF32;
}

// A context that must exist.
inline std::unique_ptr<Context> MakeContext(Device device) {
  auto ctx = Context::Create(device);
  LT2_CHECK(ctx.ok(), ctx.status().ToString());
  return *std::move(ctx);
}

// Evenly spaced values of [low, high) in a scrambled order that repeats after
// 1024: timing all zeros flatters some hardware.
inline Tensor Fill(Context& ctx, DType dtype, const Shape& shape,
                   float low = -1, float high = 1) {
  constexpr int64_t kPeriod = 1024;
  Tensor t = *ctx.Empty(dtype, shape);
  const auto fill = [&](auto convert) {
    std::vector<decltype(convert(low))> values(shape.numel());
    const int64_t first = std::min(kPeriod, shape.numel());
    for (int64_t i = 0; i < first; ++i) {
      const float unit =
          static_cast<float>(i * 2654435761u % kPeriod) / kPeriod;
      values[i] = convert(low + (high - low) * unit);
    }
    for (int64_t i = kPeriod; i < shape.numel(); i += kPeriod) {
      std::copy_n(values.begin(), std::min(kPeriod, shape.numel() - i),
                  values.begin() + i);
    }
    LT2_CHECK_OK(ctx.CopyFromHost(values.data(), &t));
  };
  if (dtype == DType::kBF16) {
    fill([](float x) { return ToBFloat16(x); });
  } else {
    fill([](float x) { return x; });
  }
  return t;
}
inline Tensor Activations(Context& ctx, const Shape& shape) {
  return Fill(ctx, ActivationType(ctx), shape);
}
inline Tensor Parameters(Context& ctx, const Shape& shape) {
  return Fill(ctx, DType::kF32, shape);
}

using Work = std::function<absl::Status()>;

// Times `work`, which launches on `ctx`, in batches of `gpu_batch` on a GPU, so
// that a synchronisation costs little.
inline void Measure(benchmark::State& state, Context& ctx, const Work& work,
                    int64_t gpu_batch = 10) {
  LT2_CHECK_OK(work());
  LT2_CHECK_OK(ctx.Synchronize());
  const int64_t batch = ctx.is_cuda() ? gpu_batch : 1;
  while (state.KeepRunningBatch(batch)) {
    for (int64_t i = 0; i < batch; ++i) LT2_CHECK_OK(work());
    LT2_CHECK_OK(ctx.Synchronize());
  }
}

// Reports `amount` of something per call as a rate.
inline void SetRate(benchmark::State& state, const char* name, double amount) {
  state.counters[name] =
      benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}

// Times what `setup` returns. `values` is how many activations one call must
// read and write.
inline void Measure(benchmark::State& state, Device device, int64_t values,
                    const std::function<Work(Context&)>& setup) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  Measure(state, ctx, setup(ctx), /*gpu_batch=*/20);
  const int64_t bytes =
      values * static_cast<int64_t>(ByteSize(ActivationType(ctx)));
  state.SetBytesProcessed(bytes * state.iterations());
}

}  // namespace lt2::benchmarking

#endif  // LT2_KERNELS_CORE_BENCHMARKING_H_
