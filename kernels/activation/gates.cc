#include "kernels/activation/gates.h"

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/groups.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

absl::Status PrepareLike(Context& ctx, const Tensor& x, absl::string_view what,
                         Tensor* result) {
  LT2_RETURN_IF_ERROR(ExpectDevice("the first input", x, ctx.device()));
  return ctx.Prepare(what, x.dtype(), x.shape(), result);
}

}  // namespace

absl::Status SwiGluSupports(const SwiGluArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("gate", args.gate));
  return ExpectLike("up", args.up, args.gate);
}

absl::Status SwiGlu(Context& ctx, const SwiGluArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(SwiGluSupports(args), "SwiGlu"));
  LT2_RETURN_IF_ERROR(Annotate(PrepareLike(ctx, args.gate, "y", y), "SwiGlu"));
  if (args.gate.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SwiGluCpu(ctx, args, *y), SwiGluCuda(ctx, args, *y));
}

absl::Status SwiGluGradSupports(const SwiGluGradArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("gate", args.gate));
  LT2_RETURN_IF_ERROR(ExpectLike("up", args.up, args.gate));
  return ExpectLike("dy", args.dy, args.gate);
}

absl::Status SwiGluGrad(Context& ctx, const SwiGluGradArgs& args,
                        SwiGluGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(SwiGluGradSupports(args), "SwiGluGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      PrepareLike(ctx, args.gate, "dgate", &results->dgate), "SwiGluGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      PrepareLike(ctx, args.gate, "dup", &results->dup), "SwiGluGrad"));
  if (args.gate.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SwiGluGradCpu(ctx, args, *results),
               SwiGluGradCuda(ctx, args, *results));
}

absl::Status SigmoidGateSupports(const SigmoidGateArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  return ExpectLike("gate", args.gate, args.x);
}

absl::Status SigmoidGate(Context& ctx, const SigmoidGateArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(SigmoidGateSupports(args), "SigmoidGate"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, "y", y), "SigmoidGate"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SigmoidGateCpu(ctx, args, *y),
               SigmoidGateCuda(ctx, args, *y));
}

absl::Status SigmoidGateGradSupports(const SigmoidGateGradArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  LT2_RETURN_IF_ERROR(ExpectLike("gate", args.gate, args.x));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status SigmoidGateGrad(Context& ctx, const SigmoidGateGradArgs& args,
                             SigmoidGateGradResults* results) {
  LT2_RETURN_IF_ERROR(
      Annotate(SigmoidGateGradSupports(args), "SigmoidGateGrad"));
  LT2_RETURN_IF_ERROR(Annotate(PrepareLike(ctx, args.x, "dx", &results->dx),
                               "SigmoidGateGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      PrepareLike(ctx, args.x, "dgate", &results->dgate), "SigmoidGateGrad"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SigmoidGateGradCpu(ctx, args, *results),
               SigmoidGateGradCuda(ctx, args, *results));
}

absl::Status ScaledAddSupports(const ScaledAddArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("a", args.a));
  LT2_RETURN_IF_ERROR(ExpectLike("b", args.b, args.a));
  return ExpectGroups("rho", args.rho, args.a);
}

absl::Status ScaledAdd(Context& ctx, const ScaledAddArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(ScaledAddSupports(args), "ScaledAdd"));
  LT2_RETURN_IF_ERROR(Annotate(PrepareLike(ctx, args.a, "y", y), "ScaledAdd"));
  if (args.a.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, ScaledAddCpu(ctx, args, *y), ScaledAddCuda(ctx, args, *y));
}

absl::Status ScaledAddGradSupports(const ScaledAddGradArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("b", args.b));
  LT2_RETURN_IF_ERROR(ExpectLike("dy", args.dy, args.b));
  return ExpectGroups("rho", args.rho, args.b);
}

absl::Status ScaledAddGrad(Context& ctx, const ScaledAddGradArgs& args,
                           ScaledAddGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(ScaledAddGradSupports(args), "ScaledAddGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.b, "db", &results->db), "ScaledAddGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      ctx.Prepare("drho", DType::kF32, args.rho.shape(), &results->drho),
      "ScaledAddGrad"));
  if (args.b.numel() == 0) return ctx.Zero(&results->drho);
  LT2_DISPATCH(ctx, ScaledAddGradCpu(ctx, args, *results),
               ScaledAddGradCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
