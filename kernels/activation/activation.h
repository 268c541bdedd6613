// Elementwise operators. One header for all of them; the parts are
//   elementwise.h   Silu, Sigmoid, Add, Cast
//   gates.h         SwiGlu, SigmoidGate, ScaledAdd
//   products.h      Multiply, ScaleRows
//   bias.h          AddBias, Softplus (and log-sigmoid)
//   decay_gate.h    DecayGate, the log decay of GDN, KDA and Mamba-2
//   interleave.h    Interleave, TakeEvery

#ifndef LT2_KERNELS_ACTIVATION_ACTIVATION_H_
#define LT2_KERNELS_ACTIVATION_ACTIVATION_H_

#include "kernels/activation/bias.h"
#include "kernels/activation/decay_gate.h"
#include "kernels/activation/elementwise.h"
#include "kernels/activation/gates.h"
#include "kernels/activation/interleave.h"
#include "kernels/activation/products.h"

#endif  // LT2_KERNELS_ACTIVATION_ACTIVATION_H_
