// ColumnMap: the loop of gradients on the GPU that also sum over rows, for a
// parameter per channel.
//
// A functor has
//   static constexpr int kSums;      // parameters whose gradient it sums
//   template <int V> __device__ void Load(int64_t column, float (&p)[2][V])
//       const;                       // what all rows share
//   template <int V> __device__ void Row(int64_t i, const float (&p)[2][V],
//                                        float (&sums)[kSums][V]) const;
// where Row does elements [i, i + V) of a row, reading them all before it
// writes, and adds their terms to the sums.
//
// A block of 32 x 8 threads does 32 packs of columns and a slab of rows; thread
// (x, y) takes every eighth row. Then the block adds its eight sums per column,
// and ColumnSum those of the slabs: no atomics, the same bits in every run.

#ifndef LT2_KERNELS_ACTIVATION_COLUMNS_CUH_
#define LT2_KERNELS_ACTIVATION_COLUMNS_CUH_

#include <algorithm>

#include "kernels/core/column_sum.cuh"
#include "kernels/core/math.cuh"
#include "kernels/core/pack.cuh"

namespace lt2::kernels {

inline constexpr int kColumnRowThreads = 8;

// values[(column + j) / group] for a pack of columns; a pack of values where
// there is one per column.
template <int V>
__device__ __forceinline__ void LoadGrouped(const float* values, int64_t column,
                                            int group, float (&to)[V]) {
  if (group == 1) {
    cuda::LoadPack<V>(values + column, to);
    return;
  }
#pragma unroll
  for (int j = 0; j < V; ++j) {
    to[j] = values[static_cast<unsigned>(column + j) / group];
  }
}

template <int V, typename F>
__global__ void __launch_bounds__(32 * kColumnRowThreads)
    ColumnMapKernel(const F f, float* partials, int64_t rows, int64_t dim,
                    int64_t rows_per_slab) {
  constexpr int kSums = F::kSums;
  __shared__ float shared[kColumnRowThreads][V][33];
  const int64_t column = (int64_t{blockIdx.x} * 32 + threadIdx.x) * V;
  const int64_t first = int64_t{blockIdx.y} * rows_per_slab;
  const int64_t last = min(rows, first + rows_per_slab);
  float sums[kSums][V] = {};
  if (column < dim) {
    float p[2][V];
    f.template Load<V>(column, p);
    for (int64_t row = first + threadIdx.y; row < last;
         row += kColumnRowThreads) {
      f.template Row<V>(row * dim + column, p, sums);
    }
  }
#pragma unroll
  for (int s = 0; s < kSums; ++s) {
    if (s > 0) __syncthreads();
#pragma unroll
    for (int j = 0; j < V; ++j)
      shared[threadIdx.y][j][threadIdx.x] = sums[s][j];
    __syncthreads();
    if (threadIdx.y != 0 || column >= dim) continue;
#pragma unroll
    for (int j = 0; j < V; ++j) {
      float total = 0.0f;
      for (int y = 0; y < kColumnRowThreads; ++y) {
        total += shared[y][j][threadIdx.x];
      }
      partials[(int64_t{s} * gridDim.y + blockIdx.y) * dim + column + j] =
          total;
    }
  }
}

// out[g] = the sum of a group's columns: a warp per group.
template <typename = void>
__global__ void GroupSumKernel(const float* columns, int group, float* out) {
  float sum = 0.0f;
  for (int c = threadIdx.x; c < group; c += 32) {
    sum += columns[int64_t{blockIdx.x} * group + c];
  }
  sum = cuda::WarpSum(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// Runs f over [rows, dim]. outs[s] is f32 with one sum per column or per group
// of columns; undefined where the sum is not needed. `pack`: dim and all
// addresses that f uses allow packs.
template <typename F>
absl::Status ColumnMap(Context& ctx, int64_t rows, int64_t dim,
                       int64_t max_slabs, bool pack, const F& f,
                       const Tensor (&outs)[F::kSums]) {
  int64_t slabs = std::min(max_slabs, cuda::CeilDiv(rows, kColumnRowThreads));
  const int64_t rows_per_slab = cuda::CeilDiv(rows, slabs);
  slabs = cuda::CeilDiv(rows, rows_per_slab);
  const Shape shape({F::kSums, slabs, dim});
  LT2_ASSIGN_OR_RETURN(Tensor partials, ctx.Empty(DType::kF32, shape));
  float* const sums = cuda::Data<float>(partials);
  constexpr int V = cuda::kPackSize;
  const int64_t tiles = cuda::CeilDiv(dim, 32 * (pack ? V : 1));
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(slabs));
  const dim3 block(32, kColumnRowThreads);
  if (pack) {
    ColumnMapKernel<V, F><<<grid, block, 0, cuda::StreamOf(ctx)>>>(
        f, sums, rows, dim, rows_per_slab);
  } else {
    ColumnMapKernel<1, F><<<grid, block, 0, cuda::StreamOf(ctx)>>>(
        f, sums, rows, dim, rows_per_slab);
  }
  LT2_RETURN_LAUNCH_ERROR("ColumnMapKernel");
  for (int s = 0; s < F::kSums; ++s) {
    if (!outs[s].defined()) continue;
    float* const partial = sums + s * slabs * dim;
    float* const out = cuda::Data<float>(outs[s]);
    const int64_t groups = outs[s].numel();
    if (groups == dim) {
      LT2_RETURN_IF_ERROR(cuda::ColumnSum(ctx, partial, slabs, dim, out));
      continue;
    }
    LT2_ASSIGN_OR_RETURN(Tensor columns, ctx.Empty(DType::kF32, {dim}));
    LT2_RETURN_IF_ERROR(
        cuda::ColumnSum(ctx, partial, slabs, dim, cuda::Data<float>(columns)));
    GroupSumKernel<>
        <<<static_cast<unsigned>(groups), 32, 0, cuda::StreamOf(ctx)>>>(
            cuda::Data<float>(columns), static_cast<int>(dim / groups), out);
    LT2_RETURN_LAUNCH_ERROR("GroupSumKernel");
  }
  return absl::OkStatus();
}

// Slabs for about 1024 blocks when there is that much work.
inline int64_t ManySlabs(int64_t dim, bool pack) {
  return cuda::CeilDiv(1024,
                       cuda::CeilDiv(dim, 32 * (pack ? cuda::kPackSize : 1)));
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_COLUMNS_CUH_
