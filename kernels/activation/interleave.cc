#include "kernels/activation/interleave.h"

#include <vector>

#include "kernels/activation/activation_internal.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

absl::Status CheckInput(const Tensor& x, int64_t n, int64_t slot) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", x));
  if (x.rank() < 2) {
    return InvalidArgument("x: expected [batch, seq, ..], got ", x.ToString());
  }
  if (n < 1) return InvalidArgument("n: expected >= 1, got ", n);
  if (slot >= 0 && slot < n) return absl::OkStatus();
  return InvalidArgument("slot: expected 0 to ", n - 1, ", got ", slot);
}

absl::Status Prepare(Context& ctx, const Tensor& x, int64_t seq, Tensor* y) {
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  std::vector<int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
  dims[1] = seq;
  return ctx.Prepare("y", x.dtype(), Shape(dims), y);
}

}  // namespace

absl::Status InterleaveSupports(const InterleaveArgs& args) {
  return CheckInput(args.x, args.n, args.slot);
}

absl::Status Interleave(Context& ctx, const InterleaveArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(InterleaveSupports(args), "Interleave"));
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, args.x, args.x.dim(1) * args.n, y), "Interleave"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, InterleaveCpu(ctx, args, *y),
               InterleaveCuda(ctx, args, *y));
}

absl::Status TakeEverySupports(const TakeEveryArgs& args) {
  LT2_RETURN_IF_ERROR(CheckInput(args.x, args.n, args.slot));
  if (args.x.dim(1) % args.n == 0) return absl::OkStatus();
  return InvalidArgument("x: expected a length that is a multiple of ", args.n,
                         ", got ", args.x.ToString());
}

absl::Status TakeEvery(Context& ctx, const TakeEveryArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(TakeEverySupports(args), "TakeEvery"));
  LT2_RETURN_IF_ERROR(
      Annotate(Prepare(ctx, args.x, args.x.dim(1) / args.n, y), "TakeEvery"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, TakeEveryCpu(ctx, args, *y), TakeEveryCuda(ctx, args, *y));
}

}  // namespace lt2::kernels
