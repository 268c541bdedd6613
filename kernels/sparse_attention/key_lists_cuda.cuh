// The lists of queries by key: who attends to which rows of k.
//
// Rows of k are cut into tiles of at most 64, each of whole blocks or a part of
// one block. A list entry says that one query sees some rows of one tile, with
// a mask of 64 bits, so that lists of single tokens (DSA) and of blocks (NSA)
// give tensor cores the same work: a tile of keys against 64 query heads, most
// of them seen by many of the 64 keys. Entries of one tile are in the order of
// the queries, which fixes the order of every sum.
//
// Lists of very different length (every query of NSA selects block 0) are cut
// into parts of `part` entries, one thread block each; their partial sums are
// added in order afterwards.
//
// For prefix lists nothing is built: the entries of a tile are the queries from
// the first that sees it.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_KEY_LISTS_CUDA_CUH_
#define LT2_KERNELS_SPARSE_ATTENTION_KEY_LISTS_CUDA_CUH_

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {

inline constexpr int kTileRows = 64;

// Which rows of k are in which tile. `span` rows, blocks together or one alone,
// have `parts` tiles of 64; the last may be shorter.
struct KeyTiles {
  explicit KeyTiles(const ListSizes& z)
      : span(z.prefix || z.block_size <= kTileRows
                 ? kTileRows / BlockRows(z) * BlockRows(z)
                 : z.block_size),
        parts((span + kTileRows - 1) / kTileRows),
        keys(z.keys),
        count((keys + span - 1) / span * parts) {}

  // Rows of k of one entry of a query's list.
  __host__ __device__ static int BlockRows(const ListSizes& z) {
    return z.prefix ? 1 : z.block_size;
  }
  __device__ int Begin(int tile) const {
    return tile / parts * span + tile % parts * kTileRows;
  }
  __device__ int End(int tile) const {
    return min(min(Begin(tile) + kTileRows, (tile / parts + 1) * span), keys);
  }
  // The tile of a row, whose place in it is row - Begin.
  __device__ int Of(int row) const {
    return row / span * parts + row % span / kTileRows;
  }

  int span, parts, keys, count;
};

// Bits [begin, end) of 64; none if end <= begin.
__host__ __device__ constexpr uint64_t MaskBits(int begin, int end) {
  if (end <= begin) return 0;
  const uint64_t below_end =
      end >= 64 ? ~uint64_t{0} : (uint64_t{1} << end) - 1;
  return below_end & ~((uint64_t{1} << begin) - 1);
}

struct KeyLists {
  explicit KeyLists(const ListSizes& z) : tiles(z) {}

  KeyTiles tiles;
  int64_t lists;    // batch, list head, tile
  int64_t entries;  // at most, of all lists
  int slots;        // at most, of one query's list: tiles that it sees
  int part;
  int64_t items;  // parts of all lists, at most
  // Of each entry, sorted: where its query and mask are. Null: prefix lists.
  // slot = ((b S + i) list_heads + list_head) slots + n
  const uint32_t* sorted = nullptr;
  const uint2* masks = nullptr;     // [slots of all queries]
  const int32_t* first = nullptr;   // [lists] entry, or query of a prefix list
  const int32_t* counts = nullptr;  // [lists] entries
  const int32_t* part_starts = nullptr;  // [lists + 1]
  Tensor storage[6];                     // what the pointers point to
};

absl::StatusOr<KeyLists> MakeKeyLists(Context& ctx, const ListSizes& z);

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_KEY_LISTS_CUDA_CUH_
