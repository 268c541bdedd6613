// What the kernels of selected and of compressed attention share on a GPU.
//
// Both are attention of each query over its own list of rows of k and v. For
// selected attention the list is `indices`, spelled out in tokens; for
// compressed attention it is all rows below a limit. Small groups have a warp
// for each query (OneWarpPerQuery below). Else a thread block takes one query
// and up to 16 heads of one group, the rows of a tensor-core product, so that a
// gathered row of k or v is read once for the whole group:
//
//   tile of 64 list positions -> token numbers -> rows copied asynchronously
//   scores [16, 64]: each of four warps has 16 of the 64 columns
//   o [16, Dv]: each warp has every fourth 16 columns, p goes by shared memory
//
// Tiles in shared memory have rows of D rounded up to 64 (zeros beyond D) and
// the permutation of attention_mma.cuh; D is an argument, not a template.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SELECTED_CUDA_CUH_
#define LT2_KERNELS_SPARSE_ATTENTION_SELECTED_CUDA_CUH_

#include <cstdint>

#include "kernels/attention/attention_mma.cuh"
#include "kernels/sparse_attention/block_compress_internal.h"
#include "kernels/sparse_attention/selected_attention_internal.h"

namespace lt2::kernels::sparse {

using mma::Bf16;

inline constexpr float kLog2E = 1.44269504088896341f;
inline constexpr int kThreads = 128;
inline constexpr int kHeads = 16;  // query heads of a thread block
inline constexpr int kKeys = 64;   // list positions of a tile

// Extents and lists. Built on the host, passed by value.
struct ListSizes {
  ListSizes() = default;
  explicit ListSizes(const SelectedAttentionArgs& args);
  explicit ListSizes(const CompressedAttentionArgs& args);
  explicit ListSizes(const SelectBlocksArgs& args);

  // Rows of k that query i of row b may see at all.
  __device__ int Limit(int64_t b, int64_t i) const {
    const int64_t position = positions.Of(b, i);
    if (position < 0) return 0;
    const int64_t n = prefix ? (position + 1) / block_size : position + 1;
    return static_cast<int>(min(n, static_cast<int64_t>(keys)));
  }
  // The list of a query for one key head.
  __device__ const int32_t* List(int64_t b, int64_t i, int kv_head) const {
    const int head = list_heads == 1 ? 0 : kv_head;
    return indices + ((b * queries + i) * list_heads + head) * entries;
  }
  // First element of a vector.
  __device__ int64_t Query(int64_t b, int64_t i, int h) const {
    return ((b * queries + i) * heads + h) * dim;
  }
  __device__ int64_t Output(int64_t b, int64_t i, int h) const {
    return ((b * queries + i) * heads + h) * value_dim;
  }
  __device__ int64_t Key(int64_t b, int64_t s, int kv_head) const {
    return ((b * keys + s) * kv_heads + kv_head) * dim;
  }
  __device__ int64_t Value(int64_t b, int64_t s, int kv_head) const {
    return ((b * keys + s) * kv_heads + kv_head) * value_dim;
  }
  __device__ int64_t Lse(int64_t b, int64_t i, int h) const {
    return (b * heads + h) * queries + i;
  }

  Positions positions;
  int64_t batch;
  const int32_t* indices;  // null for prefix lists
  bool prefix;             // the list is 0, 1, ..., Limit - 1
  int queries, keys, heads, kv_heads, group, dim, value_dim;
  int list_heads, entries, block_size;
  float scale, scale_log2;
};

// OK if every extent fits an int with room for a tile.
absl::Status CheckListSizes(const ListSizes& z, int64_t blocks);

struct ForwardArgs {
  Tensor q, k, v, o, lse;
};
absl::Status ListForward(Context& ctx, const ListSizes& z,
                         const ForwardArgs& args);
// f32 and bf16 of any size, without tensor cores: selected_plain_cuda.cu.
absl::Status PlainForward(Context& ctx, const ListSizes& z,
                          const ForwardArgs& args);
// bf16 and one warp for a query and key head instead of tiles, for the forward
// pass and dq: selected_warp_cuda.cu. This is the whole rule. It must not
// depend on the batch, on the number of queries or on the lists: a segment and
// the whole have the same bits.
bool OneWarpPerQuery(const ListSizes& z);
absl::Status WarpForward(Context& ctx, const ListSizes& z,
                         const ForwardArgs& args);

struct GradArgs {
  Tensor q, k, v, o, lse, dout, dq, dk, dv;
};
// bf16; delta f32 [B, H, S] = rowsum(dout * o).
absl::Status ListGrad(Context& ctx, const ListSizes& z, const GradArgs& args);
absl::Status QueryGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                       const Tensor& delta);
absl::Status WarpQueryGrad(Context& ctx, const ListSizes& z,
                           const GradArgs& args, const Tensor& delta);
