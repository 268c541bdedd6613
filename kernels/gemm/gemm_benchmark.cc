// Time and FLOP/s of products as a transformer block has them: rows x in x out.

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/gemm/gemm.h"

namespace lt2::kernels {
namespace {

// The three products of a linear layer.
enum Product { kForward, kInputGradient, kWeightGradient };

void BM_Gemm(benchmark::State& state, Device device, DType dtype,
             Product product) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  const int64_t rows = state.range(0), in = state.range(1),
                out = state.range(2);
  Tensor x = benchmarking::Fill(ctx, dtype, {rows, in});
  const Tensor w = benchmarking::Fill(ctx, dtype, {out, in});
  Tensor y = benchmarking::Fill(ctx, dtype, {rows, out});
  Tensor dx = benchmarking::Fill(ctx, dtype, {rows, in});
  const Tensor dy = benchmarking::Fill(ctx, dtype, {rows, out});
  Tensor dw = benchmarking::Fill(ctx, DType::kF32, {out, in});
  const auto run = [&] {
    switch (product) {
      case kForward:
        return Gemm(ctx, {x, w, false, true}, &y);
      case kInputGradient:
        return Gemm(ctx, {dy, w}, &dx);
      case kWeightGradient:
        return Gemm(ctx, {dy, x, true, false, /*accumulate=*/true}, &dw);
    }
    return absl::OkStatus();
  };
  benchmarking::Measure(state, ctx, run, /*gpu_batch=*/50);
  benchmarking::SetRate(state, "FLOP/s", 2.0 * rows * in * out);
}

void Sizes(benchmark::internal::Benchmark* b) {
  b->Args({2048, 256, 256})->Args({2048, 256, 1024})->UseRealTime();
}
void GpuSizes(benchmark::internal::Benchmark* b) {
  b->Args({1, 2048, 2048})
      ->Args({8192, 256, 1024})
      ->Args({8192, 2048, 2048})
      ->Args({16384, 2048, 8192})
      ->UseRealTime();
}

BENCHMARK_CAPTURE(BM_Gemm, cpu_f32_forward, Device::kCPU, DType::kF32, kForward)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Gemm, cpu_f32_weight_gradient, Device::kCPU, DType::kF32,
                  kWeightGradient)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Gemm, cuda_bf16_forward, Device::kCUDA, DType::kBF16,
                  kForward)
    ->Apply(GpuSizes);
BENCHMARK_CAPTURE(BM_Gemm, cuda_bf16_input_gradient, Device::kCUDA,
                  DType::kBF16, kInputGradient)
    ->Apply(GpuSizes);
BENCHMARK_CAPTURE(BM_Gemm, cuda_bf16_weight_gradient, Device::kCUDA,
                  DType::kBF16, kWeightGradient)
    ->Apply(GpuSizes);
BENCHMARK_CAPTURE(BM_Gemm, cuda_f32_forward, Device::kCUDA, DType::kF32,
                  kForward)
    ->Apply(GpuSizes);

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
