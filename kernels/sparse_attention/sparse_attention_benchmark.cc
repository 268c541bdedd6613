// Times selected and compressed attention and the indexer on the CPU (small)
// and, where there is one, on the GPU.
//
//   bazel run -c opt //kernels/sparse_attention:sparse_attention_benchmark
//
// Counters: FLOP/s by the formulas of the headers, gradients counted as 2.5
// times the forward pass. DSA: 16 heads, one key head, lists of 2048 tokens
// spread over what a query sees (the worst case for the gradient of keys).
// NSA: lists of 16 blocks of 64: the first, the last two, others spread.

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "kernels/core/benchmarking.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/indexer.h"
#include "kernels/sparse_attention/selected_attention.h"

namespace lt2::kernels {
namespace {

using benchmarking::Activations;
using benchmarking::MakeContext;
using benchmarking::Measure;
using benchmarking::Parameters;
using benchmarking::SetRate;

struct Size {
  int64_t seq, heads, dim, value_dim, block_size, selected;
  // The indexer's; and whether its loss is over all visible tokens.
  int64_t index_heads = 8, index_dim = 64;
  bool dense = false;
};

float ScaleOf(int64_t dim) { return 1 / std::sqrt(static_cast<float>(dim)); }

// Ascending distinct blocks up to each query's own.
Tensor SpreadIndices(Context& ctx, const Size& z) {
  std::vector<int32_t> indices(z.seq * z.selected, -1);
  for (int64_t t = 0; t < z.seq; ++t) {
    const int64_t blocks = t / z.block_size + 1;
    const int64_t n = std::min(blocks, z.selected);
    for (int64_t j = 0; j < n; ++j) {
      int64_t block = j * blocks / n;
      if (j == n - 1) block = blocks - 1;
      if (j == n - 2) block = std::min(blocks - 2, std::max(block, blocks - 2));
      indices[t * z.selected + j] = static_cast<int32_t>(block);
    }
  }
  return *ctx.FromHost<int32_t>(indices, {1, z.seq, 1, z.selected});
}

// (query, token) pairs of those lists, nearly.
double SelectedPairs(const Size& z) {
  double pairs = 0;
  for (int64_t t = 0; t < z.seq; ++t) {
    pairs += static_cast<double>(std::min(t + 1, z.selected * z.block_size));
  }
  return pairs;
}
double VisiblePairs(const Size& z, int64_t block) {
  double pairs = 0;
  for (int64_t t = 0; t < z.seq; ++t) {
    pairs += static_cast<double>((t + 1) / block);
  }
  return pairs;
}

SelectedAttentionArgs MakeSelected(Context& ctx, const Size& z) {
  SelectedAttentionArgs args;
  args.q = Activations(ctx, {1, z.seq, z.heads, z.dim});
  args.k = Activations(ctx, {1, z.seq, 1, z.dim});
  args.v = Activations(ctx, {1, z.seq, 1, z.value_dim});
  args.indices = SpreadIndices(ctx, z);
  args.block_size = z.block_size;
  args.scale = ScaleOf(z.dim);
  return args;
}

void Selected(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const SelectedAttentionArgs args = MakeSelected(*ctx, z);
  SelectedAttentionResults results;
  Measure(state, *ctx, [&] { return SelectedAttention(*ctx, args, &results); });
  SetRate(state, "FLOP/s",
          2 * SelectedPairs(z) *
              static_cast<double>(z.heads * (z.dim + z.value_dim)));
}

void SelectedGradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  SelectedAttentionGradArgs args;
  args.forward = MakeSelected(*ctx, z);
  SelectedAttentionResults results;
  LT2_CHECK_OK(SelectedAttention(*ctx, args.forward, &results));
  args.o = results.o;
  args.lse = results.lse;
  args.dout = Activations(*ctx, args.o.shape());
  SelectedAttentionGradResults grads;
  Measure(state, *ctx,
          [&] { return SelectedAttentionGrad(*ctx, args, &grads); });
  SetRate(state, "FLOP/s",
          5 * SelectedPairs(z) *
              static_cast<double>(z.heads * (z.dim + z.value_dim)));
}

CompressedAttentionArgs MakeCompressed(Context& ctx, const Size& z) {
  const int64_t blocks = z.seq / z.block_size;
  CompressedAttentionArgs args;
  args.q = Activations(ctx, {1, z.seq, z.heads, z.dim});
  args.kc = Activations(ctx, {1, blocks, 1, z.dim});
  args.vc = Activations(ctx, {1, blocks, 1, z.value_dim});
  args.tokens = z.seq;
  args.block_size = z.block_size;
  args.scale = ScaleOf(z.dim);
  return args;
}

void Compressed(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const CompressedAttentionArgs args = MakeCompressed(*ctx, z);
  CompressedAttentionResults results;
  Measure(state, *ctx,
          [&] { return CompressedAttention(*ctx, args, &results); });
  SetRate(state, "FLOP/s",
          2 * VisiblePairs(z, z.block_size) *
              static_cast<double>(z.heads * (z.dim + z.value_dim)));
}

void CompressedGradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  CompressedAttentionGradArgs args;
  args.forward = MakeCompressed(*ctx, z);
  CompressedAttentionResults results;
  LT2_CHECK_OK(CompressedAttention(*ctx, args.forward, &results));
  args.o = results.o;
  args.lse = results.lse;
  args.dout = Activations(*ctx, args.o.shape());
  CompressedAttentionGradResults grads;
  Measure(state, *ctx,
          [&] { return CompressedAttentionGrad(*ctx, args, &grads); });
  SetRate(state, "FLOP/s",
          5 * VisiblePairs(z, z.block_size) *
              static_cast<double>(z.heads * (z.dim + z.value_dim)));
}

