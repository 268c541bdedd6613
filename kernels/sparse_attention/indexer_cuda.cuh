// What the kernels of the indexer share on a GPU: scores of a slab.
//
// A slab is a few batch rows times a few queries against all keys, f32, as many
// as fit a fixed number of elements, at least one tile of queries. Every score
// is computed once, in tiles of 64 queries by 128 keys, and what follows reads
// rows of the slab; nothing of size S x L exists unless it fits.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_CUDA_CUH_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_CUDA_CUH_

#include <cstdint>
#include <functional>

#include "kernels/core/cuda_util.cuh"
#include "kernels/sparse_attention/indexer_internal.h"

namespace lt2::kernels::sparse {

inline constexpr int kSlabQueries = 64;  // of a tile
inline constexpr int kSlabKeys = 128;    // of a tile

struct IndexerParams {
  explicit IndexerParams(const IndexerArgs& args) {
    const IndexerSizes z(args);
    positions = z.positions;
    w = args.w.defined() ? args.w.data<float>() : nullptr;
    queries = static_cast<int>(z.queries);
    keys = static_cast<int>(z.keys);
    heads = static_cast<int>(z.heads);
    dim = static_cast<int>(z.dim);
    scale = args.scale;
    relu = args.relu;
  }

  // Tokens that query i of row b sees.
  __device__ int Limit(int64_t b, int64_t i) const {
    const int64_t n = positions.Of(b, i) + 1;
    return static_cast<int>(
        min(max(n, int64_t{0}), static_cast<int64_t>(keys)));
  }
  __device__ int64_t Query(int64_t b, int64_t i, int j) const {
    return ((b * queries + i) * heads + j) * dim;
  }
  __device__ int64_t Key(int64_t b, int64_t s) const {
    return (b * keys + s) * dim;
  }
  __device__ int64_t Row(int64_t b, int64_t i) const { return b * queries + i; }
  __device__ float Activate(float x) const { return relu && x < 0 ? 0.0f : x; }
  __device__ float Weight(int64_t b, int64_t i, int j) const {
    return w == nullptr ? 1.0f / static_cast<float>(heads)
                        : w[Row(b, i) * heads + j];
  }

  Positions positions;
  const float* w;  // or null
  int queries, keys, heads, dim;
  float scale;
  bool relu;
};

// Batch rows [b, b + batch) and queries [query, query + rows), several arrays
// of them one behind the other.
struct Slab {
  int64_t b, batch;
  int query, rows;
  int64_t stride;  // elements of a row, a multiple of kSlabKeys
  int64_t plane;   // elements of an array
  float* data;     // [batch, rows, stride]
  __device__ float* Row(int64_t batch_row, int64_t r, int array = 0) const {
    return data + array * plane + (batch_row * rows + r) * stride;
  }
};

// How much memory slabs may take: `arrays` of rows of at least `columns`.
struct SlabSize {
  int64_t columns;
  int arrays;
  int64_t elements;  // of all arrays, or one tile of queries if that is more
};

// Calls body for slabs that cover all queries, one after the other.
absl::Status ForEachSlab(Context& ctx, const IndexerArgs& args,
                         const SlabSize& size,
                         const std::function<absl::Status(const Slab&)>& body);

// Writes I[t,s] to every element of the slab with s < Limit; what lies beyond
// is undefined.
absl::Status ScoreSlab(Context& ctx, const IndexerArgs& args, const Slab& slab);

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_CUDA_CUH_
