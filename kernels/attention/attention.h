// Causal softmax attention with grouped queries: full or sliding window,
// forward, gradient, and one-token decoding over a cache.
//
//   o[b,i,h] = sum_s p[s] v[b,s,h'],   h' = h / (H / Hkv)
//   p        = softmax over s of scale * <q[b,i,h], k[b,s,h']>
//
// Query i of S stands at position t = L - S + i of the L keys and sees the keys
// s with  t - window < s <= t  (window 0: all s <= t). So L = S is a sequence
// on its own, and L > S is a segment after L - S earlier tokens.
//
// Shapes: q, o [B, S, H, D]; k, v [B, L, Hkv, D]; lse [B, H, S]; S <= L and H a
// multiple of Hkv. lse is the natural logarithm of the sum of the exponentials
// of the scaled scores: what the gradient needs to rebuild p.
//
// Cost for K visible keys per query (about L/2 without a window, at most
// `window` with one): 4 D K FLOPs per query and head forward, 10 D K backward
// (14 D K on a GPU, which rebuilds the scores twice so that no sum needs
// atomics). Memory traffic is that of q, k, v, o; the L x L scores are never
// stored. Decoding reads 2 Hkv D cached elements for each earlier token.
//
// CPU: f32, any D. CUDA: bf16, D a multiple of 8 up to 128; all but the
// gradient also f32, without tensor cores. The same bits on every run, for
// every thread count, and for a sequence whatever else is in the batch.
//
// Not supported: non-causal masks, packed sequences of several lengths,
// dropout, biases, a head dimension of v that differs from q's.
//
// Source: LT2 (arXiv 2605.20670), softmax layers with window "including self";
// the blockwise evaluation is derived in README.md.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_H_
#define LT2_KERNELS_ATTENTION_ATTENTION_H_

#include <cstdint>

#include "kernels/core/context.h"

namespace lt2::kernels {

struct AttentionArgs {
  Tensor q;            // [B, S, H, D]
  Tensor k;            // [B, L, Hkv, D]
  Tensor v;            // [B, L, Hkv, D]
  float scale;         // > 0, usually 1 / sqrt(D)
  int64_t window = 0;  // keys a query sees, itself included; 0: all
};

struct AttentionResults {
  Tensor o;    // like q
  Tensor lse;  // f32 [B, H, S]
};

// OK if Attention can be evaluated for these tensors, else says why not.
absl::Status AttentionSupports(const AttentionArgs& args);
absl::Status Attention(Context& ctx, const AttentionArgs& args,
                       AttentionResults* results);

struct AttentionGradArgs {
  AttentionArgs forward;
  Tensor o;     // of the forward pass, like q
  Tensor lse;   // of the forward pass, f32 [B, H, S]
  Tensor dout;  // d loss / d o, like q
};

struct AttentionGradResults {
  Tensor dq;  // like q
  Tensor dk;  // like k
  Tensor dv;  // like v
};

absl::Status AttentionGradSupports(const AttentionGradArgs& args);
absl::Status AttentionGrad(Context& ctx, const AttentionGradArgs& args,
                           AttentionGradResults* results);

// One query per row of the batch over the first min(lengths[b], capacity)
// entries of its cache, in any order: a ring buffer of `capacity` entries is
// window attention, since positions were applied before caching. A row with
// length 0 (or below, on a GPU) gives o = 0.
struct AttentionDecodeArgs {
  Tensor q;        // f32 or bf16 [B, 1, H, D]
  Tensor k_cache;  // like q's type, [B, capacity, Hkv, D]
  Tensor v_cache;  // like k_cache
  Tensor lengths;  // i32 [B], on the device
  float scale;     // > 0
};

absl::Status AttentionDecodeSupports(const AttentionDecodeArgs& args);
absl::Status AttentionDecode(Context& ctx, const AttentionDecodeArgs& args,
                             Tensor* o /* like q */);

// Writes k[b,i], v[b,i] to slot (lengths[b] + i) % capacity of the caches. Does
// not change `lengths`, so that every layer can append before the one
// AdvanceLengths of the step. n <= capacity.
struct CacheAppendArgs {
  Tensor k;        // f32 or bf16 [B, n, Hkv, D]
  Tensor v;        // like k
  Tensor lengths;  // i32 [B], >= 0
};

// The caches, [B, capacity, Hkv, D], must be defined.
absl::Status CacheAppendSupports(const CacheAppendArgs& args,
                                 const Tensor& k_cache, const Tensor& v_cache);
absl::Status CacheAppend(Context& ctx, const CacheAppendArgs& args,
                         Tensor* k_cache, Tensor* v_cache);

// lengths[b] += n.
absl::Status AdvanceLengths(Context& ctx, int64_t n, Tensor* lengths);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_H_
