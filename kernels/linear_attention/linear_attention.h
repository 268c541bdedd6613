// Linear attention with a decaying state: a matrix that sums key-value products
// and forgets at a given rate. One recurrence, four kinds of decay, seven
// mixers.
//
// Per batch row and value head, with state S [d_k, d_v]:
//
//   S   <- diag(e^{g_t}) S + k_t v_t'          v' is the transpose
//   o_t  = scale * S' q_t
//
// (LT2 paper, Table 1.) What g is decides the mixer:
//
//   g                                    decay of S               mixer
//   undefined                            none                     LA
//   [v_heads]                            constant, one per head   RetNet
//   [batch, seq, v_heads]                one per token and head   Mamba2
//   [batch, seq, v_heads, d_k]           one per row of S         GLA, HGRN2
//
// Sources: LA, Katharopoulos et al., arXiv 2006.16236, without the normaliser;
// RetNet, Sun et al., 2307.08621; Mamba2, Dao and Gu, 2405.21060, with q = C,
// k = B, v = dt x, g = dt A, and d_k its state size; GLA, Yang et al.,
// 2312.06635; HGRN2, Qin et al., 2404.07904, with k = 1 - e^g. The delta rule
// (kernels/delta_rule) is the same recurrence with v_t corrected by what the
// state already answers to k_t; both run on the same chunk code.
//
//   q, k           [batch, seq, heads, d_k]
//   v              [batch, seq, v_heads, d_v]
//   g              f32, log of the decay, finite, <= 0
//   states         [batch, v_heads, d_k, d_v], f32
//
// v_heads is a multiple of heads; value head h uses query and key head
// h / (v_heads / heads). Decay per channel needs v_heads = heads.
//
// LinearAttention works chunk by chunk (README.md derives the form). With G the
// sum of g from the chunk's first token on, C its length and S0 the state
// before it:
//
//   P_ij = scale sum_c q_ic k_jc e^{G_ic - G_jc} for j <= i, else 0
//   O    = scale (Q . e^G) S0 + P V
//   S1   = diag(e^{G_C}) S0 + (K . e^{G_C - G})' V
//
// Every exponent is <= 0, so that nothing overflows however strong the decay;
// e^{G_i - G_j} is never split into e^{G_i} and e^{-G_j} over a chunk.
//
// FLOPs per chunk and value head: 2 C^2 (d_k + d_v) + 4 C d_k d_v forward,
// about 2.5 times that backward, for every kind of decay. Linear in seq.
// Memory: inputs and results once, plus in the backward pass one state per
// chunk.
// LinearAttentionStep: 5 d_k d_v FLOPs per head, state read and written once.
//
// CPU: everything f32, any sizes, chunks of 16 or 32. CUDA: activations bf16
// (states and gates f32, matrix operands bf16 with f32 accumulation), or f32:
// then token by token, and forward only. Results do not depend on the number of
// threads and are the same bits every run.
//
// Not supported: the gradient of a constant decay (none is made); on CUDA the
// gradient for f32 tensors, and d_k > 128; bf16 with d_k, d_v that are not
// multiples of 16, or d_v > 256 (but LinearAttentionStep takes them); packed
// sequences. Such calls return InvalidArgument.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_H_
#define LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct LinearAttentionArgs {
  Tensor q, k;           // [batch, seq, heads, d_k]
  Tensor v;              // [batch, seq, v_heads, d_v]
  Tensor g;              // optional f32, one of the shapes above
  Tensor initial_state;  // optional f32 [batch, v_heads, d_k, d_v]
  float scale = 1.0f;    // of q, usually d_k^-1/2; Mamba2: 1
};
struct LinearAttentionResults {
  Tensor o;            // like v
  Tensor final_state;  // f32 [batch, v_heads, d_k, d_v]
};

// All of a sequence. final_state may be initial_state's tensor.
absl::Status LinearAttention(Context& ctx, const LinearAttentionArgs& args,
                             LinearAttentionResults* results);

struct LinearAttentionGradArgs {
  LinearAttentionArgs forward;
  Tensor dout;          // like v
  Tensor dfinal_state;  // optional f32 [batch, v_heads, d_k, d_v]
};
struct LinearAttentionGradResults {
  Tensor dq, dk, dv;      // like q, k, v
  Tensor dg;              // only if forward.g is defined and not [v_heads]
  Tensor dinitial_state;  // only if forward.initial_state is defined
};

// Gradient of sum(o * dout) + sum(final_state * dfinal_state). Recomputes the
// chunk states, so nothing of the forward pass need be kept.
absl::Status LinearAttentionGrad(Context& ctx,
                                 const LinearAttentionGradArgs& args,
                                 LinearAttentionGradResults* results);

// One token (seq = 1), for decoding: the recurrence itself. final_state may be
// initial_state's tensor: then the state is updated in place.
absl::Status LinearAttentionStep(Context& ctx, const LinearAttentionArgs& args,
                                 LinearAttentionResults* results);

// What the functions above accept, without a device: OK, or InvalidArgument
// naming the offending values.
absl::Status LinearAttentionSupports(const LinearAttentionArgs& args);
absl::Status LinearAttentionGradSupports(const LinearAttentionGradArgs& args);
absl::Status LinearAttentionStepSupports(const LinearAttentionArgs& args);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_LINEAR_ATTENTION_H_
