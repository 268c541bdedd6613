#include "kernels/activation/bias.h"

#include "kernels/activation/activation_internal.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

absl::Status CheckBias(const Tensor& bias, const Tensor& x) {
  return ExpectTensor("bias", bias, x.device(), DType::kF32, {x.dim(-1)});
}

absl::Status Prepare(Context& ctx, const Tensor& x, absl::string_view what,
                     DType dtype, const Shape& shape, Tensor* result) {
  LT2_RETURN_IF_ERROR(ExpectDevice("the first input", x, ctx.device()));
  return ctx.Prepare(what, dtype, shape, result);
}

}  // namespace

absl::Status AddBiasSupports(const AddBiasArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  return CheckBias(args.bias, args.x);
}

absl::Status AddBias(Context& ctx, const AddBiasArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(AddBiasSupports(args), "AddBias"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, x, "y", x.dtype(), x.shape(), y), "AddBias"));
  if (x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, AddBiasCpu(ctx, args, *y), AddBiasCuda(ctx, args, *y));
}

absl::Status AddBiasGradSupports(const AddBiasGradArgs& args) {
  return ExpectActivation("dy", args.dy);
}

absl::Status AddBiasGrad(Context& ctx, const AddBiasGradArgs& args,
                         Tensor* dbias) {
  LT2_RETURN_IF_ERROR(Annotate(AddBiasGradSupports(args), "AddBiasGrad"));
  const Tensor& dy = args.dy;
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, dy, "dbias", DType::kF32, {dy.dim(-1)}, dbias),
               "AddBiasGrad"));
  if (dy.numel() == 0) return ctx.Zero(dbias);
  LT2_DISPATCH(ctx, AddBiasGradCpu(ctx, args, *dbias),
               AddBiasGradCuda(ctx, args, *dbias));
}

absl::Status SoftplusSupports(const SoftplusArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  if (!args.bias.defined()) return absl::OkStatus();
  return CheckBias(args.bias, args.x);
}

absl::Status Softplus(Context& ctx, const SoftplusArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(SoftplusSupports(args), "Softplus"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, x, "y", DType::kF32, x.shape(), y), "Softplus"));
  if (x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SoftplusCpu(ctx, args, *y), SoftplusCuda(ctx, args, *y));
}

absl::Status SoftplusGradSupports(const SoftplusGradArgs& args) {
  LT2_RETURN_IF_ERROR(SoftplusSupports(args.forward));
  const Tensor& x = args.forward.x;
  return ExpectTensor("dy", args.dy, x.device(), DType::kF32, x.shape());
}

absl::Status SoftplusGrad(Context& ctx, const SoftplusGradArgs& args,
                          SoftplusGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(SoftplusGradSupports(args), "SoftplusGrad"));
  const Tensor& x = args.forward.x;
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, x, "dx", x.dtype(), x.shape(), &results->dx),
               "SoftplusGrad"));
  if (args.forward.bias.defined()) {
    LT2_RETURN_IF_ERROR(Annotate(
        Prepare(ctx, x, "dbias", DType::kF32, {x.dim(-1)}, &results->dbias),
        "SoftplusGrad"));
    if (x.numel() == 0) return ctx.Zero(&results->dbias);
  } else {
    results->dbias = Tensor();
  }
  if (x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SoftplusGradCpu(ctx, args, *results),
               SoftplusGradCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
