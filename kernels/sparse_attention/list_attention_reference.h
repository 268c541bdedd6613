// The definition of selected and of compressed attention made runnable in fp64:
// both are attention of every query over its own list of rows of k and v.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_REFERENCE_H_
#define LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

// Extents and constants; the arrays are laid out as in selected_attention.h.
struct ListAttentionShape {
  int64_t batch = 1, queries = 1, keys = 1, heads = 1, kv_heads = 1;
  int64_t dim = 1, value_dim = 1;
  double scale = 1;

  int64_t q_numel() const { return batch * queries * heads * dim; }
  int64_t k_numel() const { return batch * keys * kv_heads * dim; }
  int64_t v_numel() const { return batch * keys * kv_heads * value_dim; }
  int64_t o_numel() const { return batch * queries * heads * value_dim; }
  int64_t lse_numel() const { return batch * heads * queries; }
  // Index of the first element of a vector.
  int64_t QueryRow(int64_t b, int64_t i, int64_t h) const {
    return ((b * queries + i) * heads + h) * dim;
  }
  int64_t OutputRow(int64_t b, int64_t i, int64_t h) const {
    return ((b * queries + i) * heads + h) * value_dim;
  }
  int64_t KeyRow(int64_t b, int64_t s, int64_t h) const {
    return ((b * keys + s) * kv_heads + h / (heads / kv_heads)) * dim;
  }
  int64_t ValueRow(int64_t b, int64_t s, int64_t h) const {
    return ((b * keys + s) * kv_heads + h / (heads / kv_heads)) * value_dim;
  }
  int64_t LseIndex(int64_t b, int64_t i, int64_t h) const {
    return (b * heads + h) * queries + i;
  }
};

// Position of query i of row b; `lengths` empty: every row has `tokens`.
int64_t PositionOf(const std::vector<int32_t>& lengths, int64_t tokens,
                   int64_t queries, int64_t b, int64_t i);

// For every (b, i, key head) the rows of k and v that the query sees.
using RowLists = std::vector<std::vector<int64_t>>;
inline const std::vector<int64_t>& ListOf(const ListAttentionShape& s,
                                          const RowLists& lists, int64_t b,
                                          int64_t i, int64_t h) {
  return lists[(b * s.queries + i) * s.kv_heads + h / (s.heads / s.kv_heads)];
}

// The tokens of the selected blocks up to the position. indices is
// [B, S, index_heads, n].
RowLists SelectedLists(const ListAttentionShape& shape,
                       const std::vector<int32_t>& indices, int64_t index_heads,
                       int64_t block_size, const std::vector<int32_t>& lengths);

// The complete blocks up to the position; shape.keys is their number C.
RowLists CompressedLists(const ListAttentionShape& shape, int64_t tokens,
                         int64_t block_size,
                         const std::vector<int32_t>& lengths);

struct ListAttentionValues {
  std::vector<double> o, lse;
};
ListAttentionValues ListAttentionReference(const ListAttentionShape& shape,
                                           const RowLists& lists,
                                           const std::vector<double>& q,
                                           const std::vector<double>& k,
                                           const std::vector<double>& v);

struct ListAttentionGradients {
  std::vector<double> dq, dk, dv;
};
ListAttentionGradients ListAttentionGradReference(
    const ListAttentionShape& shape, const RowLists& lists,
    const std::vector<double>& q, const std::vector<double>& k,
    const std::vector<double>& v, const std::vector<double>& dout);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_LIST_ATTENTION_REFERENCE_H_
