// Products of two tensors, and the loop gate.
//
//   SwiGlu       y = silu(gate) up        the FFN's activation (LT2, lingua)
//   SigmoidGate  y = x sg(gate)           output gate of softmax layers
//   ScaledAdd    y = a + rho[c] b         h(tau) = ht(tau) + rho_tau h(tau-1),
//                                         LT2 (arXiv 2605.20670) eq. 2;
//                                         Mamba-2's skip y = o + D[h] x
//
// Gradients, with s = sg(gate):
//   SwiGlu       dgate = dy up s (1 + gate (1 - s))      dup = dy gate s
//   SigmoidGate  dx = dy s                               dgate = dy x s (1 - s)
//   ScaledAdd    da = dy (nothing to compute)            db = rho[c] dy
//                drho[c] = sum over rows of dy b
//
// rho may have fewer values than there are channels: one per group of dim /
// rho.dim(0) neighbouring channels (a head), over which drho then sums too.
//
// Activations are f32, or on CUDA bf16; rho and drho are f32. Any rank >= 1.
// Cost: each value is read and written once; 5 to 20 FLOPs per element.
// Results may be the same tensor as an input of the same type and shape.
// drho is overwritten, and has the same bits in every run.

#ifndef LT2_KERNELS_ACTIVATION_GATES_H_
#define LT2_KERNELS_ACTIVATION_GATES_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct SwiGluArgs {
  Tensor gate;  // act
  Tensor up;    // like gate
};
absl::Status SwiGluSupports(const SwiGluArgs& args);
absl::Status SwiGlu(Context& ctx, const SwiGluArgs& args,
                    Tensor* y /* like gate */);

struct SwiGluGradArgs {
  Tensor gate;  // act
  Tensor up;    // like gate
  Tensor dy;    // like gate
};
struct SwiGluGradResults {
  Tensor dgate;  // like gate
  Tensor dup;    // like gate
};
absl::Status SwiGluGradSupports(const SwiGluGradArgs& args);
absl::Status SwiGluGrad(Context& ctx, const SwiGluGradArgs& args,
                        SwiGluGradResults* results);

struct SigmoidGateArgs {
  Tensor x;     // act
  Tensor gate;  // like x
};
absl::Status SigmoidGateSupports(const SigmoidGateArgs& args);
absl::Status SigmoidGate(Context& ctx, const SigmoidGateArgs& args,
                         Tensor* y /* like x */);

struct SigmoidGateGradArgs {
  Tensor x;     // act
  Tensor gate;  // like x
  Tensor dy;    // like x
};
struct SigmoidGateGradResults {
  Tensor dx;     // like x
  Tensor dgate;  // like x
};
absl::Status SigmoidGateGradSupports(const SigmoidGateGradArgs& args);
absl::Status SigmoidGateGrad(Context& ctx, const SigmoidGateGradArgs& args,
                             SigmoidGateGradResults* results);

struct ScaledAddArgs {
  Tensor a;    // act [.., dim]
  Tensor b;    // like a
  Tensor rho;  // f32 [groups], groups divides dim
};
absl::Status ScaledAddSupports(const ScaledAddArgs& args);
absl::Status ScaledAdd(Context& ctx, const ScaledAddArgs& args,
                       Tensor* y /* like a */);

struct ScaledAddGradArgs {
  Tensor b;    // act [.., dim]
  Tensor rho;  // f32 [groups], groups divides dim
  Tensor dy;   // like b
};
struct ScaledAddGradResults {
  Tensor db;    // like b
  Tensor drho;  // like rho
};
absl::Status ScaledAddGradSupports(const ScaledAddGradArgs& args);
absl::Status ScaledAddGrad(Context& ctx, const ScaledAddGradArgs& args,
                           ScaledAddGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_GATES_H_
