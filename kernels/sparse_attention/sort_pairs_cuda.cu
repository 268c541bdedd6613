#include <cub/device/device_radix_sort.cuh>

#include "kernels/core/cuda_util.cuh"
#include "kernels/sparse_attention/sort_pairs_cuda.h"

namespace lt2::kernels::sparse {

absl::StatusOr<int> SortPairs(Context& ctx, const Tensor (&keys)[2],
                              const Tensor (&values)[2], int bits) {
  cub::DoubleBuffer<uint32_t> k(static_cast<uint32_t*>(keys[0].raw()),
                                static_cast<uint32_t*>(keys[1].raw()));
  cub::DoubleBuffer<uint32_t> v(static_cast<uint32_t*>(values[0].raw()),
                                static_cast<uint32_t*>(values[1].raw()));
  const int n = static_cast<int>(keys[0].numel());
  const cudaStream_t stream = cuda::StreamOf(ctx);
  size_t bytes = 0;
  LT2_CUDA_RETURN_IF_ERROR(cub::DeviceRadixSort::SortPairs(nullptr, bytes, k, v,
                                                           n, 0, bits, stream));
  LT2_ASSIGN_OR_RETURN(
      Tensor storage, ctx.Empty(DType::kU8, {static_cast<int64_t>(bytes) + 1}));
  LT2_CUDA_RETURN_IF_ERROR(cub::DeviceRadixSort::SortPairs(
      storage.raw(), bytes, k, v, n, 0, bits, stream));
  return k.selector;
}

}  // namespace lt2::kernels::sparse
