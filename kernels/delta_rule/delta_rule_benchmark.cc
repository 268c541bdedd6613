// Times the delta rule on the CPU and, where there is one, on the GPU.
//
//   bazel run -c opt //kernels/delta_rule:delta_rule_benchmark
//
// Counters: tokens/s, and FLOP/s by the dense count of delta_rule.h with chunks
// of 64 on every device (the gradient counts 3 times the forward). For one step
// FLOP/s gives way to bytes of state per second. GPU times are of batches of
// launches between two synchronisations.

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/delta_rule/delta_rule.h"

namespace lt2::kernels {
namespace {

struct Size {
  int64_t batch, seq, heads, d_k, d_v;
};

std::unique_ptr<Context> MakeContext(bool cuda) {
  auto ctx = Context::Create(cuda ? Device::kCUDA : Device::kCPU);
  LT2_CHECK(ctx.ok(), ctx.status().ToString());
  return *std::move(ctx);
}

// Evenly spaced values of [low, high) in a scrambled order.
Tensor Fill(Context& ctx, DType dtype, const Shape& shape, float low,
            float high) {
  Tensor t = *ctx.Empty(dtype, shape);
  std::vector<float> f32(shape.numel());
  std::vector<BFloat16> bf16(shape.numel());
  for (int64_t i = 0; i < shape.numel(); ++i) {
    const float unit = static_cast<float>(i * 2654435761u % 1024) / 1024;
    f32[i] = low + (high - low) * unit;
    bf16[i] = ToBFloat16(f32[i]);
  }
  LT2_CHECK_OK(dtype == DType::kBF16 ? ctx.CopyFromHost(bf16.data(), &t)
                                     : ctx.CopyFromHost(f32.data(), &t));
  return t;
}

DeltaRuleArgs MakeArgs(Context& ctx, const Size& z) {
  const DType act = ctx.is_cuda() ? DType::kBF16 : DType::kF32;
  // Keys of norm about 1.
  const float bound = std::sqrt(3.0f / static_cast<float>(z.d_k));
  DeltaRuleArgs args;
  args.q = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k}, -bound, bound);
  args.k = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k}, -bound, bound);
  args.v = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_v}, -1, 1);
  args.beta = Fill(ctx, DType::kF32, {z.batch, z.seq, z.heads}, 0, 1);
  args.g = Fill(ctx, DType::kF32, {z.batch, z.seq, z.heads}, -0.1f, 0);
  args.scale = 1 / std::sqrt(static_cast<float>(z.d_k));
  return args;
}

double Flops(const Size& z) {
  const double c = 64, k = static_cast<double>(z.d_k);
  const double v = static_cast<double>(z.d_v);
  const double per_chunk =
      6 * c * c * k + 4 * c * c * v + 6 * c * k * v + c * c * c / 3;
  return per_chunk / c * static_cast<double>(z.batch * z.seq * z.heads);
}

// Runs `work` in batches, so that a synchronisation costs little.
void Measure(benchmark::State& state, Context& ctx, const Size& z,
             const std::function<absl::Status()>& work) {
  LT2_CHECK_OK(work());
  LT2_CHECK_OK(ctx.Synchronize());
  const int64_t batch = ctx.is_cuda() ? 10 : 1;
  while (state.KeepRunningBatch(batch)) {
    for (int64_t i = 0; i < batch; ++i) LT2_CHECK_OK(work());
    LT2_CHECK_OK(ctx.Synchronize());
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(z.batch * z.seq),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void SetRate(benchmark::State& state, const char* name, double amount) {
  state.counters[name] =
      benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate);
}

void Forward(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda);
  const DeltaRuleArgs args = MakeArgs(*ctx, z);
  DeltaRuleResults results;
  Measure(state, *ctx, z, [&] { return DeltaRule(*ctx, args, &results); });
  SetRate(state, "FLOP/s", Flops(z));
}

void Gradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda);
  DeltaRuleGradArgs args;
  args.forward = MakeArgs(*ctx, z);
  args.dout = Fill(*ctx, args.forward.v.dtype(), args.forward.v.shape(), -1, 1);
  DeltaRuleGradResults grads;
  Measure(state, *ctx, z, [&] { return DeltaRuleGrad(*ctx, args, &grads); });
  SetRate(state, "FLOP/s", 3 * Flops(z));
}

void Step(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda);
  DeltaRuleArgs args = MakeArgs(*ctx, z);
  args.initial_state =
      Fill(*ctx, DType::kF32, {z.batch, z.heads, z.d_k, z.d_v}, -1, 1);
  DeltaRuleResults results;
  results.final_state = args.initial_state;
  Measure(state, *ctx, z, [&] { return DeltaRuleStep(*ctx, args, &results); });
  SetRate(state, "B/s", 2 * static_cast<double>(args.initial_state.bytes()));
}

using Function = void (*)(benchmark::State&, bool, Size);

void Register(const char* name, Function function, bool cuda, const Size& z) {
  const std::string full = absl::StrCat(
      cuda ? "cuda/" : "cpu/", name, "/batch:", z.batch, "/seq:", z.seq,
      "/heads:", z.heads, "/d_k:", z.d_k, "/d_v:", z.d_v);
  benchmark::RegisterBenchmark(full.c_str(), function, cuda, z)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterAll() {
  for (const Size& z : {Size{1, 1024, 4, 32, 32}, Size{1, 1024, 4, 48, 96},
                        Size{1, 1024, 2, 128, 128}}) {
    Register("forward", Forward, false, z);
    Register("gradient", Gradient, false, z);
    Register("step", Step, false, {z.batch, 1, z.heads, z.d_k, z.d_v});
  }
  if (!CudaAvailable()) return;
  for (const Size& z :
       {Size{8, 4096, 16, 48, 96}, Size{8, 4096, 16, 96, 192},
        Size{8, 4096, 16, 128, 128}, Size{1, 32768, 16, 128, 128},
        Size{32, 1024, 4, 64, 64}}) {
    Register("forward", Forward, true, z);
    Register("gradient", Gradient, true, z);
  }
  for (const int64_t batch : {1, 8, 64, 256}) {
    Register("step", Step, true, {batch, 1, 16, 96, 192});
  }
}

}  // namespace
}  // namespace lt2::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  lt2::kernels::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
