// The (gated) delta rule: linear attention whose state is a key-value map that
// is corrected, not only added to. DeltaNet without g, Gated DeltaNet with a g
// per token and head, Kimi Delta Attention with one per channel of the key.
//
// Per batch row and value head, with state S [d_k, d_v] and alpha_t = exp(g_t):
//
//   S   <- diag(alpha_t) S
//   u_t  = beta_t (v_t - S' k_t)          S' is the transpose
//   S   <- S + k_t u_t'
//   o_t  = scale * S' q_t
//
// which is S_t = (I - beta_t k_t k_t') diag(alpha_t) S_{t-1} + beta_t k_t v_t'
// (LT2 paper, Table 1, rows GDN, DeltaNet and KDA; Yang et al., arXiv
// 2412.06464; Kimi Linear, 2510.26692). Keys are expected L2-normalised: then
// beta in [0, 2] keeps the transition's norm at most 1.
//
//   q, k           [batch, seq, heads, d_k]
//   v              [batch, seq, v_heads, d_v]
//   beta           [batch, seq, v_heads], f32
//   g              [batch, seq, v_heads] or [batch, seq, v_heads, d_k], f32;
//                  the log of the decay, <= 0
//   states         [batch, v_heads, d_k, d_v], f32
//
// v_heads is a multiple of heads; value head h uses query and key head
// h / (v_heads / heads). Decay per channel needs v_heads = heads.
//
// DeltaRule works chunk by chunk (README.md derives the form): products of
// [chunk, d] matrices instead of rank-one updates, state passed between chunks.
// FLOPs per chunk of C tokens and value head: about 6 C^2 d_k + 4 C^2 d_v +
// 6 C d_k d_v + C^3 / 3 forward and 3 times that backward; linear in seq.
// Memory: inputs and results once, plus in the backward pass one state per
// chunk. DeltaRuleStep: 7 d_k d_v FLOPs per head, state read and written once.
//
// CPU: everything f32, any sizes, chunks of 16 or 32. CUDA: activations bf16,
// chunks of 64 (states and gates f32, matrix operands bf16 with f32
// accumulation), or f32: then token by token, and forward only. Results do not
// depend on the number of threads and are the same bits every run.
//
// Not supported: on CUDA the gradient for f32 tensors, and d_k > 128; bf16 with
// d_k, d_v that are not multiples of 16, or d_v > 256 (but DeltaRuleStep takes
// them); packed sequences. Such calls return InvalidArgument.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct DeltaRuleArgs {
  Tensor q, k;           // [batch, seq, heads, d_k]
  Tensor v;              // [batch, seq, v_heads, d_v]
  Tensor beta;           // f32 [batch, seq, v_heads]
  Tensor g;              // optional f32, as above; undefined: 0
  Tensor initial_state;  // optional f32 [batch, v_heads, d_k, d_v]
  float scale = 1.0f;    // of q, usually d_k^-1/2
};
struct DeltaRuleResults {
  Tensor o;            // like v
  Tensor final_state;  // f32 [batch, v_heads, d_k, d_v]
};

// All of a sequence. final_state may be initial_state's tensor.
absl::Status DeltaRule(Context& ctx, const DeltaRuleArgs& args,
                       DeltaRuleResults* results);

struct DeltaRuleGradArgs {
  DeltaRuleArgs forward;
  Tensor dout;          // like v
  Tensor dfinal_state;  // optional f32 [batch, v_heads, d_k, d_v]
};
struct DeltaRuleGradResults {
  Tensor dq, dk, dv;      // like q, k, v
  Tensor dbeta;           // f32 [batch, seq, v_heads]
  Tensor dg;              // only if forward.g is defined
  Tensor dinitial_state;  // only if forward.initial_state is defined
};

// Gradient of sum(o * dout) + sum(final_state * dfinal_state). Recomputes the
// chunk states, so nothing of the forward pass need be kept.
absl::Status DeltaRuleGrad(Context& ctx, const DeltaRuleGradArgs& args,
                           DeltaRuleGradResults* results);

// One token (seq = 1), for decoding: the recurrence itself. final_state may be
// initial_state's tensor: then the state is updated in place.
absl::Status DeltaRuleStep(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results);

// What the functions above accept, without a device: OK, or InvalidArgument
// naming the offending values.
absl::Status DeltaRuleSupports(const DeltaRuleArgs& args);
absl::Status DeltaRuleGradSupports(const DeltaRuleGradArgs& args);
absl::Status DeltaRuleStepSupports(const DeltaRuleArgs& args);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_H_
