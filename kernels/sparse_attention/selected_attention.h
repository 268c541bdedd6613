// Softmax attention of every query over its own list of blocks of tokens: the
// second half of DSA (blocks of one token, lists from IndexerTopK) and the
// selected branch of NSA (blocks of 64, lists from SelectBlocks).
//
//   T[b,i,h] = { s : s / block_size in indices[b,i,h''], s <= position }
//   o[b,i,h] = sum_{s in T} p[s] v[b,s,h'],   h' = h / (H / Hkv)
//   p        = softmax over s in T of scale * <q[b,i,h], k[b,s,h']>
//   lse      = log sum_{s in T} e^(scale <q, k_s>)
//
// h'' is h', or 0 if all heads share one list (Hi = 1). A query without tokens
// gives o = 0 and lse = -inf, and has no gradient.
//
// Positions. Row b holds length tokens, lengths[b] where `lengths` is given (k
// and v are then caches of capacity L, and entries past the length are never
// read) and L otherwise; query i of S stands at position length - S + i. So
// S = L is a sequence on its own and S < L a segment or a decoding step. The
// same in every header of this folder.
//
// Shapes: q [B, S, H, D]; k [B, L, Hkv, D]; v [B, L, Hkv, Dv]; indices i32
// [B, S, Hi, n]; o [B, S, H, Dv]; lse f32 [B, H, S]. S <= L, H a multiple of
// Hkv (any group size), Hi is Hkv or 1. An index is a block number below
// ceil(L / block_size) or -1 for none, in any order, no number twice.
//
// Cost for K = |T| <= n block_size tokens per query and head: 2 (D + Dv) K
// FLOPs forward, (6 D + 4 Dv) K backward (more where the scores are rebuilt
// twice). Memory: q, o, and K rows of k and of v for each query and key head,
// gathered. The gradient reads the lists sorted by block instead, so that every
// row of dk and dv has one owner; on a GPU, where lists are a large part of L,
// it reads all visible rows (6 D + 4 Dv FLOPs each and more) through a mask of
// S x L bits, at most three quarters of the lists of tokens. Then k and v must
// be finite where no list names them too.
//
// CPU: f32, any D. CUDA: f32 (forward only) or bf16, D and Dv multiples of 8 up
// to 576. No atomics on floats: the same bits on every run and for every thread
// count.
//
// Not supported: lists of different lengths (pad with -1), tokens after the
// query, a gradient for the indices, a ring buffer as cache.
//
// Source: DeepSeek-V3.2 (DSA), NSA (arXiv 2502.11089) equation 11 and the
// definition of both in flash-linear-attention, which LT2 (arXiv 2605.20670)
// uses. README.md derives the gradient.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_H_
#define LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_H_

#include <cstdint>

#include "kernels/core/context.h"

namespace lt2::kernels {

struct SelectedAttentionArgs {
  Tensor q;                // [B, S, H, D]
  Tensor k;                // [B, L, Hkv, D]
  Tensor v;                // [B, L, Hkv, Dv]
  Tensor indices;          // i32 [B, S, Hi, n]: block numbers or -1
  Tensor lengths;          // optional i32 [B]: tokens, the new ones included
  int64_t block_size = 1;  // tokens of a block
  float scale;             // > 0, usually 1 / sqrt(D)
};

struct SelectedAttentionResults {
  Tensor o;    // q's type, [B, S, H, Dv]
  Tensor lse;  // f32 [B, H, S]
};

// OK if SelectedAttention can be evaluated for these tensors, else says why
// not. The CPU also checks the values of indices and lengths when it runs; a
// GPU ignores indices out of range and clamps lengths to [0, L].
absl::Status SelectedAttentionSupports(const SelectedAttentionArgs& args);
absl::Status SelectedAttention(Context& ctx, const SelectedAttentionArgs& args,
                               SelectedAttentionResults* results);

struct SelectedAttentionGradArgs {
  SelectedAttentionArgs forward;
  Tensor o;     // of the forward pass
  Tensor lse;   // of the forward pass
  Tensor dout;  // d loss / d o, like o
};

struct SelectedAttentionGradResults {
  Tensor dq;  // like q
  Tensor dk;  // like k, 0 for tokens that no query selected
  Tensor dv;  // like v
};

absl::Status SelectedAttentionGradSupports(
    const SelectedAttentionGradArgs& args);
absl::Status SelectedAttentionGrad(Context& ctx,
                                   const SelectedAttentionGradArgs& args,
                                   SelectedAttentionGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_H_