absl::Status KeyGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                     const Tensor& delta);
// dq, dk and dv by way of all visible pairs, selected_masked_grad_cuda.cu:
// whether that is the form to take, and it. As the rule sees the number of
// keys, a gradient's bits depend on how far a batch is padded.
bool UsesMaskedGrad(const ListSizes& z);
absl::Status MaskedGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                        const Tensor& delta);

// Columns of a tile's rows.
__host__ __device__ constexpr int Padded(int dim) {
  return (dim + 63) / 64 * 64;
}

#ifdef __CUDACC__

// Where element (row, column) of a tile is; column a multiple of 8.
__device__ __forceinline__ int TileAt(int row, int column, int padded) {
  return row * padded + (((column / 8) ^ (row & 7)) * 8);
}

// Starts copying kRows rows to a tile; offset(r) is where row r begins, below
// 0 for a row of zeros. Eight threads share a row, 16 rows go at once.
template <int kRows, typename Offset>
__device__ __forceinline__ void CopyRows(Bf16* tile, int padded,
                                         const Bf16* from, int dim,
                                         const Offset& offset) {
  static_assert(kRows % (kThreads / 8) == 0);
  const int piece = static_cast<int>(threadIdx.x) % 8;
#pragma unroll
  for (int first = 0; first < kRows; first += kThreads / 8) {
    const int r = first + static_cast<int>(threadIdx.x) / 8;
    const int64_t at = offset(r);
    const Bf16* source = from + (at < 0 ? 0 : at) + piece * 8;
    Bf16* target = tile + r * padded + (piece ^ (r & 7)) * 8;
    for (int c = 0; c < padded; c += 64) {
      const bool valid = at >= 0 && c + piece * 8 < dim;
      mma::CopyAsync16(target + c, valid ? source + c : from, valid);
    }
  }
}

// Operands of products, as in attention_tile.cuh: rows [row, row + 16) and
// columns [column, column + 16) of a tile as left operand,
__device__ __forceinline__ void LoadLeft(uint32_t (&a)[4], const Bf16* tile,
                                         int padded, int row, int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatrices(
      a, tile + TileAt(row + lane % 16, column + lane / 16 * 8, padded));
}
// as right operand of a product with the tile's transpose,
__device__ __forceinline__ void LoadRightTransposed(uint32_t (&b)[4],
                                                    const Bf16* tile,
                                                    int padded, int row,
                                                    int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatrices(b, tile + TileAt(row + lane % 8 + lane / 16 * 8,
                                     column + lane / 8 % 2 * 8, padded));
}
// and of a product with the tile itself.
__device__ __forceinline__ void LoadRight(uint32_t (&b)[4], const Bf16* tile,
                                          int padded, int row, int column) {
  const int lane = threadIdx.x % 32;
  mma::LoadMatricesTransposed(
      b, tile + TileAt(row + lane % 16, column + lane / 16 * 8, padded));
}

// c[16, 8 kGroups] += left rows [row, row + 16) times the transpose of rows
// [right_row, right_row + 8 kGroups) of right, over `dim` columns.
template <int kGroups>
__device__ __forceinline__ void Scores(float (&c)[kGroups][4], const Bf16* left,
                                       int row, const Bf16* right,
                                       int right_row, int dim) {
  const int padded = Padded(dim);
#pragma unroll 2
  for (int d = 0; d < dim; d += 16) {
    uint32_t a[4];
    LoadLeft(a, left, padded, row, d);
#pragma unroll
    for (int n = 0; n < kGroups; n += 2) {
      uint32_t b[4];
      LoadRightTransposed(b, right, padded, right_row + n * 8, d);
      mma::Multiply(c[n], a, b[0], b[1]);
      mma::Multiply(c[n + 1], a, b[2], b[3]);
    }
  }
}

// A warp's 16 x 16 part of `to`, a [16, kKeys] tile of bf16, at column.
__device__ __forceinline__ void StoreWeights(const float (&p)[2][4], Bf16* to,
                                             int column) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = TileAt(lane / 4 + 8 * half, column + n * 8, kKeys);
      *reinterpret_cast<uint32_t*>(to + at + lane % 4 * 2) =
          mma::Pack(p[n][2 * half], p[n][2 * half + 1]);
    }
  }
}

