// Times the delta rule on the CPU and, where there is one, on the GPU.
//
//   bazel run -c opt //kernels/delta_rule:delta_rule_benchmark
//
// Counters: tokens/s, and FLOP/s by the dense count of delta_rule.h with chunks
// of 64 on every device (the gradient counts 3 times the forward). For one step
// FLOP/s gives way to bytes of state per second. GPU times are of batches of
// launches between two synchronisations.

#include <cmath>
#include <string>

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/delta_rule/delta_rule.h"

namespace lt2::kernels {
namespace {

using benchmarking::ActivationType;
using benchmarking::Fill;
using benchmarking::MakeContext;
using benchmarking::Measure;
using benchmarking::SetRate;

struct Size {
  int64_t batch, seq, heads, d_k, d_v;
  bool channel = false;  // decay per channel
};

DeltaRuleArgs MakeArgs(Context& ctx, const Size& z) {
  const DType act = ActivationType(ctx);
  // Keys of norm about 1.
  const float bound = std::sqrt(3.0f / static_cast<float>(z.d_k));
  DeltaRuleArgs args;
  args.q = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k}, -bound, bound);
  args.k = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k}, -bound, bound);
  args.v = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_v}, -1, 1);
  args.beta = Fill(ctx, DType::kF32, {z.batch, z.seq, z.heads}, 0, 1);
  const Shape gate = {z.batch, z.seq, z.heads};
  const Shape channel_gate = {z.batch, z.seq, z.heads, z.d_k};
  args.g = Fill(ctx, DType::kF32, z.channel ? channel_gate : gate, -0.1f, 0);
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

void SetTokenRate(benchmark::State& state, const Size& z) {
  SetRate(state, "tokens/s", static_cast<double>(z.batch * z.seq));
}

void Forward(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const DeltaRuleArgs args = MakeArgs(*ctx, z);
  DeltaRuleResults results;
  Measure(state, *ctx, [&] { return DeltaRule(*ctx, args, &results); });
  SetTokenRate(state, z);
  SetRate(state, "FLOP/s", Flops(z));
}

void Gradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  DeltaRuleGradArgs args;
  args.forward = MakeArgs(*ctx, z);
  args.dout = Fill(*ctx, args.forward.v.dtype(), args.forward.v.shape(), -1, 1);
  DeltaRuleGradResults grads;
  Measure(state, *ctx, [&] { return DeltaRuleGrad(*ctx, args, &grads); });
  SetTokenRate(state, z);
  SetRate(state, "FLOP/s", 3 * Flops(z));
}

void Step(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  DeltaRuleArgs args = MakeArgs(*ctx, z);
  args.initial_state =
      Fill(*ctx, DType::kF32, {z.batch, z.heads, z.d_k, z.d_v}, -1, 1);
  DeltaRuleResults results;
  results.final_state = args.initial_state;
  Measure(state, *ctx, [&] { return DeltaRuleStep(*ctx, args, &results); });
  SetTokenRate(state, z);
  SetRate(state, "B/s", 2 * static_cast<double>(args.initial_state.bytes()));
}

using Function = void (*)(benchmark::State&, bool, Size);

void Register(const char* name, Function function, bool cuda, const Size& z) {
  const std::string full =
      absl::StrCat(cuda ? "cuda/" : "cpu/", name, z.channel ? "_channel" : "",
                   "/batch:", z.batch, "/seq:", z.seq, "/heads:", z.heads,
                   "/d_k:", z.d_k, "/d_v:", z.d_v);
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
  Register("forward", Forward, false, {1, 1024, 2, 128, 128, true});
  Register("gradient", Gradient, false, {1, 1024, 2, 128, 128, true});
  if (!CudaAvailable()) return;
  for (const Size& z :
       {Size{8, 4096, 16, 48, 96}, Size{8, 4096, 16, 96, 192},
        Size{8, 4096, 16, 128, 128}, Size{1, 32768, 16, 128, 128},
        Size{32, 1024, 4, 64, 64}, Size{4, 8192, 16, 128, 128},
        Size{4, 8192, 16, 128, 128, true}, Size{4, 8192, 16, 64, 128, true}}) {
    Register("forward", Forward, true, z);
    Register("gradient", Gradient, true, z);
  }
  for (const int64_t batch : {1, 8, 64, 256}) {
    Register("step", Step, true, {batch, 1, 16, 96, 192});
    Register("step", Step, true, {batch, 1, 16, 128, 128, true});
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
