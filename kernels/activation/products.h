// Plain products.
//
//   Multiply   y = a b               LA's feature map, (W1 x + b1)(W2 x + b2)
//   ScaleRows  y = s[row] x          Mamba-2's input dt x (rows: heads of
//                                    tokens); NSA's gates of its branches
//
// Gradients:
//   Multiply   da = dy b             db = dy a
//   ScaleRows  dx = s[row] dy        ds[row] = sum over the row of dy x
//
// Activations are f32, or on CUDA bf16; s and ds are f32. Any rank >= 1.
// Cost: each value is read and written once; 1 to 3 FLOPs per element.
// Results may be the same tensor as an input of the same type and shape.

#ifndef LT2_KERNELS_ACTIVATION_PRODUCTS_H_
#define LT2_KERNELS_ACTIVATION_PRODUCTS_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct MultiplyArgs {
  Tensor a;  // act
  Tensor b;  // like a
};
absl::Status MultiplySupports(const MultiplyArgs& args);
absl::Status Multiply(Context& ctx, const MultiplyArgs& args,
                      Tensor* y /* like a */);

struct MultiplyGradArgs {
  Tensor a;   // act
  Tensor b;   // like a
  Tensor dy;  // like a
};
struct MultiplyGradResults {
  Tensor da;  // like a
  Tensor db;  // like a
};
absl::Status MultiplyGradSupports(const MultiplyGradArgs& args);
absl::Status MultiplyGrad(Context& ctx, const MultiplyGradArgs& args,
                          MultiplyGradResults* results);

struct ScaleRowsArgs {
  Tensor x;  // act [.., dim]
  Tensor s;  // f32 [..]: any shape with one value per row of x
};
absl::Status ScaleRowsSupports(const ScaleRowsArgs& args);
absl::Status ScaleRows(Context& ctx, const ScaleRowsArgs& args,
                       Tensor* y /* like x */);

struct ScaleRowsGradArgs {
  Tensor x;   // act [.., dim]
  Tensor s;   // f32, one value per row of x
  Tensor dy;  // like x
};
struct ScaleRowsGradResults {
  Tensor dx;  // like x
  Tensor ds;  // like s
};
absl::Status ScaleRowsGradSupports(const ScaleRowsGradArgs& args);
absl::Status ScaleRowsGrad(Context& ctx, const ScaleRowsGradArgs& args,
                           ScaleRowsGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ACTIVATION_PRODUCTS_H_
