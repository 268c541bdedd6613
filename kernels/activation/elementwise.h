// Operators of one tensor, and the sum of two.
//
//   Silu         y = x sg(x)             dx = dy sg(x) (1 + x (1 - sg(x)))
//   Sigmoid      y = scale sg(slope x)   dx = dy scale slope s (1 - s)
//   Add          y = a + b
//   Cast         y = x in another type
//
// s = sg(x) = 1/(1 + e^-x), evaluated without overflow for any x.
// Activations ("act") are f32, or on CUDA bf16; computed in f32. Any rank >= 1.
// Cost: each value is read and written once; 5 to 15 FLOPs per element.
// Results may be the same tensor as an input of the same type and shape.

#ifndef LT2_KERNELS_ACTIVATION_ELEMENTWISE_H_
#define LT2_KERNELS_ACTIVATION_ELEMENTWISE_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct SiluArgs {
  Tensor x;  // act
};
absl::Status SiluSupports(const SiluArgs& args);
absl::Status Silu(Context& ctx, const SiluArgs& args, Tensor* y /* like x */);

struct SiluGradArgs {
  Tensor x;   // act
  Tensor dy;  // like x
};
absl::Status SiluGradSupports(const SiluGradArgs& args);
absl::Status SiluGrad(Context& ctx, const SiluGradArgs& args,
                      Tensor* dx /* like x */);

// beta of the delta rule: scale 1, or 2 to allow negative eigenvalues. With
// slope -1, the keys of HGRN2: 1 - e^g = 1 - sg(x) = sg(-x), which does not
// cancel.
struct SigmoidArgs {
  Tensor x;  // act
  float scale = 1;
  DType out = DType::kF32;  // f32, or on CUDA bf16
  float slope = 1;
};
absl::Status SigmoidSupports(const SigmoidArgs& args);
absl::Status Sigmoid(Context& ctx, const SigmoidArgs& args,
                     Tensor* y /* type args.out, shape of x */);

struct SigmoidGradArgs {
  Tensor x;   // act
  Tensor dy;  // f32 or, on CUDA, bf16; shape of x
  float scale = 1;
  float slope = 1;
};
absl::Status SigmoidGradSupports(const SigmoidGradArgs& args);
absl::Status SigmoidGrad(Context& ctx, const SigmoidGradArgs& args,
                         Tensor* dx /* like x */);

struct AddArgs {
  Tensor a;  // act
  Tensor b;  // like a
};
absl::Status AddSupports(const AddArgs& args);
absl::Status Add(Context& ctx, const AddArgs& args, Tensor* y /* like a */);

// The one operator that takes and gives bf16 on the CPU too: rounds to nearest,
// ties to even.
struct CastArgs {
  Tensor x;                 // f32 or bf16
  DType out = DType::kF32;  // f32 or bf16
};
absl::Status CastSupports(const CastArgs& args);
absl::Status Cast(Context& ctx, const CastArgs& args,
                  Tensor* y /* type args.out, shape of x */);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_ELEMENTWISE_H_
