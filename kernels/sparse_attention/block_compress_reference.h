// Means of blocks and the choice of blocks in fp64, by their definition.
// Attention over the means is in list_attention_reference.h.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_REFERENCE_H_
#define LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/sparse_attention/list_attention_reference.h"

namespace lt2::kernels {

// x [batch, tokens, row] to [batch, tokens / block_size, row].
std::vector<double> BlockMeanReference(int64_t batch, int64_t tokens,
                                       int64_t row, int64_t block_size,
                                       const std::vector<double>& x);
// The transpose: dmean [batch, tokens / block_size, row] to [batch, tokens,
// row].
std::vector<double> BlockMeanGradReference(int64_t batch, int64_t tokens,
                                           int64_t row, int64_t block_size,
                                           const std::vector<double>& dmean);

struct BlockChoice {
  int64_t tokens;
  int64_t block_size;
  int64_t top_n;
  std::vector<int32_t> lengths;  // empty: every row has `tokens`
};

// Probabilities by which blocks are chosen, for every (b, i, key head) one for
// each visible block. shape.keys is C; lse is that of compressed attention.
std::vector<std::vector<double>> BlockScoresReference(
    const ListAttentionShape& shape, const BlockChoice& choice,
    const std::vector<double>& q, const std::vector<double>& kc,
    const std::vector<double>& lse);

// The blocks that are chosen whatever their score, in order of precedence.
std::vector<int64_t> ForcedBlocks(int64_t position, int64_t block_size);

// The choice that follows from the scores of one query: ascending, then -1.
std::vector<int32_t> ChooseBlocks(const std::vector<double>& scores,
                                  int64_t position, int64_t block_size,
                                  int64_t top_n);

std::vector<int32_t> SelectBlocksReference(const ListAttentionShape& shape,
                                           const BlockChoice& choice,
                                           const std::vector<double>& q,
                                           const std::vector<double>& kc,
                                           const std::vector<double>& lse);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_REFERENCE_H_
