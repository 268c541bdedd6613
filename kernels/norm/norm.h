// Normalisation over the last dimension: RMS norm, gated RMS norm, L2 norm.
//
//   RmsNorm        y = x * rstd * w              rstd = 1/sqrt(mean(x^2) + eps)
//   GatedRmsNorm   y = x * rstd * w * act(gate)  act = SiLU or sigmoid
//   L2Norm         y = x * rstd                  rstd = 1/sqrt(sum(x^2) + eps)
//
// Every row of the last dimension is normalised by itself; x may have any
// rank >= 1. For a norm per head, the last dimension is the head's.
// LT2 (arXiv 2605.20670) uses RmsNorm before every mixer and FFN, GatedRmsNorm
// on the output of Gated DeltaNet and KDA heads, L2Norm on queries and keys.
//
// Types: x, gate, y, dy, dx, dgate are f32, or on CUDA all bf16; weight, rstd
// and dweight are f32. Sums are in f32.
//
// Cost for n elements, bytes of activations and FLOPs:
//   RmsNorm       2n values,  4n     RmsNormGrad       3n values, 10n
//   GatedRmsNorm  3n values, 10n     GatedRmsNormGrad  5n values, 25n
//   L2Norm        2n values,  3n     L2NormGrad        3n values,  5n
// A row is read twice, the second time from cache.
//
// Gradients are in README.md. rstd is saved for them; recomputing it would cost
// another pass. dweight is overwritten, and has the same bits in every run.
//
// Not supported: LayerNorm (mean subtraction), a bias, dim = 0, on CUDA
// gradients of RmsNorm and GatedRmsNorm with dim > 12000.

#ifndef LT2_KERNELS_NORM_NORM_H_
#define LT2_KERNELS_NORM_NORM_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct RmsNormArgs {
  Tensor x;       // act [.., dim]
  Tensor weight;  // f32 [dim]
  float eps = 1e-6f;
};
struct RmsNormResults {
  Tensor y;     // like x
  Tensor rstd;  // f32 [rows]
};
absl::Status RmsNormSupports(const RmsNormArgs& args);
absl::Status RmsNorm(Context& ctx, const RmsNormArgs& args,
                     RmsNormResults* results);

struct RmsNormGradArgs {
  Tensor x;       // act [.., dim]
  Tensor weight;  // f32 [dim]
  Tensor rstd;    // f32 [rows], from RmsNorm
  Tensor dy;      // like x
};
struct RmsNormGradResults {
  Tensor dx;       // like x
  Tensor dweight;  // f32 [dim]
};
absl::Status RmsNormGradSupports(const RmsNormGradArgs& args);
absl::Status RmsNormGrad(Context& ctx, const RmsNormGradArgs& args,
                         RmsNormGradResults* results);

enum class GateActivation { kSilu, kSigmoid };

struct GatedRmsNormArgs {
  Tensor x;       // act [.., dim]
  Tensor gate;    // like x
  Tensor weight;  // f32 [dim]
  float eps = 1e-5f;
  GateActivation activation = GateActivation::kSilu;
};
struct GatedRmsNormResults {
  Tensor y;     // like x
  Tensor rstd;  // f32 [rows]
};
absl::Status GatedRmsNormSupports(const GatedRmsNormArgs& args);
absl::Status GatedRmsNorm(Context& ctx, const GatedRmsNormArgs& args,
                          GatedRmsNormResults* results);

struct GatedRmsNormGradArgs {
  Tensor x;       // act [.., dim]
  Tensor gate;    // like x
  Tensor weight;  // f32 [dim]
  Tensor rstd;    // f32 [rows], from GatedRmsNorm
  Tensor dy;      // like x
  GateActivation activation = GateActivation::kSilu;
};
struct GatedRmsNormGradResults {
  Tensor dx;       // like x
  Tensor dgate;    // like x
  Tensor dweight;  // f32 [dim]
};
absl::Status GatedRmsNormGradSupports(const GatedRmsNormGradArgs& args);
absl::Status GatedRmsNormGrad(Context& ctx, const GatedRmsNormGradArgs& args,
                              GatedRmsNormGradResults* results);

struct L2NormArgs {
  Tensor x;  // act [.., dim]
  float eps = 1e-6f;
};
struct L2NormResults {
  Tensor y;     // like x
  Tensor rstd;  // f32 [rows]
};
absl::Status L2NormSupports(const L2NormArgs& args);
absl::Status L2Norm(Context& ctx, const L2NormArgs& args,
                    L2NormResults* results);

// Takes the output y rather than the input x, which then need not be kept.
struct L2NormGradArgs {
  Tensor y;     // act [.., dim], from L2Norm
  Tensor rstd;  // f32 [rows], from L2Norm
  Tensor dy;    // like y
};
absl::Status L2NormGradSupports(const L2NormGradArgs& args);
absl::Status L2NormGrad(Context& ctx, const L2NormGradArgs& args,
                        Tensor* dx /* like y */);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_NORM_NORM_H_
