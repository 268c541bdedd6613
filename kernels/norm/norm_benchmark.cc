// Times the norms and their gradients: rows, dim.

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/norm/norm.h"

namespace lt2::kernels {
namespace {

using benchmarking::Activations;
using benchmarking::Measure;
using benchmarking::Parameters;
using benchmarking::Work;

void RmsForward(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 2 * rows * dim, [&](Context& ctx) -> Work {
    const RmsNormArgs args = {Activations(ctx, {rows, dim}),
                              Parameters(ctx, {dim})};
    return [&ctx, args, results = RmsNormResults()]() mutable {
      return RmsNorm(ctx, args, &results);
    };
  });
}

void RmsGradient(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 3 * rows * dim, [&](Context& ctx) -> Work {
    const RmsNormGradArgs args = {
        Activations(ctx, {rows, dim}), Parameters(ctx, {dim}),
        Parameters(ctx, {rows}), Activations(ctx, {rows, dim})};
    return [&ctx, args, results = RmsNormGradResults()]() mutable {
      return RmsNormGrad(ctx, args, &results);
    };
  });
}

void GatedForward(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 3 * rows * dim, [&](Context& ctx) -> Work {
    const GatedRmsNormArgs args = {Activations(ctx, {rows, dim}),
                                   Activations(ctx, {rows, dim}),
                                   Parameters(ctx, {dim})};
    return [&ctx, args, results = GatedRmsNormResults()]() mutable {
      return GatedRmsNorm(ctx, args, &results);
    };
  });
}

void GatedGradient(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 5 * rows * dim, [&](Context& ctx) -> Work {
    const GatedRmsNormGradArgs args = {
        Activations(ctx, {rows, dim}), Activations(ctx, {rows, dim}),
        Parameters(ctx, {dim}), Parameters(ctx, {rows}),
        Activations(ctx, {rows, dim})};
    return [&ctx, args, results = GatedRmsNormGradResults()]() mutable {
      return GatedRmsNormGrad(ctx, args, &results);
    };
  });
}

void L2Forward(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 2 * rows * dim, [&](Context& ctx) -> Work {
    const L2NormArgs args = {Activations(ctx, {rows, dim})};
    return [&ctx, args, results = L2NormResults()]() mutable {
      return L2Norm(ctx, args, &results);
    };
  });
}

void L2Gradient(benchmark::State& state, Device device) {
  const int64_t rows = state.range(0), dim = state.range(1);
  Measure(state, device, 3 * rows * dim, [&](Context& ctx) -> Work {
    const L2NormGradArgs args = {Activations(ctx, {rows, dim}),
                                 Parameters(ctx, {rows}),
                                 Activations(ctx, {rows, dim})};
    return [&ctx, args, dx = Tensor()]() mutable {
      return L2NormGrad(ctx, args, &dx);
    };
  });
}

// A training batch of a small model on the CPU; 32k tokens of the 1.3B model
// on the GPU, where norms of heads have 16 rows per token.
void CpuStream(benchmark::internal::Benchmark* b) {
  b->Args({4096, 256})->UseRealTime();
}
void CpuHeads(benchmark::internal::Benchmark* b) {
  b->Args({16384, 96})->UseRealTime();
}
void GpuStream(benchmark::internal::Benchmark* b) {
  b->Args({8, 2048})->Args({32768, 1024})->Args({32768, 2048})->UseRealTime();
}
void GpuHeads(benchmark::internal::Benchmark* b) {
  b->Args({128, 192})->Args({524288, 96})->Args({524288, 192})->UseRealTime();
}

BENCHMARK_CAPTURE(RmsForward, cpu, Device::kCPU)->Apply(CpuStream);
BENCHMARK_CAPTURE(RmsGradient, cpu, Device::kCPU)->Apply(CpuStream);
BENCHMARK_CAPTURE(GatedForward, cpu, Device::kCPU)->Apply(CpuHeads);
BENCHMARK_CAPTURE(GatedGradient, cpu, Device::kCPU)->Apply(CpuHeads);
BENCHMARK_CAPTURE(L2Forward, cpu, Device::kCPU)->Apply(CpuHeads);
BENCHMARK_CAPTURE(L2Gradient, cpu, Device::kCPU)->Apply(CpuHeads);
BENCHMARK_CAPTURE(RmsForward, cuda, Device::kCUDA)->Apply(GpuStream);
BENCHMARK_CAPTURE(RmsGradient, cuda, Device::kCUDA)->Apply(GpuStream);
BENCHMARK_CAPTURE(GatedForward, cuda, Device::kCUDA)->Apply(GpuHeads);
BENCHMARK_CAPTURE(GatedGradient, cuda, Device::kCUDA)->Apply(GpuHeads);
BENCHMARK_CAPTURE(L2Forward, cuda, Device::kCUDA)->Apply(GpuHeads);
BENCHMARK_CAPTURE(L2Gradient, cuda, Device::kCUDA)->Apply(GpuHeads);

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
