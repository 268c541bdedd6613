// Elementwise operators. One header for all of them; the parts are
//   elementwise.h   Silu, Sigmoid, Add, Cast
//   gates.h         SwiGlu, SigmoidGate, ScaledAdd
//   decay_gate.h    DecayGate, the log decay of Gated DeltaNet

#ifndef LT2_KERNELS_ACTIVATION_ACTIVATION_H_
#define LT2_KERNELS_ACTIVATION_ACTIVATION_H_

#include "kernels/activation/decay_gate.h"
#include "kernels/activation/elementwise.h"
#include "kernels/activation/gates.h"

#endif  // LT2_KERNELS_ACTIVATION_ACTIVATION_H_
