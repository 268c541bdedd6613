// Time to draw a token for each row of a batch: batch, vocab.

#include "benchmark/benchmark.h"
#include "kernels/core/philox.h"
#include "kernels/sampling/sampling.h"

namespace lt2::kernels {
namespace {

void BM_Sample(benchmark::State& state, Device device, int top_k, float top_p) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  const int64_t rows = state.range(0), vocab = state.range(1);
  Philox rng(1, 0);
  std::vector<float> logits(rows * vocab);
  for (float& x : logits) x = 3 * rng.Normal();
  SamplingArgs args;
  args.logits = *ctx.FromHost<float>(logits, {rows, vocab});
  args.top_k = top_k;
  args.top_p = top_p;
  Tensor ids;
  LT2_CHECK_OK(Sample(ctx, args, &ids));
  const int batch = ctx.is_cuda() ? 20 : 1;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) LT2_CHECK_OK(Sample(ctx, args, &ids));
    LT2_CHECK_OK(ctx.Synchronize());
  }
  state.SetItemsProcessed(rows * batch * state.iterations());
  state.counters["batch"] = batch;
}

void Sizes(benchmark::internal::Benchmark* b) {
  b->Args({64, 256})->Args({8, 32000})->Args({1, 128000})->UseRealTime();
}

BENCHMARK_CAPTURE(BM_Sample, cpu_all, Device::kCPU, 0, 1.0f)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Sample, cpu_k50_p95, Device::kCPU, 50, 0.95f)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Sample, cuda_all, Device::kCUDA, 0, 1.0f)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Sample, cuda_k50_p95, Device::kCUDA, 50, 0.95f)
    ->Apply(Sizes);

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
