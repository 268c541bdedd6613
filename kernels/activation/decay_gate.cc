#include "kernels/activation/decay_gate.h"

#include "kernels/activation/activation_internal.h"
#include "kernels/activation/groups.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {

absl::Status DecayGateSupports(const DecayGateArgs& args) {
  const Tensor& a = args.a;
  LT2_RETURN_IF_ERROR(ExpectActivation("a", a));
  LT2_RETURN_IF_ERROR(ExpectGroups("a_log", args.a_log, a));
  return ExpectTensor("dt_bias", args.dt_bias, a.device(), DType::kF32,
                      {a.dim(-1)});
}

absl::Status DecayGate(Context& ctx, const DecayGateArgs& args, Tensor* g) {
  LT2_RETURN_IF_ERROR(Annotate(DecayGateSupports(args), "DecayGate"));
  LT2_RETURN_IF_ERROR(
      Annotate(ExpectDevice("a", args.a, ctx.device()), "DecayGate"));
  LT2_RETURN_IF_ERROR(
      Annotate(ctx.Prepare("g", DType::kF32, args.a.shape(), g), "DecayGate"));
  if (args.a.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, DecayGateCpu(ctx, args, *g), DecayGateCuda(ctx, args, *g));
}

absl::Status DecayGateGradSupports(const DecayGateGradArgs& args) {
  LT2_RETURN_IF_ERROR(DecayGateSupports({args.a, args.a_log, args.dt_bias}));
  return ExpectTensor("dg", args.dg, args.a.device(), DType::kF32,
                      args.a.shape());
}

absl::Status DecayGateGrad(Context& ctx, const DecayGateGradArgs& args,
                           DecayGateGradResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(DecayGateGradSupports(args), "DecayGateGrad"));
  const Tensor& a = args.a;
  LT2_RETURN_IF_ERROR(
      Annotate(ExpectDevice("a", a, ctx.device()), "DecayGateGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      ctx.Prepare("da", a.dtype(), a.shape(), &results->da), "DecayGateGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      ctx.Prepare("da_log", DType::kF32, args.a_log.shape(), &results->da_log),
      "DecayGateGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(ctx.Prepare("ddt_bias", DType::kF32, args.dt_bias.shape(),
                           &results->ddt_bias),
               "DecayGateGrad"));
  if (a.numel() == 0) {
    LT2_RETURN_IF_ERROR(ctx.Zero(&results->da_log));
    return ctx.Zero(&results->ddt_bias);
  }
  LT2_DISPATCH(ctx, DecayGateGradCpu(ctx, args, *results),
               DecayGateGradCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
