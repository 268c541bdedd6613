// ColumnSum: the second stage of a reduction over rows.
//
// The first stage, a kernel of the operator, writes one partial sum per slab of
// rows and column, f32 [slabs, columns]. The number of slabs depends on the
// shape alone and this kernel adds them in a fixed order, so that a gradient
// has the same bits in every run, which atomics would not give.
//
// Cost: slabs * columns reads of 4 bytes.

#ifndef LT2_KERNELS_CORE_COLUMN_SUM_CUH_
#define LT2_KERNELS_CORE_COLUMN_SUM_CUH_

#include "kernels/core/cuda_util.cuh"

namespace lt2::cuda {

// A block of 32 x 32 threads sums 32 columns: thread (x, y) takes rows
// y, y + 32, ..., then thread (x, 0) adds its column's 32 sums in order.
template <typename = void>
__global__ void ColumnSumKernel(const float* __restrict__ partials,
                                int64_t slabs, int64_t columns,
                                float* __restrict__ out) {
  __shared__ float sums[32][33];
  const int64_t column = int64_t{blockIdx.x} * 32 + threadIdx.x;
  float sum = 0.0f;
  if (column < columns) {
    for (int64_t slab = threadIdx.y; slab < slabs; slab += 32) {
      sum += partials[slab * columns + column];
    }
  }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
    sum = 0.0f;
    for (int y = 0; y < 32; ++y) sum += sums[y][threadIdx.x];
    out[column] = sum;
  }
}

// out[c] = sum over slabs of partials[s, c]; zero slabs give zeros.
inline absl::Status ColumnSum(Context& ctx, const float* partials,
                              int64_t slabs, int64_t columns, float* out) {
  if (columns == 0) return absl::OkStatus();
  ColumnSumKernel<><<<static_cast<unsigned>(CeilDiv(columns, 32)), dim3(32, 32),
                      0, StreamOf(ctx)>>>(partials, slabs, columns, out);
  LT2_RETURN_LAUNCH_ERROR("ColumnSumKernel");
  return absl::OkStatus();
}

}  // namespace lt2::cuda

#endif  // LT2_KERNELS_CORE_COLUMN_SUM_CUH_
