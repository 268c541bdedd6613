// Times the short convolution of width 4 with SiLU: batch, seq, channels.

#include "benchmark/benchmark.h"
#include "kernels/conv/short_conv.h"
#include "kernels/core/benchmarking.h"

namespace lt2::kernels {
namespace {

using benchmarking::Activations;
using benchmarking::Measure;
using benchmarking::Parameters;
using benchmarking::Work;

void Forward(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1), state.range(2)};
  Measure(state, device, 2 * shape.numel(), [&](Context& ctx) -> Work {
    const ShortConvArgs args = {Activations(ctx, shape),
                                Parameters(ctx, {shape.dim(2), 4})};
    return [&ctx, args, results = ShortConvResults()]() mutable {
      return ShortConv(ctx, args, &results);
    };
  });
}

// One token per sequence, the state updated in place.
void Step(benchmark::State& state, Device device) {
  const int64_t batch = state.range(0), channels = state.range(1);
  Measure(state, device, 8 * batch * channels, [&](Context& ctx) -> Work {
    ShortConvArgs args = {Activations(ctx, {batch, 1, channels}),
                          Parameters(ctx, {channels, 4}),
                          Activations(ctx, {batch, 3, channels})};
    ShortConvResults results = {Tensor(), args.initial_state};
    return [&ctx, args, results]() mutable {
      return ShortConv(ctx, args, &results);
    };
  });
}

void Gradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1), state.range(2)};
  Measure(state, device, 3 * shape.numel(), [&](Context& ctx) -> Work {
    const ShortConvGradArgs args = {Activations(ctx, shape),
                                    Parameters(ctx, {shape.dim(2), 4}),
                                    Tensor(), Activations(ctx, shape)};
    return [&ctx, args, results = ShortConvGradResults()]() mutable {
      return ShortConvGrad(ctx, args, &results);
    };
  });
}

void Cpu(benchmark::internal::Benchmark* b) {
  b->Args({16, 256, 384})->UseRealTime();
}
void Gpu(benchmark::internal::Benchmark* b) {
  b->Args({4, 8192, 1536})->Args({1, 32768, 3072})->UseRealTime();
}

BENCHMARK_CAPTURE(Forward, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(Gradient, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(Step, cpu, Device::kCPU)->Args({8, 384})->UseRealTime();
BENCHMARK_CAPTURE(Forward, cuda, Device::kCUDA)->Apply(Gpu);
BENCHMARK_CAPTURE(Gradient, cuda, Device::kCUDA)->Apply(Gpu);
BENCHMARK_CAPTURE(Step, cuda, Device::kCUDA)->Args({8, 3072})->UseRealTime();

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
