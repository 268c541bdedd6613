// Embedding on the GPU.
//
// Forward copies words of up to 16 bytes, whatever the type. The gradient, so
// that its bits do not depend on the order in which blocks run:
//   1. sort (id, position) by id, stably: equal ids become a run of rows in
//      order of position;
//   2. one block per slab of 256 sorted rows sums each run within the slab. A
//      run inside one slab goes straight to the table; what a run leaves in a
//      slab that it shares with its neighbours goes to a partial: `tail` in
//      the slab where the run starts, `head` in the later ones;
//   3. the slab where a long run starts adds the partials in order.
// However often one id occurs, no block sums more than 256 rows or reads more
// than n / 256 partials.

#include <algorithm>
#include <cub/device/device_radix_sort.cuh>

#include "kernels/core/cuda_util.cuh"
#include "kernels/embedding/embedding_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kSlab = 256;     // sorted rows per block
constexpr int kColumns = 128;  // columns per block, one per thread
constexpr int kBatch = 8;      // rows loaded at once, to overlap their latency

// ---- Forward ----------------------------------------------------------------

template <typename Word>
__device__ Word AllOnes();
template <>
__device__ uint16_t AllOnes<uint16_t>() {
  return 0xffff;
}
template <>
__device__ uint32_t AllOnes<uint32_t>() {
  return 0xffffffffu;
}
template <>
__device__ uint4 AllOnes<uint4>() {
  return make_uint4(~0u, ~0u, ~0u, ~0u);
}

// A warp per row; `words` per row.
template <typename Word>
__global__ void EmbeddingKernel(const int32_t* ids, const Word* table,
                                Word* out, int64_t n, int64_t vocab,
                                int64_t words) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (i >= n) return;
  const int64_t id = ids[i];
  const bool valid = id >= 0 && id < vocab;
  for (int64_t w = threadIdx.x; w < words; w += 32) {
    // All bits set is a NaN in both f32 and bf16.
    out[i * words + w] = valid ? table[id * words + w] : AllOnes<Word>();
  }
}

template <typename Word>
absl::Status LaunchForward(Context& ctx, const EmbeddingArgs& args,
                           Tensor* out) {
  const int64_t n = args.ids.dim(0);
  const int64_t row_bytes =
      args.table.dim(1) * static_cast<int64_t>(ByteSize(args.table.dtype()));
  constexpr int kRows = 8;
  EmbeddingKernel<<<static_cast<unsigned>(cuda::CeilDiv(n, kRows)),
                    dim3(32, kRows), 0, cuda::StreamOf(ctx)>>>(
      cuda::Data<int32_t>(args.ids), static_cast<const Word*>(args.table.raw()),
      static_cast<Word*>(out->raw()), n, args.table.dim(0),
      row_bytes / static_cast<int64_t>(sizeof(Word)));
  LT2_RETURN_LAUNCH_ERROR("EmbeddingKernel");
  return absl::OkStatus();
}

// ---- Gradient ---------------------------------------------------------------

// Ids outside [0, vocab) become vocab, which sorts last and is then skipped.
__global__ void MakeKeysKernel(const int32_t* ids, uint32_t* keys,
                               int32_t* positions, int64_t n, int64_t vocab) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int64_t id = ids[i];
  keys[i] = static_cast<uint32_t>(id >= 0 && id < vocab ? id : vocab);
  positions[i] = static_cast<int32_t>(i);
}

template <typename T>
__global__ void SumSlabKernel(const uint32_t* __restrict__ keys,
                              const int32_t* __restrict__ positions,
                              const T* __restrict__ dout, float* head,
                              float* tail, float* dtable, int64_t n,
                              int64_t vocab, int64_t dim) {
  // Keys of the slab with one neighbour on each side; kNone beyond the ends.
  constexpr uint32_t kNone = 0xffffffffu;  // no key: vocab < 2^31
  __shared__ uint32_t key[kSlab + 2];
  __shared__ int32_t position[kSlab];
  const int64_t slab = blockIdx.x;
  const int64_t begin = slab * kSlab;
  const int count =
      static_cast<int>(min(static_cast<int64_t>(kSlab), n - begin));
  for (int r = threadIdx.x; r < kSlab + 2; r += kColumns) {
    const int64_t i = begin - 1 + r;
    key[r] = i >= 0 && i < n ? keys[i] : kNone;
  }
  for (int r = threadIdx.x; r < count; r += kColumns) {
    position[r] = positions[begin + r];
  }
  __syncthreads();
  const int64_t d = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  if (d >= dim) return;  // no barrier follows

  bool from_before = key[0] == key[1];
  float sum = 0.0f;
  for (int first = 0; first < count; first += kBatch) {
    float x[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const int r = first + j;
      x[j] =
          r < count
              ? cuda::AsFloat(dout[static_cast<int64_t>(position[r]) * dim + d])
              : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const int r = first + j;
      if (r >= count) break;
      sum += x[j];
      const uint32_t id = key[r + 1];
      const bool last = r + 1 == count;
      const bool same_after = key[r + 2] == id;
      if (!last && same_after) continue;
      if (id != static_cast<uint32_t>(vocab)) {
        if (from_before) {
          head[slab * dim + d] = sum;
        } else if (last && same_after) {
          tail[slab * dim + d] = sum;
        } else {
          dtable[id * dim + d] = sum;
        }
      }
      sum = 0.0f;
      from_before = false;
    }
  }
}

