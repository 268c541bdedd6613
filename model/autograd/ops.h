// Differentiable operations: each wraps one operator of kernels/ and its
// gradient. Shapes and formulas are in the operators' headers; shapes below
// are [batch, seq, ...] activations and Parameters.
//
// All return an undefined Var once the tape has failed (see tape.h).

#ifndef LT2_MODEL_AUTOGRAD_OPS_H_
#define LT2_MODEL_AUTOGRAD_OPS_H_

#include "kernels/attention/attention.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"
#include "model/autograd/tape.h"

namespace lt2::model {

// The same elements under another shape.
Var Reshape(Tape& tape, const Var& x, const Shape& shape);

// Rows of `table` [vocab, dim] at `ids` i32 [batch, seq].
Var Embedding(Tape& tape, const Tensor& ids, const Parameter& table);

// x W', W [out, in]; the result has type `out` (x's type if not given).
Var Linear(Tape& tape, const Var& x, const Parameter& weight);
Var LinearF32(Tape& tape, const Var& x, const Parameter& weight);

Var RmsNorm(Tape& tape, const Var& x, const Parameter& weight, float eps);
// rms_norm(x) * weight * act(gate), over the last dimension of x (the head's).
Var GatedRmsNorm(Tape& tape, const Var& x, const Var& gate,
                 const Parameter& weight, float eps,
                 kernels::GateActivation activation);
Var L2Norm(Tape& tape, const Var& x);

// Where the first token of x stands: a host number, or a device tensor i32
// [batch] (which lets a captured graph be replayed at other positions).
struct Position {
  int64_t host = 0;
  Tensor device;
};
Var Rope(Tape& tape, const Var& x, float theta, kernels::RopeLayout layout,
         const Position& position);

Var Add(Tape& tape, const Var& a, const Var& b);
// a + rho (.) b: rho [dim] is the loop gate (paper eq. 2), rho [heads] Mamba2's
// skip.
Var ScaledAdd(Tape& tape, const Var& a, const Var& b, const Parameter& rho);
Var SwiGlu(Tape& tape, const Var& gate, const Var& up);
// x * sigmoid(gate): the output gate of softmax attention (paper 3.4).
Var SigmoidGate(Tape& tape, const Var& x, const Var& gate);
// scale * sigmoid(slope x), of type `out`.
Var Sigmoid(Tape& tape, const Var& x, float scale, float slope, DType out);
// scale * sigmoid(x), f32: the write strength beta of delta rules.
inline Var WriteStrength(Tape& tape, const Var& x, float scale) {
  return Sigmoid(tape, x, scale, 1.0f, DType::kF32);
}
Var Silu(Tape& tape, const Var& x);
Var AddBias(Tape& tape, const Var& x, const Parameter& bias);
// scale * softplus(slope (x + bias)), f32; bias may be null. The step of
// Mamba2.
Var Softplus(Tape& tape, const Var& x, const Parameter* bias, float slope,
             float scale);
// logsigmoid(x + bias) / divisor, f32: the log decay of GLA and HGRN2.
inline Var LogSigmoid(Tape& tape, const Var& x, const Parameter* bias,
                      float divisor) {
  return Softplus(tape, x, bias, -1.0f, -1.0f / divisor);
}
Var Multiply(Tape& tape, const Var& a, const Var& b);
// Each row of x times its number in s (f32, one for each row).
Var ScaleRows(Tape& tape, const Var& x, const Var& s);
// x [batch, seq, ..] at positions i n + slot of a sequence n times as long,
// zeros elsewhere; and the elements at those positions.
Var Interleave(Tape& tape, const Var& x, int64_t n, int64_t slot);
Var TakeEvery(Tape& tape, const Var& x, int64_t n, int64_t slot);

// y itself. Backward also adds `weight` times the gradient of `loss` (f32 [1]).
Var AttachLoss(Tape& tape, const Var& y, const Var& loss, float weight);

// -exp(a_log) * softplus(a + dt_bias), f32: the log decay of GDN (a number for
// each head), of KDA (for each channel), and of Mamba2.
Var DecayGate(Tape& tape, const Var& a, const Parameter& a_log,
              const Parameter& dt_bias);

// silu(causal depthwise convolution of x [batch, seq, channels] + bias); bias
// may be null. If `state` is given (inference only) it holds the last inputs
// before x, and is updated.
Var ShortConv(Tape& tape, const Var& x, const Parameter& weight, Tensor* state,
              const Parameter* bias = nullptr);

// Causal softmax attention; q [batch, seq, heads, dim], window 0 = full. `lse`,
// if given, receives the log of the softmax denominators [batch, heads, seq].
Var Attention(Tape& tape, const Var& q, const Var& k, const Var& v, float scale,
              int64_t window, Tensor* lse = nullptr);

// Delta rule with log decay g: an undefined Var for none, one number for each
// head, or one for each channel of the keys. If `state` is given
// (inference only) it is the state before x [batch, heads, d_k, d_v], and is
// updated.
Var DeltaRule(Tape& tape, const Var& q, const Var& k, const Var& v,
              const Var& beta, const Var& g, float scale, Tensor* state);

// Linear attention with log decay g: an undefined Var for none, [heads] for a
// constant (no gradient), [batch, seq, heads] or [batch, seq, heads, d_k].
// `state` as of DeltaRule.
Var LinearAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                    const Var& g, float scale, Tensor* state);

// Mean over the targets that are not kIgnoreTarget; logits f32 [n, vocab],
// targets i32 [n]. Returns f32 [1].
Var CrossEntropy(Tape& tape, const Var& logits, const Tensor& targets,
                 DType gradient_dtype);

}  // namespace lt2::model

#endif  // LT2_MODEL_AUTOGRAD_OPS_H_
