// Times the rotation: batch, seq, heads, dim.

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/rope/rope.h"

namespace lt2::kernels {
namespace {

void Rotate(benchmark::State& state, Device device, RopeLayout layout) {
  const Shape shape = {state.range(0), state.range(1), state.range(2),
                       state.range(3)};
  benchmarking::Measure(state, device, 2 * shape.numel(),
                        [&](Context& ctx) -> benchmarking::Work {
                          RopeArgs args;
                          args.x = benchmarking::Activations(ctx, shape);
                          args.layout = layout;
                          return [&ctx, args, y = Tensor()]() mutable {
                            return Rope(ctx, args, &y);
                          };
                        });
}

constexpr RopeLayout kInterleaved = RopeLayout::kInterleaved;
constexpr RopeLayout kHalfSplit = RopeLayout::kHalfSplit;

BENCHMARK_CAPTURE(Rotate, cpu_interleaved, Device::kCPU, kInterleaved)
    ->Args({16, 256, 4, 64})
    ->UseRealTime();
BENCHMARK_CAPTURE(Rotate, cpu_half_split, Device::kCPU, kHalfSplit)
    ->Args({16, 256, 4, 64})
    ->UseRealTime();
BENCHMARK_CAPTURE(Rotate, cuda_interleaved, Device::kCUDA, kInterleaved)
    ->Args({8, 1, 16, 128})
    ->Args({4, 8192, 16, 128})
    ->UseRealTime();
BENCHMARK_CAPTURE(Rotate, cuda_half_split, Device::kCUDA, kHalfSplit)
    ->Args({8, 1, 16, 128})
    ->Args({4, 8192, 16, 128})
    ->UseRealTime();

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
