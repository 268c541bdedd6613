#include "kernels/conv/short_conv.h"

#include "kernels/conv/short_conv_internal.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

absl::Status CheckInputs(const Tensor& x, const Tensor& weight,
                         const Tensor& initial_state, const Tensor& bias) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", x));
  if (x.rank() != 3) {
    return InvalidArgument("x: expected [batch, seq, channels], got ",
                           x.ToString());
  }
  if (!weight.defined() || weight.rank() != 2 || weight.dim(1) < 1 ||
      weight.dim(1) > kShortConvMaxWidth) {
    return InvalidArgument(
        "weight: expected [channels, width] with width 1 to ",
        kShortConvMaxWidth, ", got ", weight.ToString());
  }
  LT2_RETURN_IF_ERROR(ExpectTensor("weight", weight, x.device(), DType::kF32,
                                   {x.dim(2), weight.dim(1)}));
  if (bias.defined()) {
    LT2_RETURN_IF_ERROR(
        ExpectTensor("bias", bias, x.device(), DType::kF32, {x.dim(2)}));
  }
  if (!initial_state.defined()) return absl::OkStatus();
  return ExpectTensor("initial_state", initial_state, x.device(), x.dtype(),
                      {x.dim(0), weight.dim(1) - 1, x.dim(2)});
}

absl::Status Run(Context& ctx, const ShortConvArgs& args,
                 ShortConvResults* results) {
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare("y", x.dtype(), x.shape(), &results->y));
  const Shape state_shape = {x.dim(0), args.weight.dim(1) - 1, x.dim(2)};
  LT2_RETURN_IF_ERROR(ctx.Prepare("final_state", x.dtype(), state_shape,
                                  &results->final_state));
  Tensor* const final_state = &results->final_state;
  const Tensor& initial_state = args.initial_state;
  const bool in_place =
      initial_state.defined() && initial_state.raw() == final_state->raw();
  if (x.numel() == 0) {  // nothing shifts in
    if (in_place) return absl::OkStatus();
    if (initial_state.defined()) return ctx.Copy(initial_state, final_state);
    return ctx.Zero(final_state);
  }
  if (!in_place || x.dim(1) <= kShortConvInPlaceSeq) {
    LT2_DISPATCH(ctx, ShortConvCpu(ctx, args, *results),
                 ShortConvCuda(ctx, args, *results));
  }
  // Longer sequences are cut into pieces that run at once; none may overwrite
  // what another one has yet to read.
  ShortConvResults apart = {results->y, Tensor()};
  LT2_RETURN_IF_ERROR(Run(ctx, args, &apart));
  return ctx.Copy(apart.final_state, final_state);
}

}  // namespace

absl::Status ShortConvSupports(const ShortConvArgs& args) {
  return CheckInputs(args.x, args.weight, args.initial_state, args.bias);
}

absl::Status ShortConv(Context& ctx, const ShortConvArgs& args,
                       ShortConvResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(ShortConvSupports(args), "ShortConv"));
  return Annotate(Run(ctx, args, results), "ShortConv");
}

absl::Status ShortConvGradSupports(const ShortConvGradArgs& args) {
  LT2_RETURN_IF_ERROR(
      CheckInputs(args.x, args.weight, args.initial_state, args.bias));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status ShortConvGrad(Context& ctx, const ShortConvGradArgs& args,
                           ShortConvGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(ShortConvGradSupports(args), "ShortConvGrad"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(
      Annotate(ExpectDevice("x", x, ctx.device()), "ShortConvGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      ctx.Prepare("dx", x.dtype(), x.shape(), &results->dx), "ShortConvGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(ctx.Prepare("dweight", DType::kF32, args.weight.shape(),
                           &results->dweight),
               "ShortConvGrad"));
  if (args.bias.defined()) {
    LT2_RETURN_IF_ERROR(
        Annotate(ctx.Prepare("dbias", DType::kF32, {x.dim(2)}, &results->dbias),
                 "ShortConvGrad"));
    if (x.numel() == 0) LT2_RETURN_IF_ERROR(ctx.Zero(&results->dbias));
  } else {
    results->dbias = Tensor();
  }
  if (x.numel() == 0) return ctx.Zero(&results->dweight);
  LT2_DISPATCH(ctx, ShortConvGradCpu(ctx, args, *results),
               ShortConvGradCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
