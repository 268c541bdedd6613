#include "kernels/rope/rope.h"

#include "kernels/core/checks.h"
#include "kernels/rope/rope_internal.h"

namespace lt2::kernels {

absl::Status RopeSupports(const RopeArgs& args) {
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(ExpectActivation("x", x));
  if (x.rank() != 4 || x.dim(3) % 2 != 0) {
    return InvalidArgument("x: expected [batch, seq, heads, even dim], got ",
                           x.ToString());
  }
  if (!(args.theta > 0)) {
    return InvalidArgument("theta: expected > 0, got ", args.theta);
  }
  if (args.positions.defined()) {
    return ExpectTensor("positions", args.positions, x.device(), DType::kI32,
                        {x.dim(0)});
  }
  return absl::OkStatus();
}

absl::Status Rope(Context& ctx, const RopeArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(RopeSupports(args), "Rope"));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(Annotate(ExpectDevice("x", x, ctx.device()), "Rope"));
  LT2_RETURN_IF_ERROR(
      Annotate(ctx.Prepare("y", x.dtype(), x.shape(), y), "Rope"));
  if (x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, RopeCpu(ctx, args, *y), RopeCuda(ctx, args, *y));
}

}  // namespace lt2::kernels
