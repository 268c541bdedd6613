#include "kernels/exit_gate/exit_gate.h"

#include "kernels/core/checks.h"
#include "kernels/exit_gate/exit_gate_internal.h"

namespace lt2::kernels {
namespace {

absl::Status Prepare(Context& ctx, const ExitGateArgs& args,
                     ExitGateResults* r) {
  const Tensor& z = args.logits;
  LT2_RETURN_IF_ERROR(ExitGateSupports(args));
  LT2_RETURN_IF_ERROR(ExpectDevice("logits", z, ctx.device()));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("probability", DType::kF32, z.shape(), &r->probability));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("weight", DType::kF32, z.shape(), &r->weight));
  return ctx.Prepare("step", DType::kI32, {z.dim(1)}, &r->step);
}

}  // namespace

absl::Status ExitGateSupports(const ExitGateArgs& args) {
  const Tensor& z = args.logits;
  if (!z.defined() || z.dtype() != DType::kF32 || z.rank() != 2 ||
      z.dim(0) < 1) {
    return InvalidArgument("logits: expected f32 [loops >= 1, n], got ",
                           z.defined() ? z.ToString() : "nothing");
  }
  return absl::OkStatus();
}

absl::Status ExitGate(Context& ctx, const ExitGateArgs& args,
                      ExitGateResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(Prepare(ctx, args, results), "ExitGate"));
  if (args.logits.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, ExitGateCpu(ctx, args, *results),
               ExitGateCuda(ctx, args, *results));
}

}  // namespace lt2::kernels
