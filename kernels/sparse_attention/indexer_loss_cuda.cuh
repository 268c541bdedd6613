// What the kernels of the indexer's loss share on a GPU.
//
// As in selected attention a thread block has one query and its list of tokens
// (the indices, or all visible tokens). The first kernel writes, for each list
// position, the score I and the target p; from these it computes the query's
// loss, or d loss / d I in place of I. Where the list is a large part of the
// visible tokens, other kernels do the same from I and p of all of them
// (UsesDenseLoss). The gradient then goes on from there, slab by slab
// (indexer_cuda.cuh), so that memory does not grow with S x L.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_LOSS_CUDA_CUH_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_LOSS_CUDA_CUH_

#include <algorithm>

#include "kernels/sparse_attention/indexer_cuda.cuh"
#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {

// Arrays of a slab, rows by list position but for kByToken.
enum LossArray {
  kScores = 0,   // I, then d loss / d I
  kTargets = 1,  // p before its division by the sum; below 0: not in the set;
                 // the dense form has H p, by token
  kByToken = 2,  // d loss / d I by token, 0 outside the set
};

// 128 MB for all arrays.
inline constexpr int64_t kLossElements = 32 << 20;

struct LossParams {
  explicit LossParams(const IndexerLossArgs& args);

  ListSizes z;      // lists and the main attention
  IndexerParams x;  // the indexer
  const Bf16 *index_q, *index_k, *q, *k;
  const float* lse;
  float inverse_rows;            // 1 / (B S)
  float* row_loss = nullptr;     // f32 [B, S], or null: the gradient
  const float* dloss = nullptr;  // f32 [1], or null for 1
};

// OK if the arguments are bf16 and fit.
absl::Status CheckLoss(const IndexerLossArgs& args);

inline SlabSize LossSlabSize(const LossParams& p, bool gradient) {
  const int64_t columns = std::max(p.z.keys, p.z.entries);
  // A prefix list is by token as it is.
  return {columns, gradient && !p.z.prefix ? 3 : 2, kLossElements};
}

// Fills either row_loss, or d loss / d I in kScores and for lists of indices in
// kByToken. Two forms: gathered lists, or all visible pairs.
absl::Status LaunchLoss(Context& ctx, const IndexerArgs& indexer,
                        const LossParams& params, const Slab& slab);

// The second form, indexer_dense_loss_cuda.cu: whether it is the one to take,
// and it.
bool UsesDenseLoss(const LossParams& params);
absl::Status LaunchDenseLoss(Context& ctx, const IndexerArgs& indexer,
                             const LossParams& params, const Slab& slab);

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_LOSS_CUDA_CUH_
