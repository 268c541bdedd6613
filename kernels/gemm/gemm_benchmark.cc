// Time and FLOP/s of products as a transformer block has them: rows x in x out.

#include "benchmark/benchmark.h"
#include "kernels/gemm/gemm.h"

namespace lt2::kernels {
namespace {

// The three products of a linear layer.
enum Product { kForward, kInputGradient, kWeightGradient };

void BM_Gemm(benchmark::State& state, Device device, DType dtype,
             Product product) {
  auto ctx = Context::Create(device);
  if (!ctx.ok()) {
    state.SkipWithError(std::string(ctx.status().message()).c_str());
    return;
  }
  Context& c = **ctx;
  const int64_t rows = state.range(0), in = state.range(1),
                out = state.range(2);
  Tensor x = *c.Zeros(dtype, {rows, in});
  Tensor w = *c.Zeros(dtype, {out, in});
  Tensor y = *c.Zeros(dtype, {rows, out});
  Tensor dw = *c.Zeros(DType::kF32, {out, in});
  auto run = [&] {
    switch (product) {
      case kForward:
        return Gemm(c, {x, w, false, true}, &y);
      case kInputGradient:
        return Gemm(c, {y, w}, &x);
      case kWeightGradient:
        return Gemm(c, {y, x, true, false, true}, &dw);
    }
    return absl::OkStatus();
  };
  LT2_CHECK_OK(run());
  LT2_CHECK_OK(c.Synchronize());
  // Launches are enqueued in batches so that the wait does not count.
  const int batch = c.is_cuda() ? 50 : 1;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) LT2_CHECK_OK(run());
    LT2_CHECK_OK(c.Synchronize());
  }
  state.counters["FLOP/s"] =
      benchmark::Counter(2.0 * rows * in * out * batch * state.iterations(),
                         benchmark::Counter::kIsRate);
  state.counters["batch"] = batch;
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
