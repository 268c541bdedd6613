// The lightning indexer of DSA: a cheap score for every (query, token) pair,
// the exact top-k of it, and the loss that trains it.
//
//   I[t,s]   = sum_j w[t,j] relu(scale <q[t,j], k[s]>)        s <= position(t)
//   selected = the top_k tokens by I[t,.]
//   loss     = mean over t of KL(p_t || softmax over s of I[t,.])
//
// One key per token serves all HI index heads. Without w every head counts
// 1/HI; without relu the score is bilinear, (sum_j w_j q_j) . k. Positions and
// lengths are those of selected_attention.h.
//
// Shapes: q [B, S, HI, DI]; k [B, L, DI]; w f32 [B, S, HI]; indices i32
// [B, S, 1, top_k], as SelectedAttention with block_size 1 takes them.
//
// Cost: 2 HI (DI + 1) FLOPs for every visible pair, S L / 2 of them for a
// whole sequence: the indexer is QUADRATIC in the length. It is cheap (HI DI
// is small, no values are gathered), not linear; what is linear is the memory,
// as scores exist only in tiles of one query or a few, and the attention that
// follows. The loss on a selected set costs S top_k pairs instead.
//
// CPU: f32, any DI. CUDA: f32 or bf16, DI a multiple of 8 up to 128; the loss
// bf16 only, D a multiple of 8 up to 576. The same bits on every run and for
// every thread count.
//
// Not supported: fp8 scores and the Hadamard rotation of DeepSeek-V3.2 (they
// change speed, not the definition), a gradient through the selection.
//
// Source: DeepSeek-V3.2, equations 1 to 4; the form without training and with
// relu = false is that of LT2's released code (arXiv 2605.20670). README.md
// derives the gradient of the loss.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_H_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_H_

#include <cstdint>

#include "kernels/core/context.h"

namespace lt2::kernels {

struct IndexerArgs {
  Tensor q;        // [B, S, HI, DI]
  Tensor k;        // [B, L, DI]
  Tensor w;        // optional f32 [B, S, HI]; undefined: 1 / HI
  Tensor lengths;  // optional i32 [B]: tokens, the new ones included
  float scale;     // > 0, usually 1 / sqrt(DI)
  bool relu = true;
};

// indices[b,t,0] = the top_k visible tokens by score in f32, ascending, then
// -1 where fewer are visible. Exact for the scores as evaluated: ties (+0 and
// -0 are one) go to the lower index; NaN ranks below all numbers.
absl::Status IndexerTopKSupports(const IndexerArgs& args, int64_t top_k);
absl::Status IndexerTopK(Context& ctx, const IndexerArgs& args, int64_t top_k,
                         Tensor* indices /* i32 [B, S, 1, top_k] */);

// The set of query t is its indices (tokens after its position left out), or
// all visible tokens. p is the main attention, averaged over its heads:
//
//   p_t[s] = (1/H) sum_h e^(attention_scale <q_h, k_s> - lse_h), s in the set,
//
// divided by its sum over the set, and a constant for the gradient.
// attention_lse is that of attention over the same set, so that the sum is
// about 1 before. A query with an empty set, or whose p are all 0 in f32, adds
// nothing to the sum; the mean is always over B S queries.
struct IndexerLossArgs {
  IndexerArgs indexer;
  Tensor indices;        // optional i32 [B, S, 1, n]; undefined: dense
  Tensor attention_q;    // [B, S, H, D], of the indexer's type
  Tensor attention_k;    // [B, L, Hkv, D]
  Tensor attention_lse;  // f32 [B, H, S]
  float attention_scale;
};
absl::Status IndexerLossSupports(const IndexerLossArgs& args);
absl::Status IndexerLoss(Context& ctx, const IndexerLossArgs& args,
                         Tensor* loss /* f32 [1] */);

// d loss / d I[t,s] = (softmax(I_t)[s] - p_t[s]) / (B S). Nothing flows into
// the main attention.
struct IndexerLossGradArgs {
  IndexerLossArgs forward;
  Tensor dloss;  // optional f32 [1]; undefined: 1
};
struct IndexerLossGradResults {
  Tensor dq;  // like indexer.q
  Tensor dk;  // like indexer.k
  Tensor dw;  // like indexer.w; undefined if that is
};
absl::Status IndexerLossGradSupports(const IndexerLossGradArgs& args);
absl::Status IndexerLossGrad(Context& ctx, const IndexerLossGradArgs& args,
                             IndexerLossGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_H_
