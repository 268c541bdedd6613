// Time and bytes of cross-entropy and of its gradient: rows, vocab.

#include "benchmark/benchmark.h"
#include "kernels/cross_entropy/cross_entropy.h"

namespace lt2::kernels {
namespace {

void BM_CrossEntropy(benchmark::State& state, Device device, DType out,
                     bool gradient) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  const int64_t n = state.range(0), vocab = state.range(1);
  const Tensor logits = *ctx.Zeros(DType::kF32, {n, vocab});
  const Tensor targets = *ctx.Zeros(DType::kI32, {n});
  CrossEntropyResults results;
  Tensor dlogits;
  auto run = [&] {
    return gradient
               ? CrossEntropyGrad(
                     ctx, {logits, targets, results.lse, results.count, out},
                     &dlogits)
               : CrossEntropy(ctx, {logits, targets}, &results);
  };
  LT2_CHECK_OK(CrossEntropy(ctx, {logits, targets}, &results));
  LT2_CHECK_OK(run());
  LT2_CHECK_OK(ctx.Synchronize());
  const int batch = ctx.is_cuda() ? 20 : 1;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) LT2_CHECK_OK(run());
    LT2_CHECK_OK(ctx.Synchronize());
  }
  const int64_t bytes = logits.bytes() + (gradient ? dlogits.bytes() : 0);
  state.SetBytesProcessed(bytes * batch * state.iterations());
  state.counters["batch"] = batch;
}

BENCHMARK_CAPTURE(BM_CrossEntropy, cpu, Device::kCPU, DType::kF32, false)
    ->Args({2048, 256})
    ->Args({256, 32000})
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_CrossEntropy, cpu_gradient, Device::kCPU, DType::kF32,
                  true)
    ->Args({2048, 256})
    ->Args({256, 32000})
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_CrossEntropy, cuda, Device::kCUDA, DType::kF32, false)
    ->Args({65536, 256})
    ->Args({16384, 32000})
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_CrossEntropy, cuda_gradient, Device::kCUDA, DType::kBF16,
                  true)
    ->Args({65536, 256})
    ->Args({16384, 32000})
    ->UseRealTime();

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
