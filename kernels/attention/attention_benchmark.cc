// Times attention on the CPU and, where there is one, on the GPU.
//
//   bazel run -c opt //kernels/attention:attention_benchmark
//
// Counters: FLOP/s by the formula of attention.h (10 D K for the gradient on
// every device) and, for decoding, bytes of cache read per second. GPU times
// are of batches of launches between two synchronisations.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/attention/attention.h"
#include "kernels/core/benchmarking.h"

namespace lt2::kernels {
namespace {

using benchmarking::Activations;
using benchmarking::MakeContext;
using benchmarking::Measure;
using benchmarking::SetRate;

// What is measured: `heads` query and key-value heads.
struct Size {
  int64_t batch, seq, heads, dim, window;
};

AttentionArgs MakeArgs(Context& ctx, const Size& z) {
  const Shape shape{z.batch, z.seq, z.heads, z.dim};
  AttentionArgs args;
  args.q = Activations(ctx, shape);
  args.k = Activations(ctx, shape);
  args.v = Activations(ctx, shape);
  args.scale = 1 / std::sqrt(static_cast<float>(z.dim));
  args.window = z.window;
  return args;
}

// Query-key pairs inside the mask.
double Pairs(const Size& z) {
  double pairs = 0;
  for (int64_t t = 0; t < z.seq; ++t) {
    pairs +=
        static_cast<double>(z.window > 0 ? std::min(z.window, t + 1) : t + 1);
  }
  return pairs * static_cast<double>(z.batch * z.heads);
}

void Forward(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const AttentionArgs args = MakeArgs(*ctx, z);
  AttentionResults results;
  Measure(state, *ctx, [&] { return Attention(*ctx, args, &results); });
  SetRate(state, "FLOP/s", 4 * Pairs(z) * static_cast<double>(z.dim));
}

void Gradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  AttentionGradArgs args;
  args.forward = MakeArgs(*ctx, z);
  AttentionResults results;
  LT2_CHECK_OK(Attention(*ctx, args.forward, &results));
  args.o = results.o;
  args.lse = results.lse;
  args.dout = Activations(*ctx, args.o.shape());
  AttentionGradResults grads;
  Measure(state, *ctx, [&] { return AttentionGrad(*ctx, args, &grads); });
  SetRate(state, "FLOP/s", 10 * Pairs(z) * static_cast<double>(z.dim));
}

// z.seq is the length, and the capacity.
void Decode(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const AttentionArgs cache = MakeArgs(*ctx, z);
  AttentionDecodeArgs args;
  args.q = Activations(*ctx, {z.batch, 1, z.heads, z.dim});
  args.k_cache = cache.k;
  args.v_cache = cache.v;
  args.scale = cache.scale;
  const std::vector<int32_t> lengths(z.batch, static_cast<int32_t>(z.seq));
  args.lengths = *ctx->FromHost<int32_t>(lengths, {z.batch});
  Tensor o;
  Measure(state, *ctx, [&] { return AttentionDecode(*ctx, args, &o); });
  SetRate(state, "B/s",
          static_cast<double>(args.k_cache.bytes() + args.v_cache.bytes()));
}

using Function = void (*)(benchmark::State&, bool, Size);

void Register(const char* name, Function function, bool cuda, const Size& z) {
  const std::string full = absl::StrCat(
      cuda ? "cuda/" : "cpu/", name, "/batch:", z.batch, "/seq:", z.seq,
      "/heads:", z.heads, "/dim:", z.dim, "/window:", z.window);
  benchmark::RegisterBenchmark(full.c_str(), function, cuda, z)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterAll() {
  for (const Size& z : {Size{1, 256, 4, 32, 0}, Size{1, 1024, 4, 64, 0},
                        Size{1, 1024, 4, 64, 128}}) {
    Register("forward", Forward, false, z);
    Register("gradient", Gradient, false, z);
    Register("decode", Decode, false, z);
  }
  if (!CudaAvailable()) return;
  for (const Size& z :
       {Size{16, 2048, 16, 128, 0}, Size{4, 8192, 16, 128, 0},
        Size{1, 32768, 16, 128, 0}, Size{4, 8192, 16, 128, 2048},
        Size{4, 8192, 16, 128, 256}, Size{4, 8192, 16, 64, 0}}) {
    Register("forward", Forward, true, z);
    Register("gradient", Gradient, true, z);
  }
  for (const Size& z : {Size{1, 8192, 16, 128, 0}, Size{8, 8192, 16, 128, 0},
                        Size{64, 2048, 16, 128, 0}, Size{1, 131072, 16, 128, 0},
                        Size{8, 256, 16, 128, 0}}) {
    Register("decode", Decode, true, z);
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
