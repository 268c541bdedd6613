// Times one operator of each kind: rows, dim.

#include "benchmark/benchmark.h"
#include "kernels/activation/activation.h"
#include "kernels/core/benchmarking.h"

namespace lt2::kernels {
namespace {

using benchmarking::Activations;
using benchmarking::Measure;
using benchmarking::Parameters;
using benchmarking::Work;

void AddForward(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  Measure(state, device, 3 * shape.numel(), [&](Context& ctx) -> Work {
    const AddArgs args = {Activations(ctx, shape), Activations(ctx, shape)};
    return [&ctx, args, y = Tensor()]() mutable { return Add(ctx, args, &y); };
  });
}

void SwiGluForward(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  Measure(state, device, 3 * shape.numel(), [&](Context& ctx) -> Work {
    const SwiGluArgs args = {Activations(ctx, shape), Activations(ctx, shape)};
    return
        [&ctx, args, y = Tensor()]() mutable { return SwiGlu(ctx, args, &y); };
  });
}

void SwiGluGradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  Measure(state, device, 5 * shape.numel(), [&](Context& ctx) -> Work {
    const SwiGluGradArgs args = {Activations(ctx, shape),
                                 Activations(ctx, shape),
                                 Activations(ctx, shape)};
    return [&ctx, args, results = SwiGluGradResults()]() mutable {
      return SwiGluGrad(ctx, args, &results);
    };
  });
}

void ScaledAddGradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  Measure(state, device, 3 * shape.numel(), [&](Context& ctx) -> Work {
    const ScaledAddGradArgs args = {Activations(ctx, shape),
                                    Parameters(ctx, {shape.dim(1)}),
                                    Activations(ctx, shape)};
    return [&ctx, args, results = ScaledAddGradResults()]() mutable {
      return ScaledAddGrad(ctx, args, &results);
    };
  });
}

// Rows, channels, heads: GDN has as many heads as channels, KDA fewer.
void DecayGateGradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  // On the GPU dg is f32, which counts as two bf16.
  const int64_t values = (device == Device::kCUDA ? 4 : 3) * shape.numel();
  Measure(state, device, values, [&](Context& ctx) -> Work {
    const DecayGateGradArgs args = {
        Activations(ctx, shape), Parameters(ctx, {state.range(2)}),
        Parameters(ctx, {shape.dim(1)}), Parameters(ctx, shape)};
    return [&ctx, args, results = DecayGateGradResults()]() mutable {
      return DecayGateGrad(ctx, args, &results);
    };
  });
}

// The log-sigmoid decay of GLA.
void SoftplusGradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  const int64_t values = (device == Device::kCUDA ? 4 : 3) * shape.numel();
  Measure(state, device, values, [&](Context& ctx) -> Work {
    const SoftplusGradArgs args = {
        LogSigmoidArgs(Activations(ctx, shape), Parameters(ctx, {shape.dim(1)}),
                       16),
        Parameters(ctx, shape)};
    return [&ctx, args, results = SoftplusGradResults()]() mutable {
      return SoftplusGrad(ctx, args, &results);
    };
  });
}

void SoftplusForward(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1)};
  const int64_t values = (device == Device::kCUDA ? 3 : 2) * shape.numel();
  Measure(state, device, values, [&](Context& ctx) -> Work {
    const SoftplusArgs args = LogSigmoidArgs(
        Activations(ctx, shape), Parameters(ctx, {shape.dim(1)}), 16);
    return [&ctx, args, y = Tensor()]() mutable {
      return Softplus(ctx, args, &y);
    };
  });
}

// Heads of 128 channels.
void ScaleRowsGradient(benchmark::State& state, Device device) {
  const Shape shape = {state.range(0), state.range(1) / 128, 128};
  Measure(state, device, 3 * shape.numel(), [&](Context& ctx) -> Work {
    const ScaleRowsGradArgs args = {
        Activations(ctx, shape), Parameters(ctx, {shape.dim(0), shape.dim(1)}),
        Activations(ctx, shape)};
    return [&ctx, args, results = ScaleRowsGradResults()]() mutable {
      return ScaleRowsGrad(ctx, args, &results);
    };
  });
}

void Cpu(benchmark::internal::Benchmark* b) {
  b->Args({4096, 768})->UseRealTime();
}
void Gpu(benchmark::internal::Benchmark* b) {
  b->Args({8, 5632})->Args({32768, 5632})->UseRealTime();
}

BENCHMARK_CAPTURE(AddForward, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(SwiGluForward, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(SwiGluGradient, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(ScaledAddGradient, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(DecayGateGradient, cpu, Device::kCPU)
    ->Args({4096, 4, 4})
    ->Args({4096, 768, 6})
    ->UseRealTime();
BENCHMARK_CAPTURE(SoftplusForward, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(SoftplusGradient, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(ScaleRowsGradient, cpu, Device::kCPU)->Apply(Cpu);
BENCHMARK_CAPTURE(AddForward, cuda, Device::kCUDA)->Apply(Gpu);
BENCHMARK_CAPTURE(SwiGluForward, cuda, Device::kCUDA)->Apply(Gpu);
BENCHMARK_CAPTURE(SwiGluGradient, cuda, Device::kCUDA)->Apply(Gpu);
BENCHMARK_CAPTURE(ScaledAddGradient, cuda, Device::kCUDA)
    ->Args({32768, 2048})
    ->UseRealTime();
BENCHMARK_CAPTURE(DecayGateGradient, cuda, Device::kCUDA)
    ->Args({32768, 16, 16})
    ->Args({32768, 2048, 16})
    ->UseRealTime();
BENCHMARK_CAPTURE(SoftplusForward, cuda, Device::kCUDA)
    ->Args({32768, 1024})
    ->UseRealTime();
BENCHMARK_CAPTURE(SoftplusGradient, cuda, Device::kCUDA)
    ->Args({32768, 1024})
    ->UseRealTime();
BENCHMARK_CAPTURE(ScaleRowsGradient, cuda, Device::kCUDA)
    ->Args({32768, 4096})
    ->UseRealTime();

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
