// The lightning indexer in fp64: scores, exact top-k, the loss and its
// gradient, by their definition.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_REFERENCE_H_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/sparse_attention/list_attention_reference.h"

namespace lt2::kernels {

// Extents and constants. The arrays are laid out as in indexer.h.
struct IndexerShape {
  int64_t batch = 1, queries = 1, keys = 1, heads = 1, dim = 1;
  double scale = 1;
  bool relu = true;
  std::vector<int32_t> lengths;  // empty: every row has `keys` tokens

  int64_t q_numel() const { return batch * queries * heads * dim; }
  int64_t k_numel() const { return batch * keys * dim; }
  int64_t w_numel() const { return batch * queries * heads; }
};

// w empty: 1 / heads.
struct IndexerValues {
  std::vector<double> q, k, w;
};

// For every (b, t) the scores of tokens 0 .. position(t).
std::vector<std::vector<double>> IndexerScoresReference(
    const IndexerShape& shape, const IndexerValues& in);

// The top_k of one row of scores: ascending, then -1.
std::vector<int32_t> TopKOf(const std::vector<double>& scores, int64_t top_k);

// [B, S, top_k]
std::vector<int32_t> IndexerTopKReference(const IndexerShape& shape,
                                          const IndexerValues& in,
                                          int64_t top_k);

// The set of every query of the loss: its indices [B, S, n] up to the position,
// or all visible tokens if `dense`.
RowLists IndexerSets(const IndexerShape& shape,
                     const std::vector<int32_t>& indices, bool dense);

// What the loss is measured against.
struct IndexerTarget {
  ListAttentionShape shape;  // the main attention's
  std::vector<double> q, k, lse;
};

struct IndexerLossValues {
  double loss = 0;
  std::vector<double> dq, dk, dw;  // dw empty if w is
};
IndexerLossValues IndexerLossReference(const IndexerShape& shape,
                                       const IndexerValues& in,
                                       const RowLists& sets,
                                       const IndexerTarget& target);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_REFERENCE_H_
