#include "kernels/activation/products.h"

#include "kernels/activation/activation_internal.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

absl::Status PrepareLike(Context& ctx, const Tensor& x, absl::string_view what,
                         Tensor* result) {
  LT2_RETURN_IF_ERROR(ExpectDevice("the first input", x, ctx.device()));
  return ctx.Prepare(what, x.dtype(), x.shape(), result);
}

}  // namespace

absl::Status MultiplySupports(const MultiplyArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("a", args.a));
  return ExpectLike("b", args.b, args.a);
}

absl::Status Multiply(Context& ctx, const MultiplyArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(MultiplySupports(args), "Multiply"));
  LT2_RETURN_IF_ERROR(Annotate(PrepareLike(ctx, args.a, "y", y), "Multiply"));
  if (args.a.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, MultiplyCpu(ctx, args, *y), MultiplyCuda(ctx, args, *y));
}

absl::Status MultiplyGradSupports(const MultiplyGradArgs& args) {
  LT2_RETURN_IF_ERROR(MultiplySupports({args.a, args.b}));
  return ExpectLike("dy", args.dy, args.a);
}

absl::Status MultiplyGrad(Context& ctx, const MultiplyGradArgs& args,
                          MultiplyGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(MultiplyGradSupports(args), "MultiplyGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.a, "da", &results->da), "MultiplyGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.a, "db", &results->db), "MultiplyGrad"));
  if (args.a.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, MultiplyGradCpu(ctx, args, *results),
               MultiplyGradCuda(ctx, args, *results));
}

absl::Status ScaleRowsSupports(const ScaleRowsArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  const Tensor& s = args.s;
  if (s.defined() && s.numel() == args.x.rows()) {
    return ExpectTensor("s", s, args.x.device(), DType::kF32, s.shape());
  }
  return InvalidArgument("s: expected one value for each of ", args.x.rows(),
                         " rows of x, got ", s.ToString());
}

absl::Status ScaleRows(Context& ctx, const ScaleRowsArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(ScaleRowsSupports(args), "ScaleRows"));
  LT2_RETURN_IF_ERROR(Annotate(PrepareLike(ctx, args.x, "y", y), "ScaleRows"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, ScaleRowsCpu(ctx, args, *y), ScaleRowsCuda(ctx, args, *y));
}

absl::Status ScaleRowsGradSupports(const ScaleRowsGradArgs& args) {
  LT2_RETURN_IF_ERROR(ScaleRowsSupports({args.x, args.s}));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status ScaleRowsGrad(Context& ctx, const ScaleRowsGradArgs& args,
                           ScaleRowsGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(ScaleRowsGradSupports(args), "ScaleRowsGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, "dx", &results->dx), "ScaleRowsGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.s, "ds", &results->ds), "ScaleRowsGrad"));
  if (args.x.numel() == 0) return ctx.Zero(&results->ds);
  LT2_DISPATCH(ctx, ScaleRowsGradCpu(ctx, args, *results),
               ScaleRowsGradCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
