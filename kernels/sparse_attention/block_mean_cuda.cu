// Means of blocks of tokens on a GPU. Heads and their dimension are one row;
// a thread has V consecutive elements of it. Bound by memory: every input is
// read once.

#include <algorithm>

#include "kernels/core/pack.cuh"
#include "kernels/sparse_attention/block_compress_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 256;

// Extents: rows of `row` elements, in packs of V.
struct MeanSizes {
  int64_t tokens, blocks, row, block_size;
};

// Writes one pack of the mean of block c. Its summation order is the same
// wherever it is called from.
template <typename T, int V>
__device__ __forceinline__ void WriteMean(const MeanSizes& z, int64_t b,
                                          int64_t c, int64_t column, const T* x,
                                          T* mean) {
  const T* from = x + (b * z.tokens + c * z.block_size) * z.row + column;
  float sum[V] = {};
  for (int64_t j = 0; j < z.block_size; ++j) {
    float value[V];
    cuda::LoadPack<V>(from + j * z.row, value);
#pragma unroll
    for (int e = 0; e < V; ++e) sum[e] += value[e];
  }
#pragma unroll
  for (int e = 0; e < V; ++e) sum[e] /= static_cast<float>(z.block_size);
  cuda::StorePack<V>(mean + (b * z.blocks + c) * z.row + column, sum);
}

template <typename T, int V>
__global__ void MeanKernel(MeanSizes z, int64_t total, const T* x, T* mean) {
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n >= total) return;
  const int64_t packs = z.row / V, block = n / packs;
  WriteMean<T, V>(z, block / z.blocks, block % z.blocks, n % packs * V, x,
                  mean);
}

// `most` blocks can have been completed by `appended` tokens.
template <typename T, int V>
__global__ void MeanAppendKernel(MeanSizes z, int64_t total, int64_t most,
                                 int64_t appended, const int32_t* lengths,
                                 const T* x, T* mean) {
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n >= total) return;
  const int64_t packs = z.row / V, b = n / packs / most;
  const int64_t length =
      min(max(static_cast<int64_t>(lengths[b]), int64_t{0}), z.tokens);
  const int64_t before = max(length - appended, int64_t{0});
  const int64_t c = before / z.block_size + n / packs % most;
  if (c >= z.blocks || (c + 1) * z.block_size > length) return;
  WriteMean<T, V>(z, b, c, n % packs * V, x, mean);
}

template <typename T, int V>
__global__ void MeanGradKernel(MeanSizes z, int64_t total, const T* dmean,
                               T* dx) {
  const int64_t n = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (n >= total) return;
  const int64_t packs = z.row / V, column = n % packs * V;
  const int64_t token = n / packs % z.tokens, b = n / packs / z.tokens;
  const int64_t c = token / z.block_size;
  float value[V] = {};
  if (c < z.blocks) {
    cuda::LoadPack<V>(dmean + (b * z.blocks + c) * z.row + column, value);
#pragma unroll
    for (int e = 0; e < V; ++e) value[e] /= static_cast<float>(z.block_size);
  }
  cuda::StorePack<V>(dx + (b * z.tokens + token) * z.row + column, value);
}

// Calls launch(T{}, pack size) for a type and what its rows allow.
template <typename Launch>
absl::Status Visit(const Tensor& in, const Tensor& out, int64_t row,
                   const Launch& launch) {
  const bool pack = cuda::CanPack(row, in.raw(), out.raw());
  return cuda::VisitFloat(in.dtype(), [&](auto zero) {
    using Host = decltype(zero);
    return pack ? launch(zero, std::integral_constant<int, cuda::kPackSize>())
                : launch(Host{}, std::integral_constant<int, 1>());
  });
}

absl::StatusOr<unsigned> Grid(int64_t total) {
  const int64_t blocks = cuda::CeilDiv(total, kThreads);
  if (blocks <= INT32_MAX) return static_cast<unsigned>(blocks);
  return InvalidArgument("means of blocks would need ", blocks,
                         " thread blocks");
}

MeanSizes SizesOf(const Tensor& x, const Tensor& mean, int64_t block_size) {
  return {x.dim(1), mean.dim(1), x.dim(2) * x.dim(3), block_size};
}

}  // namespace

absl::Status BlockMeanCuda(Context& ctx, const BlockMeanArgs& args,
                           Tensor* mean) {
  const MeanSizes z = SizesOf(args.x, *mean, args.block_size);
  return Visit(args.x, *mean, z.row, [&](auto zero, auto pack) {
    using Host = decltype(zero);
    constexpr int kPack = decltype(pack)::value;
    const int64_t total = mean->numel() / kPack;
    LT2_ASSIGN_OR_RETURN(const unsigned grid, Grid(total));
    MeanKernel<typename cuda::DeviceType<Host>::type, kPack>
        <<<grid, kThreads, 0, cuda::StreamOf(ctx)>>>(
            z, total, cuda::Data<Host>(args.x), cuda::Data<Host>(*mean));
    LT2_RETURN_LAUNCH_ERROR("block mean");
    return absl::OkStatus();
  });
}

absl::Status BlockMeanAppendCuda(Context& ctx, const BlockMeanAppendArgs& args,
                                 Tensor* mean) {
  const MeanSizes z = SizesOf(args.x, *mean, args.block_size);
  const int64_t most =
      std::min(args.appended / args.block_size + 1, mean->dim(1));
  return Visit(args.x, *mean, z.row, [&](auto zero, auto pack) {
    using Host = decltype(zero);
    constexpr int kPack = decltype(pack)::value;
    const int64_t total = args.x.dim(0) * most * (z.row / kPack);
    LT2_ASSIGN_OR_RETURN(const unsigned grid, Grid(total));
    MeanAppendKernel<typename cuda::DeviceType<Host>::type, kPack>
        <<<grid, kThreads, 0, cuda::StreamOf(ctx)>>>(
            z, total, most, args.appended, cuda::Data<int32_t>(args.lengths),
            cuda::Data<Host>(args.x), cuda::Data<Host>(*mean));
    LT2_RETURN_LAUNCH_ERROR("block mean append");
    return absl::OkStatus();
  });
}

absl::Status BlockMeanGradCuda(Context& ctx, const BlockMeanGradArgs& args,
                               Tensor* dx) {
  const MeanSizes z = SizesOf(*dx, args.dmean, args.block_size);
  return Visit(args.dmean, *dx, z.row, [&](auto zero, auto pack) {
    using Host = decltype(zero);
    constexpr int kPack = decltype(pack)::value;
    const int64_t total = dx->numel() / kPack;
    LT2_ASSIGN_OR_RETURN(const unsigned grid, Grid(total));
    MeanGradKernel<typename cuda::DeviceType<Host>::type, kPack>
        <<<grid, kThreads, 0, cuda::StreamOf(ctx)>>>(
            z, total, cuda::Data<Host>(args.dmean), cuda::Data<Host>(*dx));
    LT2_RETURN_LAUNCH_ERROR("block mean gradient");
    return absl::OkStatus();
  });
}

}  // namespace lt2::kernels
