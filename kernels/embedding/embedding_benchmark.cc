// Time and bytes of embedding and of its gradient: tokens, vocab, dim.

#include "benchmark/benchmark.h"
#include "kernels/core/philox.h"
#include "kernels/embedding/embedding.h"

namespace lt2::kernels {
namespace {

void BM_Embedding(benchmark::State& state, Device device, DType dtype,
                  bool gradient) {
  auto created = Context::Create(device);
  if (!created.ok()) {
    state.SkipWithError(std::string(created.status().message()).c_str());
    return;
  }
  Context& ctx = **created;
  const int64_t n = state.range(0), vocab = state.range(1),
                dim = state.range(2);
  Philox rng(1, 0);
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  const Tensor id_tensor = *ctx.FromHost<int32_t>(ids, {n});
  Tensor table = *ctx.Zeros(dtype, {vocab, dim});
  Tensor out = *ctx.Zeros(dtype, {n, dim});
  Tensor dtable = *ctx.Zeros(DType::kF32, {vocab, dim});
  auto run = [&] {
    return gradient ? EmbeddingGrad(ctx, {id_tensor, out, vocab}, &dtable)
                    : Embedding(ctx, {id_tensor, table}, &out);
  };
  LT2_CHECK_OK(run());
  LT2_CHECK_OK(ctx.Synchronize());
  const int batch = ctx.is_cuda() ? 50 : 1;
  for (auto _ : state) {
    for (int i = 0; i < batch; ++i) LT2_CHECK_OK(run());
    LT2_CHECK_OK(ctx.Synchronize());
  }
  const int64_t bytes =
      gradient ? out.bytes() + dtable.bytes() : 2 * out.bytes();
  state.SetBytesProcessed(bytes * batch * state.iterations());
  state.counters["batch"] = batch;
}

void Sizes(benchmark::internal::Benchmark* b) {
  b->Args({16384, 256, 256})->Args({16384, 32000, 512})->UseRealTime();
}

BENCHMARK_CAPTURE(BM_Embedding, cpu_f32, Device::kCPU, DType::kF32, false)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Embedding, cpu_f32_gradient, Device::kCPU, DType::kF32,
                  true)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Embedding, cuda_bf16, Device::kCUDA, DType::kBF16, false)
    ->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Embedding, cuda_bf16_gradient, Device::kCUDA, DType::kBF16,
                  true)
    ->Apply(Sizes);

}  // namespace
}  // namespace lt2::kernels

BENCHMARK_MAIN();
