// The compressed branch of NSA: means of blocks of keys and values, attention
// over them, and the choice of blocks that follows from its probabilities.
//
//   BlockMean            kc[c] = mean of k[c b .. c b + b - 1], b = block_size
//   CompressedAttention  softmax over the blocks that lie wholly at or before
//                        the query: (c + 1) b - 1 <= position
//   SelectBlocks         the top_n blocks by the probability that compressed
//                        attention gave them, averaged over a group of heads
//
// Positions, lengths and heads are those of selected_attention.h. Only complete
// blocks are compressed: C = L / b rounded down. Query i sees the first
// min(C, (position + 1) / b) of them, maybe none: then o = 0, lse = -inf.
//
// Cost: BlockMean reads its input once. CompressedAttention is dense attention
// over L / b keys: 2 (D + Dv) FLOPs per query, head and visible block forward,
// 6 D + 4 Dv backward; quadratic in L with a factor 1/b (1/64 for NSA's
// blocks). SelectBlocks evaluates the scores once more: 2 D FLOPs each. Memory
// is linear: neither stores S x C.
//
// CPU: f32, any D. CUDA: f32 (the gradient of attention bf16 only) or bf16, D
// and Dv multiples of 8 up to 576. The same bits on every run and for every
// thread count.
//
// Not supported: overlapping blocks (stride != block size), learned compression
// (the NSA paper has both; flash-linear-attention and LT2 have neither), a
// gradient for the choice (it has none).
//
// Source: NSA (arXiv 2502.11089) equations 7 to 10 in the form of
// flash-linear-attention, which LT2 (arXiv 2605.20670) uses.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_H_
#define LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_H_

#include <cstdint>

#include "kernels/core/context.h"

namespace lt2::kernels {

// mean[b,c,h] = (1 / block_size) sum_j x[b, c block_size + j, h]. The tokens
// after the last complete block are left out.
struct BlockMeanArgs {
  Tensor x;  // [B, L, H, D]
  int64_t block_size;
};
absl::Status BlockMeanSupports(const BlockMeanArgs& args);
absl::Status BlockMean(Context& ctx, const BlockMeanArgs& args,
                       Tensor* mean /* x's type, [B, L/block_size, H, D] */);

// dx[b,s,h] = dmean[b, s / block_size, h] / block_size; 0 in the tail.
struct BlockMeanGradArgs {
  Tensor dmean;    // [B, tokens/block_size, H, D]
  int64_t tokens;  // L of the forward pass
  int64_t block_size;
};
absl::Status BlockMeanGradSupports(const BlockMeanGradArgs& args);
absl::Status BlockMeanGrad(Context& ctx, const BlockMeanGradArgs& args,
                           Tensor* dx /* dmean's type, [B, tokens, H, D] */);

// Brings the compressed cache up to date after `appended` tokens were written
// to the cache x: computes the means of the blocks that these complete, c with
// lengths[b] - appended < (c + 1) block_size <= lengths[b], leaves the others.
// Each mean has the bits that BlockMean gives.
struct BlockMeanAppendArgs {
  Tensor x;          // [B, L, H, D], the cache with the new tokens
  Tensor lengths;    // i32 [B], the new tokens included
  int64_t appended;  // >= 0, new tokens of each row
  int64_t block_size;
};
absl::Status BlockMeanAppendSupports(const BlockMeanAppendArgs& args,
                                     const Tensor& mean);
absl::Status BlockMeanAppend(Context& ctx, const BlockMeanAppendArgs& args,
                             Tensor* mean /* defined, like BlockMean's */);

struct CompressedAttentionArgs {
  Tensor q;            // [B, S, H, D]
  Tensor kc;           // [B, C, Hkv, D]
  Tensor vc;           // [B, C, Hkv, Dv]
  Tensor lengths;      // optional i32 [B]: tokens, the new ones included
  int64_t tokens = 0;  // L; not used where lengths are given
  int64_t block_size;
  float scale;  // > 0
};

struct CompressedAttentionResults {
  Tensor o;    // q's type, [B, S, H, Dv]
  Tensor lse;  // f32 [B, H, S], over the visible blocks
};

absl::Status CompressedAttentionSupports(const CompressedAttentionArgs& args);
absl::Status CompressedAttention(Context& ctx,
                                 const CompressedAttentionArgs& args,
                                 CompressedAttentionResults* results);

struct CompressedAttentionGradArgs {
  CompressedAttentionArgs forward;
  Tensor o;     // of the forward pass
  Tensor lse;   // of the forward pass
  Tensor dout;  // like o
};

struct CompressedAttentionGradResults {
  Tensor dq;   // like q
  Tensor dkc;  // like kc
  Tensor dvc;  // like vc
};

absl::Status CompressedAttentionGradSupports(
    const CompressedAttentionGradArgs& args);
absl::Status CompressedAttentionGrad(Context& ctx,
                                     const CompressedAttentionGradArgs& args,
                                     CompressedAttentionGradResults* results);

// indices[b,i,h'] = the top_n blocks for query i, ascending, then -1.
//
//   score(c) = mean over the heads h of group h' of e^(scale <q_h, kc_c> - lse)
//
// for the visible blocks. The block of the query itself (own = position /
// block_size, complete or not), block 0 and block own - 1 are chosen first and
// count among the top_n; with top_n < 3 they are taken in this order. Ties go
// to the lower index; a score that is NaN ranks below all numbers. A query at a
// position below 0 chooses none.
struct SelectBlocksArgs {
  Tensor q;            // [B, S, H, D]
  Tensor kc;           // [B, C, Hkv, D]
  Tensor lse;          // of CompressedAttention, f32 [B, H, S]
  Tensor lengths;      // optional i32 [B]
  int64_t tokens = 0;  // L; not used where lengths are given
  int64_t block_size;
  int64_t top_n;  // >= 1
  float scale;
};
absl::Status SelectBlocksSupports(const SelectBlocksArgs& args);
absl::Status SelectBlocks(Context& ctx, const SelectBlocksArgs& args,
                          Tensor* indices /* i32 [B, S, Hkv, top_n] */);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_H_