// out[c] += weights [16, kKeys] times columns (warp + 4 c) 16 ... of `tile`.
template <int kGroups>
__device__ __forceinline__ void MultiplyWeights(float (&out)[kGroups][2][4],
                                                const Bf16* weights,
                                                const Bf16* tile, int dim) {
  const int warp = threadIdx.x / 32, padded = Padded(dim);
#pragma unroll
  for (int k = 0; k < kKeys; k += 16) {
    uint32_t a[4];
    LoadLeft(a, weights, kKeys, 0, k);
#pragma unroll
    for (int c = 0; c < kGroups; ++c) {
      const int column = (warp + 4 * c) * 16;
      if (column >= dim) continue;
      uint32_t b[4];
      LoadRight(b, tile, padded, k, column);
      mma::Multiply(out[c][0], a, b[0], b[1]);
      mma::Multiply(out[c][1], a, b[2], b[3]);
    }
  }
}

// Stores `rows` of those products, times scale[row / 8 of this lane]; rows are
// `dim` apart.
template <int kGroups>
__device__ __forceinline__ void StoreOutput(const float (&out)[kGroups][2][4],
                                            const float (&scale)[2], Bf16* to,
                                            int rows, int dim) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    if (row >= rows) continue;
#pragma unroll
    for (int c = 0; c < kGroups; ++c) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const int column = (warp + 4 * c) * 16 + n * 8;
        if (column >= dim) continue;
        *reinterpret_cast<uint32_t*>(to + row * dim + column + lane % 4 * 2) =
            mma::Pack(out[c][n][2 * half] * scale[half],
                      out[c][n][2 * half + 1] * scale[half]);
      }
    }
  }
}

// The list of one query, as token numbers.
class TokenList {
 public:
  // Every thread of the block; `scratch` is kThreads / 32 ints. Contains
  // barriers.
  __device__ TokenList(const ListSizes& z, int64_t b, int64_t i, int kv_head,
                       int* scratch)
      : block_size_(z.block_size), limit_(z.Limit(b, i)) {
    if (z.prefix) {
      count_ = limit_;
      return;
    }
    list_ = z.List(b, i, kv_head);
    blocks_ = (limit_ + block_size_ - 1) / block_size_;
    // One past the last entry that names a visible block: lists are often
    // padded with -1.
    unsigned end = 0;
    for (int e = threadIdx.x; e < z.entries; e += blockDim.x) {
      const int index = list_[e];
      if (index >= 0 && index < blocks_) end = e + 1;
    }
    end = __reduce_max_sync(0xffffffffu, end);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = end;
    __syncthreads();
    for (int w = 0; w < kThreads / 32; ++w) end = max(end, scratch[w]);
    count_ = static_cast<int>(end) * block_size_;
    __syncthreads();  // scratch may be used again
  }

  // The same for every lane of a warp that has a list for itself. No barriers.
  __device__ TokenList(const ListSizes& z, int64_t b, int64_t i, int kv_head)
      : block_size_(z.block_size), limit_(z.Limit(b, i)) {
    if (z.prefix) {
      count_ = limit_;
      return;
    }
    list_ = z.List(b, i, kv_head);
    blocks_ = (limit_ + block_size_ - 1) / block_size_;
    unsigned end = 0;
    for (int e = threadIdx.x % 32; e < z.entries; e += 32) {
      const int index = list_[e];
      if (index >= 0 && index < blocks_) end = e + 1;
    }
    end = __reduce_max_sync(0xffffffffu, end);
    count_ = static_cast<int>(end) * block_size_;
  }

  // Positions of the list to go through.
  __device__ int count() const { return count_; }

  // The token at a position, -1 if there is none that the query sees.
  __device__ int At(int position) const {
    if (position >= count_) return -1;
    if (list_ == nullptr) return position;
    const int entry = position / block_size_;
    const int index = list_[entry];
    if (index < 0 || index >= blocks_) return -1;
    const int token = index * block_size_ + (position - entry * block_size_);
    return token < limit_ ? token : -1;
  }

 private:
  const int32_t* list_ = nullptr;
  int block_size_, limit_, blocks_ = 0, count_;
};

// Which query, key head and query heads a thread block has: the first block
// has the last query, which sees most.
struct BlockTask {
  __device__ explicit BlockTask(const ListSizes& z) {
    const int head_tiles = (z.group + kHeads - 1) / kHeads;
    int64_t block = gridDim.x - 1 - blockIdx.x;
    const int first = static_cast<int>(block % head_tiles) * kHeads;
    block /= head_tiles;
    kv_head = static_cast<int>(block % z.kv_heads);
    block /= z.kv_heads;
    i = block % z.queries;
    b = block / z.queries;
    head = kv_head * z.group + first;
    rows = min(kHeads, z.group - first);
  }
  int64_t b, i;
  int kv_head, head, rows;
};

#endif  // __CUDACC__

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SELECTED_CUDA_CUH_
