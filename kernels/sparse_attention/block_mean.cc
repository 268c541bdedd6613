// Checks and dispatch of the means of blocks.

#include "kernels/core/checks.h"
#include "kernels/sparse_attention/block_compress_internal.h"

namespace lt2::kernels {

absl::Status BlockMeanSupports(const BlockMeanArgs& args) {
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("x", args.x, 4, "[B, L, H, D]"));
  return sparse::CheckBlockSize(args.block_size);
}

absl::Status BlockMean(Context& ctx, const BlockMeanArgs& args, Tensor* mean) {
  LT2_RETURN_IF_ERROR(BlockMeanSupports(args));
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  LT2_RETURN_IF_ERROR(ctx.Prepare(
      "block mean", x.dtype(),
      {x.dim(0), x.dim(1) / args.block_size, x.dim(2), x.dim(3)}, mean));
  if (mean->numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, BlockMeanCpu(ctx, args, mean),
               BlockMeanCuda(ctx, args, mean));
}

absl::Status BlockMeanGradSupports(const BlockMeanGradArgs& args) {
  LT2_RETURN_IF_ERROR(
      sparse::CheckActivation("dmean", args.dmean, 4, "[B, C, H, D]"));
  LT2_RETURN_IF_ERROR(sparse::CheckBlockSize(args.block_size));
  if (args.tokens < 0 || args.tokens / args.block_size != args.dmean.dim(1)) {
    return InvalidArgument("dmean is ", args.dmean.ToString(), ", but ",
                           args.tokens, " tokens are ",
                           args.tokens / args.block_size,
                           " complete blocks of ", args.block_size);
  }
  return absl::OkStatus();
}

absl::Status BlockMeanGrad(Context& ctx, const BlockMeanGradArgs& args,
                           Tensor* dx) {
  LT2_RETURN_IF_ERROR(BlockMeanGradSupports(args));
  const Tensor& dmean = args.dmean;
  LT2_RETURN_IF_ERROR(ExpectDevice("dmean", dmean, ctx.device()));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("block mean dx", dmean.dtype(),
                  {dmean.dim(0), args.tokens, dmean.dim(2), dmean.dim(3)}, dx));
  if (dx->numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, BlockMeanGradCpu(ctx, args, dx),
               BlockMeanGradCuda(ctx, args, dx));
}

absl::Status BlockMeanAppendSupports(const BlockMeanAppendArgs& args,
                                     const Tensor& mean) {
  const Tensor& x = args.x;
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("x", x, 4, "[B, L, H, D]"));
  LT2_RETURN_IF_ERROR(sparse::CheckBlockSize(args.block_size));
  LT2_RETURN_IF_ERROR(ExpectTensor("lengths", args.lengths, x.device(),
                                   DType::kI32, {x.dim(0)}));
  if (args.appended < 0) {
    return InvalidArgument("appended is ", args.appended, ", must be >= 0");
  }
  return ExpectTensor(
      "mean", mean, x.device(), x.dtype(),
      {x.dim(0), x.dim(1) / args.block_size, x.dim(2), x.dim(3)});
}

absl::Status BlockMeanAppend(Context& ctx, const BlockMeanAppendArgs& args,
                             Tensor* mean) {
  LT2_RETURN_IF_ERROR(BlockMeanAppendSupports(args, *mean));
  LT2_RETURN_IF_ERROR(ExpectDevice("x", args.x, ctx.device()));
  LT2_RETURN_IF_ERROR(sparse::CheckLengthValues(args.lengths, args.x.dim(1)));
  if (mean->numel() == 0 || args.appended == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, BlockMeanAppendCpu(ctx, args, mean),
               BlockMeanAppendCuda(ctx, args, mean));
}

}  // namespace lt2::kernels
