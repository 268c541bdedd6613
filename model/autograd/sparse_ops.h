// Differentiable operations of sparse attention (kernels/sparse_attention):
// see ops.h for what all operations share.
//
// `lengths` i32 [batch], where given, says that k and v (or kc, vc) are caches
// and how many tokens each row has, the new ones included (inference only); it
// may be undefined. `lse`, if given, receives the log of the softmax
// denominators [batch, heads, seq].

#ifndef LT2_MODEL_AUTOGRAD_SPARSE_OPS_H_
#define LT2_MODEL_AUTOGRAD_SPARSE_OPS_H_

#include "model/autograd/tape.h"

namespace lt2::model {

// Attention of each query over the blocks of tokens in its row of `indices`
// i32 [batch, seq, kv_heads or 1, n].
Var SelectedAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                      const Tensor& indices, int64_t block_size, float scale,
                      const Tensor& lengths, Tensor* lse);

// Means of the complete blocks of x [batch, seq, heads, dim].
Var BlockMean(Tape& tape, const Var& x, int64_t block_size);
// Attention over them. `tokens` is the length where `lengths` is undefined.
Var CompressedAttention(Tape& tape, const Var& q, const Var& kc, const Var& vc,
                        int64_t tokens, int64_t block_size, float scale,
                        const Tensor& lengths, Tensor* lse);
// The top_n blocks by the probabilities of that attention. No gradient.
Tensor SelectBlocks(Tape& tape, const Var& q, const Var& kc, const Tensor& lse,
                    int64_t tokens, int64_t block_size, int64_t top_n,
                    float scale, const Tensor& lengths);

// A lightning indexer: queries [batch, seq, heads, dim], keys [batch, tokens,
// dim], weights f32 [batch, seq, heads] (an undefined Var: the mean of heads).
struct Indexer {
  Var q, k, w;
  float scale = 1;
  bool relu = true;
};
// The top_k tokens by its scores. No gradient.
Tensor IndexerTopK(Tape& tape, const Indexer& indexer, int64_t top_k,
                   const Tensor& lengths);
// KL divergence of the indexer from attention over the same set, f32 [1]; an
// undefined `indices`: over all tokens. A gradient for the indexer only.
struct AttentionOf {
  Tensor q, k, lse;
  float scale = 1;
};
Var IndexerLoss(Tape& tape, const Indexer& indexer, const Tensor& indices,
                const AttentionOf& attention);

}  // namespace lt2::model

#endif  // LT2_MODEL_AUTOGRAD_SPARSE_OPS_H_