// First index of the sorted keys with a key greater than `id`.
__device__ int64_t UpperBound(const uint32_t* keys, int64_t n, uint32_t id) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (keys[middle] <= id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// 32 columns by 8 lanes; a lane adds every eighth partial, then the lanes are
// added in order.
__global__ void JoinSlabsKernel(const uint32_t* keys, const float* head,
                                const float* tail, float* dtable, int64_t n,
                                int64_t vocab, int64_t dim) {
  constexpr int kLanes = 8;
  __shared__ float sums[kLanes][32];
  const int64_t slab = blockIdx.x;
  const int64_t begin = slab * kSlab, end = begin + kSlab;
  if (end >= n) return;
  const uint32_t id = keys[end - 1];
  if (id == static_cast<uint32_t>(vocab) || keys[end] != id) return;
  if (keys[begin] == id && begin > 0 && keys[begin - 1] == id) return;
  // The run of `id` starts here and goes on: all threads agree on that.
  const int64_t last = (UpperBound(keys, n, id) - 1) / kSlab;
  const int64_t d = static_cast<int64_t>(blockIdx.y) * 32 + threadIdx.x;
  float sum = 0.0f;
  if (d < dim) {
    for (int64_t s = slab + 1 + threadIdx.y; s <= last; s += kLanes) {
      sum += head[s * dim + d];
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && d < dim) {
    float total = tail[slab * dim + d];
    for (int lane = 0; lane < kLanes; ++lane) {
      total += sums[lane][threadIdx.x];
    }
    dtable[id * dim + d] = total;
  }
}

}  // namespace

absl::Status EmbeddingCuda(Context& ctx, const EmbeddingArgs& args,
                           Tensor* out) {
  if (out->numel() == 0) return absl::OkStatus();
  const int64_t row_bytes =
      args.table.dim(1) * static_cast<int64_t>(ByteSize(args.table.dtype()));
  const uintptr_t addresses = reinterpret_cast<uintptr_t>(args.table.raw()) |
                              reinterpret_cast<uintptr_t>(out->raw());
  if (row_bytes % 16 == 0 && addresses % 16 == 0) {
    return LaunchForward<uint4>(ctx, args, out);
  }
  return args.table.dtype() == DType::kF32
             ? LaunchForward<uint32_t>(ctx, args, out)
             : LaunchForward<uint16_t>(ctx, args, out);
}

absl::Status EmbeddingGradCuda(Context& ctx, const EmbeddingGradArgs& args,
                               Tensor* dtable) {
  LT2_RETURN_IF_ERROR(ctx.Zero(dtable));
  const int64_t n = args.ids.dim(0), dim = args.dout.dim(1);
  if (n == 0 || dim == 0) return absl::OkStatus();
  const cudaStream_t stream = cuda::StreamOf(ctx);

  LT2_ASSIGN_OR_RETURN(Tensor keys, ctx.Empty(DType::kI32, {2, n}));
  LT2_ASSIGN_OR_RETURN(Tensor positions, ctx.Empty(DType::kI32, {2, n}));
  auto* keys_in = reinterpret_cast<uint32_t*>(cuda::Data<int32_t>(keys));
  uint32_t* keys_out = keys_in + n;
  int32_t* positions_in = cuda::Data<int32_t>(positions);
  int32_t* positions_out = positions_in + n;
  MakeKeysKernel<<<static_cast<unsigned>(cuda::CeilDiv(n, 256)), 256, 0,
                   stream>>>(cuda::Data<int32_t>(args.ids), keys_in,
                             positions_in, n, args.vocab);
  LT2_RETURN_LAUNCH_ERROR("MakeKeysKernel");
  int bits = 1;  // that keys up to vocab need
  while ((args.vocab >> bits) != 0) ++bits;
  size_t bytes = 0;
  LT2_CUDA_RETURN_IF_ERROR(cub::DeviceRadixSort::SortPairs(
      nullptr, bytes, keys_in, keys_out, positions_in, positions_out,
      static_cast<int>(n), 0, bits, stream));
  LT2_ASSIGN_OR_RETURN(Tensor scratch,
                       ctx.Empty(DType::kU8, {static_cast<int64_t>(bytes)}));
  LT2_CUDA_RETURN_IF_ERROR(cub::DeviceRadixSort::SortPairs(
      scratch.raw(), bytes, keys_in, keys_out, positions_in, positions_out,
      static_cast<int>(n), 0, bits, stream));

  const int64_t slabs = cuda::CeilDiv(n, kSlab);
  LT2_ASSIGN_OR_RETURN(Tensor partials,
                       ctx.Empty(DType::kF32, {2, slabs, dim}));
  float* head = cuda::Data<float>(partials);
  float* tail = head + slabs * dim;
  float* table = cuda::Data<float>(*dtable);
  const dim3 grid(static_cast<unsigned>(slabs),
                  static_cast<unsigned>(cuda::CeilDiv(dim, kColumns)));
  LT2_RETURN_IF_ERROR(cuda::VisitFloat(args.dout.dtype(), [&](auto zero) {
    using T = decltype(zero);
    SumSlabKernel<<<grid, kColumns, 0, stream>>>(
        keys_out, positions_out, cuda::Data<T>(args.dout), head, tail, table, n,
        args.vocab, dim);
    LT2_RETURN_LAUNCH_ERROR("SumSlabKernel");
    return absl::OkStatus();
  }));
  if (slabs > 1) {
    JoinSlabsKernel<<<dim3(static_cast<unsigned>(slabs),
                           static_cast<unsigned>(cuda::CeilDiv(dim, 32))),
                      dim3(32, 8), 0, stream>>>(keys_out, head, tail, table, n,
                                                args.vocab, dim);
    LT2_RETURN_LAUNCH_ERROR("JoinSlabsKernel");
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
