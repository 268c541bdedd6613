#include "kernels/norm/norm.h"

#include "kernels/core/checks.h"
#include "kernels/norm/norm_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckInput(const Tensor& x) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", x));
  if (x.dim(-1) > 0) return absl::OkStatus();
  return InvalidArgument("x: expected a last dimension >= 1, got ",
                         x.ToString());
}

absl::Status CheckEps(float eps) {
  if (eps >= 0) return absl::OkStatus();
  return InvalidArgument("eps: expected >= 0, got ", eps);
}

absl::Status CheckWeight(const Tensor& weight, const Tensor& x) {
  return ExpectTensor("weight", weight, x.device(), DType::kF32, {x.dim(-1)});
}

absl::Status CheckRstd(const Tensor& rstd, const Tensor& x) {
  return ExpectTensor("rstd", rstd, x.device(), DType::kF32, {x.rows()});
}

absl::Status CheckGradDim(const Tensor& x) {
  if (x.device() == Device::kCPU || x.dim(-1) <= kNormGradMaxDim) {
    return absl::OkStatus();
  }
  return InvalidArgument("x: expected a last dimension <= ", kNormGradMaxDim,
                         ", got ", x.ToString());
}

absl::Status Run(Context& ctx, NormForward norm, Tensor* y, Tensor* rstd) {
  const Tensor& x = norm.x;
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare("y", x.dtype(), x.shape(), y));
  LT2_RETURN_IF_ERROR(ctx.Prepare("rstd", DType::kF32, {x.rows()}, rstd));
  norm.y = *y;
  norm.rstd = *rstd;
  if (x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, NormForwardCpu(ctx, norm), NormForwardCuda(ctx, norm));
}

absl::Status RunGrad(Context& ctx, const NormBackward& norm) {
  if (norm.x.numel() == 0) {
    if (!norm.dweight.defined()) return absl::OkStatus();
    Tensor dweight = norm.dweight;
    return ctx.Zero(&dweight);
  }
  LT2_DISPATCH(ctx, NormBackwardCpu(ctx, norm), NormBackwardCuda(ctx, norm));
}

}  // namespace

absl::Status RmsNormSupports(const RmsNormArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x));
  LT2_RETURN_IF_ERROR(CheckEps(args.eps));
  return CheckWeight(args.weight, args.x);
}

absl::Status RmsNorm(Context& ctx, const RmsNormArgs& args,
                     RmsNormResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(RmsNormSupports(args), "RmsNorm"));
  NormForward norm;
  norm.x = args.x;
  norm.weight = args.weight;
  norm.inv_count = 1.0f / static_cast<float>(args.x.dim(-1));
  norm.eps = args.eps;
  return Annotate(Run(ctx, norm, &results->y, &results->rstd), "RmsNorm");
}

absl::Status RmsNormGradSupports(const RmsNormGradArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x));
  LT2_RETURN_IF_ERROR(CheckGradDim(args.x));
  LT2_RETURN_IF_ERROR(CheckWeight(args.weight, args.x));
  LT2_RETURN_IF_ERROR(CheckRstd(args.rstd, args.x));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status RmsNormGrad(Context& ctx, const RmsNormGradArgs& args,
                         RmsNormGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(RmsNormGradSupports(args), "RmsNormGrad"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare("dx", x.dtype(), x.shape(), &results->dx));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("dweight", DType::kF32, {x.dim(-1)}, &results->dweight));
  NormBackward norm;
  norm.x = x;
  norm.weight = args.weight;
  norm.rstd = args.rstd;
  norm.dy = args.dy;
  norm.inv_count = 1.0f / static_cast<float>(x.dim(-1));
  norm.dx = results->dx;
  norm.dweight = results->dweight;
  return Annotate(RunGrad(ctx, norm), "RmsNormGrad");
}

absl::Status GatedRmsNormSupports(const GatedRmsNormArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x));
  LT2_RETURN_IF_ERROR(CheckEps(args.eps));
  LT2_RETURN_IF_ERROR(ExpectLike("gate", args.gate, args.x));
  return CheckWeight(args.weight, args.x);
}

absl::Status GatedRmsNorm(Context& ctx, const GatedRmsNormArgs& args,
                          GatedRmsNormResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(GatedRmsNormSupports(args), "GatedRmsNorm"));
  NormForward norm;
  norm.x = args.x;
  norm.gate = args.gate;
  norm.weight = args.weight;
  norm.activation = args.activation;
  norm.inv_count = 1.0f / static_cast<float>(args.x.dim(-1));
  norm.eps = args.eps;
  return Annotate(Run(ctx, norm, &results->y, &results->rstd), "GatedRmsNorm");
}

absl::Status GatedRmsNormGradSupports(const GatedRmsNormGradArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x));
  LT2_RETURN_IF_ERROR(CheckGradDim(args.x));
  LT2_RETURN_IF_ERROR(ExpectLike("gate", args.gate, args.x));
  LT2_RETURN_IF_ERROR(CheckWeight(args.weight, args.x));
  LT2_RETURN_IF_ERROR(CheckRstd(args.rstd, args.x));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status GatedRmsNormGrad(Context& ctx, const GatedRmsNormGradArgs& args,
                              GatedRmsNormGradResults* results) {
  LT2_RETURN_IF_ERROR(
      Annotate(GatedRmsNormGradSupports(args), "GatedRmsNormGrad"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare("dx", x.dtype(), x.shape(), &results->dx));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("dgate", x.dtype(), x.shape(), &results->dgate));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("dweight", DType::kF32, {x.dim(-1)}, &results->dweight));
  NormBackward norm;
  norm.x = x;
  norm.gate = args.gate;
  norm.weight = args.weight;
  norm.rstd = args.rstd;
  norm.dy = args.dy;
  norm.activation = args.activation;
  norm.inv_count = 1.0f / static_cast<float>(x.dim(-1));
  norm.dx = results->dx;
  norm.dgate = results->dgate;
  norm.dweight = results->dweight;
  return Annotate(RunGrad(ctx, norm), "GatedRmsNormGrad");
}

absl::Status L2NormSupports(const L2NormArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x));
  return CheckEps(args.eps);
}

absl::Status L2Norm(Context& ctx, const L2NormArgs& args,
                    L2NormResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(L2NormSupports(args), "L2Norm"));
  NormForward norm;
  norm.x = args.x;
  norm.eps = args.eps;
  return Annotate(Run(ctx, norm, &results->y, &results->rstd), "L2Norm");
}

absl::Status L2NormGradSupports(const L2NormGradArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.y));
  LT2_RETURN_IF_ERROR(CheckRstd(args.rstd, args.y));
  return ExpectLike("dy", args.dy, args.y);
}

absl::Status L2NormGrad(Context& ctx, const L2NormGradArgs& args, Tensor* dx) {
  LT2_RETURN_IF_ERROR(Annotate(L2NormGradSupports(args), "L2NormGrad"));
  const Tensor& y = args.y;
  LT2_RETURN_IF_ERROR(ExpectDevice("y", y, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare("dx", y.dtype(), y.shape(), dx));
  NormBackward norm;
  norm.x = y;
  norm.x_is_normalized = true;
  norm.rstd = args.rstd;
  norm.dy = args.dy;
  norm.dx = *dx;
  return Annotate(RunGrad(ctx, norm), "L2NormGrad");
}

}  // namespace lt2::kernels