void Mean(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const BlockMeanArgs args{Activations(*ctx, {1, z.seq, 1, z.dim}),
                           z.block_size};
  Tensor mean;
  Measure(state, *ctx, [&] { return BlockMean(*ctx, args, &mean); });
  SetRate(state, "B/s", static_cast<double>(args.x.bytes()));
}

void Choice(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const CompressedAttentionArgs c = MakeCompressed(*ctx, z);
  CompressedAttentionResults results;
  LT2_CHECK_OK(CompressedAttention(*ctx, c, &results));
  const SelectBlocksArgs args{c.q,      c.kc,         results.lse, Tensor(),
                              c.tokens, c.block_size, z.selected,  c.scale};
  Tensor indices;
  Measure(state, *ctx, [&] { return SelectBlocks(*ctx, args, &indices); });
  SetRate(
      state, "FLOP/s",
      2 * VisiblePairs(z, z.block_size) * static_cast<double>(z.heads * z.dim));
}

IndexerArgs MakeIndexer(Context& ctx, const Size& z) {
  IndexerArgs args;
  args.q = Activations(ctx, {1, z.seq, z.index_heads, z.index_dim});
  args.k = Activations(ctx, {1, z.seq, z.index_dim});
  args.w = Parameters(ctx, {1, z.seq, z.index_heads});
  args.scale = ScaleOf(z.index_dim);
  return args;
}

void TopK(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const IndexerArgs args = MakeIndexer(*ctx, z);
  Tensor indices;
  Measure(
      state, *ctx,
      [&] { return IndexerTopK(*ctx, args, z.selected, &indices); }, 2);
  SetRate(state, "FLOP/s",
          2 * VisiblePairs(z, 1) *
              static_cast<double>(z.index_heads * (z.index_dim + 1)));
}

void LossGradient(benchmark::State& state, bool cuda, Size z) {
  auto ctx = MakeContext(cuda ? Device::kCUDA : Device::kCPU);
  const SelectedAttentionArgs attention = MakeSelected(*ctx, z);
  SelectedAttentionResults results;
  LT2_CHECK_OK(SelectedAttention(*ctx, attention, &results));
  IndexerLossGradArgs args;
  args.forward.indexer = MakeIndexer(*ctx, z);
  if (!z.dense) args.forward.indices = attention.indices;
  args.forward.attention_q = attention.q;
  args.forward.attention_k = attention.k;
  args.forward.attention_lse = results.lse;
  args.forward.attention_scale = attention.scale;
  Tensor loss;
  IndexerLossGradResults grads;
  Measure(
      state, *ctx,
      [&]() -> absl::Status {
        LT2_RETURN_IF_ERROR(IndexerLoss(*ctx, args.forward, &loss));
        return IndexerLossGrad(*ctx, args, &grads);
      },
      2);
}

using Function = void (*)(benchmark::State&, bool, Size);

void Register(const char* name, Function function, bool cuda, const Size& z) {
  const std::string full = absl::StrCat(
      cuda ? "cuda/" : "cpu/", name, "/seq:", z.seq, "/dim:", z.dim, "/",
      z.value_dim, "/list:", z.selected, "x", z.block_size);
  benchmark::RegisterBenchmark(full.c_str(), function, cuda, z)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

void RegisterAll() {
  const Size small{512, 4, 32, 32, 1, 64};
  const Size small_blocks{512, 4, 32, 32, 16, 8};
  for (const Size& z : {small, small_blocks}) {
    Register("selected", Selected, false, z);
    Register("selected_gradient", SelectedGradient, false, z);
  }
  Register("compressed", Compressed, false, small_blocks);
  Register("select_blocks", Choice, false, small_blocks);
  Register("indexer_top_k", TopK, false, small);
  Register("indexer_loss_and_gradient", LossGradient, false, small);
  if (!CudaAvailable()) return;
  for (int64_t seq : {8192, 32768}) {
    const Size dsa{seq, 16, 128, 128, 1, 2048};
    const Size nsa{seq, 16, 128, 128, 64, 16};
    for (const Size& z : {dsa, nsa}) {
      Register("selected", Selected, true, z);
      Register("selected_gradient", SelectedGradient, true, z);
    }
    Register("block_mean", Mean, true, nsa);
    Register("compressed", Compressed, true, nsa);
    Register("compressed_gradient", CompressedGradient, true, nsa);
    Register("select_blocks", Choice, true, nsa);
    Register("indexer_top_k", TopK, true, dsa);
    Register("indexer_loss_and_gradient", LossGradient, true, dsa);
  }
  const Size latent{8192, 16, 576, 512, 1, 2048};
  Register("selected", Selected, true, latent);
  Register("selected_gradient", SelectedGradient, true, latent);
  Size dense{8192, 16, 128, 128, 1, 2048};
  dense.dense = true;
  Register("dense_indexer_loss_and_gradient", LossGradient, true, dense);
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
