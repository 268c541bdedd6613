// Times linear attention on the CPU and, where there is one, on the GPU.
//
//   bazel run -c opt //kernels/linear_attention:linear_attention_benchmark
//
// Counters: tokens/s, and FLOP/s by the dense count of linear_attention.h with
// chunks of 64 on every device (the gradient counts 2.5 times the forward;
// what a decay per channel adds outside matrix products is not counted). For
// one step FLOP/s gives way to bytes of state per second. GPU times are of
// batches of launches between two synchronisations.

#include <cmath>
#include <string>

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/linear_attention/linear_attention.h"

namespace lt2::kernels {
namespace {

using benchmarking::ActivationType;
using benchmarking::Fill;
using benchmarking::MakeContext;
using benchmarking::Measure;
using benchmarking::SetRate;

enum class Gate { kNone, kHead, kToken, kChannel };
constexpr const char* kGateNames[] = {"none", "head", "token", "channel"};

struct Size {
  Gate gate;
  int64_t batch, seq, heads, v_heads, d_k, d_v;
};

LinearAttentionArgs MakeArgs(Context& ctx, const Size& z) {
  const DType act = ActivationType(ctx);
  LinearAttentionArgs args;
  args.q = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k});
  args.k = Fill(ctx, act, {z.batch, z.seq, z.heads, z.d_k});
  args.v = Fill(ctx, act, {z.batch, z.seq, z.v_heads, z.d_v});
  const Shape token = {z.batch, z.seq, z.v_heads};
  const Shape channel = {z.batch, z.seq, z.v_heads, z.d_k};
  if (z.gate != Gate::kNone) {
    args.g = Fill(ctx, DType::kF32,
                  z.gate == Gate::kHead      ? Shape{z.v_heads}
                  : z.gate == Gate::kChannel ? channel
                                             : token,
                  -0.1f, 0);
  }
  args.scale = 1 / std::sqrt(static_cast<float>(z.d_k));
  return args;
}

double Flops(const Size& z) {
  const double c = 64, k = static_cast<double>(z.d_k);
  const double v = static_cast<double>(z.d_v);
  const double per_chunk = 2 * c * c * (k + v) + 4 * c * k * v;
  return per_chunk / c * static_cast<double>(z.batch * z.seq * z.v_heads);
}

void SetTokenRate(benchmark::State& state, const Size& z) {
  SetRate(state, "tokens/s", static_cast<double>(z.batch * z.seq));
}

void Forward(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const LinearAttentionArgs args = MakeArgs(*ctx, z);
  LinearAttentionResults results;
  Measure(state, *ctx, [&] { return LinearAttention(*ctx, args, &results); });
  SetTokenRate(state, z);
  SetRate(state, "FLOP/s", Flops(z));
}

void Gradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  LinearAttentionGradArgs args;
  args.forward = MakeArgs(*ctx, z);
  args.dout = Fill(*ctx, args.forward.v.dtype(), args.forward.v.shape());
  LinearAttentionGradResults grads;
  Measure(state, *ctx, [&] { return LinearAttentionGrad(*ctx, args, &grads); });
  SetTokenRate(state, z);
  SetRate(state, "FLOP/s", 2.5 * Flops(z));
}

void Step(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  LinearAttentionArgs args = MakeArgs(*ctx, z);
  args.initial_state =
      Fill(*ctx, DType::kF32, {z.batch, z.v_heads, z.d_k, z.d_v});
  LinearAttentionResults results;
  results.final_state = args.initial_state;
  Measure(state, *ctx,
          [&] { return LinearAttentionStep(*ctx, args, &results); });
  SetTokenRate(state, z);
  SetRate(state, "B/s", 2 * static_cast<double>(args.initial_state.bytes()));
}

using Function = void (*)(benchmark::State&, bool, Size);

void Register(const char* name, Function function, bool cuda, const Size& z) {
  const std::string full =
      absl::StrCat(cuda ? "cuda/" : "cpu/", name,
                   "/decay:", kGateNames[static_cast<int>(z.gate)],
                   "/batch:", z.batch, "/seq:", z.seq, "/heads:", z.heads,
                   "/v_heads:", z.v_heads, "/d_k:", z.d_k, "/d_v:", z.d_v);
  benchmark::RegisterBenchmark(full.c_str(), function, cuda, z)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterAll() {
  for (const Size& z : {Size{Gate::kNone, 1, 1024, 4, 4, 32, 32},
                        Size{Gate::kToken, 1, 1024, 1, 4, 64, 64},
                        Size{Gate::kChannel, 1, 1024, 2, 2, 128, 128}}) {
    Register("forward", Forward, false, z);
    Register("gradient", Gradient, false, z);
    Size one = z;
    one.seq = 1;
    Register("step", Step, false, one);
  }
  if (!CudaAvailable()) return;
  for (const Size& z : {Size{Gate::kNone, 4, 8192, 16, 16, 128, 128},
                        Size{Gate::kHead, 4, 8192, 16, 16, 128, 256},
                        Size{Gate::kToken, 4, 8192, 16, 16, 128, 128},
                        Size{Gate::kToken, 4, 8192, 1, 16, 64, 256},
                        Size{Gate::kChannel, 4, 8192, 16, 16, 64, 128},
                        Size{Gate::kChannel, 4, 8192, 16, 16, 128, 128}}) {
    Register("forward", Forward, true, z);
    Register("gradient", Gradient, true, z);
  }
  for (const Gate gate : {Gate::kToken, Gate::kChannel}) {
    for (const int64_t batch : {1, 64}) {
      Register("step", Step, true, {gate, batch, 1, 16, 16, 128, 128});
    }
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
