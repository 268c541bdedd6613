// Checks and dispatch of attention over compressed blocks and of their choice.

#include "kernels/sparse_attention/block_compress.h"

#include "kernels/core/checks.h"
#include "kernels/sparse_attention/block_compress_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckQueries(const Tensor& q, const Tensor& kc,
                          const Tensor& lengths, int64_t tokens,
                          int64_t block_size, float scale) {
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("q", q, 4, "[B, S, H, D]"));
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("kc", kc, 4, "[B, C, Hkv, D]"));
  LT2_RETURN_IF_ERROR(ExpectTensor("kc", kc, q.device(), q.dtype(),
                                   {q.dim(0), kc.dim(1), kc.dim(2), q.dim(3)}));
  LT2_RETURN_IF_ERROR(sparse::CheckHeads(q.dim(2), kc.dim(2)));
  LT2_RETURN_IF_ERROR(sparse::CheckDim("q", q, sparse::kMaxCudaDim));
  LT2_RETURN_IF_ERROR(sparse::CheckLengths(lengths, q, q.dim(0)));
  LT2_RETURN_IF_ERROR(sparse::CheckBlockSize(block_size));
  LT2_RETURN_IF_ERROR(sparse::CheckScale("scale", scale));
  if (lengths.defined()) return absl::OkStatus();
  if (tokens < q.dim(1)) {
    return InvalidArgument("there are ", q.dim(1), " queries but only ", tokens,
                           " tokens");
  }
  if (tokens / block_size != kc.dim(1)) {
    return InvalidArgument("kc is ", kc.ToString(), ", but ", tokens,
                           " tokens are ", tokens / block_size,
                           " complete blocks of ", block_size);
  }
  return absl::OkStatus();
}

// FLOPs of `per_pair` for every query, head and visible block, as if every row
// had as many tokens as fit.
int64_t Flops(const CompressedSizes& z, int64_t per_pair) {
  int64_t pairs = 0;
  for (int64_t i = 0; i < z.queries; ++i) {
    pairs += z.Visible(z.positions.limit - z.queries + i);
  }
  return per_pair * z.batch * z.heads * pairs;
}

absl::Status CheckLengthValues(const Tensor& lengths,
                               const CompressedSizes& z) {
  return sparse::CheckLengthValues(lengths, z.positions.limit);
}

}  // namespace

absl::Status CompressedAttentionSupports(const CompressedAttentionArgs& args) {
  LT2_RETURN_IF_ERROR(CheckQueries(args.q, args.kc, args.lengths, args.tokens,
                                   args.block_size, args.scale));
  const Tensor &q = args.q, &kc = args.kc, &vc = args.vc;
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("vc", vc, 4, "[B, C, Hkv, Dv]"));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("vc", vc, q.device(), q.dtype(),
                   {q.dim(0), kc.dim(1), kc.dim(2), vc.dim(3)}));
  return sparse::CheckDim("vc", vc, sparse::kMaxCudaDim);
}

absl::Status CompressedAttention(Context& ctx,
                                 const CompressedAttentionArgs& args,
                                 CompressedAttentionResults* results) {
  LT2_RETURN_IF_ERROR(CompressedAttentionSupports(args));
  LT2_RETURN_IF_ERROR(ExpectDevice("q", args.q, ctx.device()));
  const CompressedSizes z(args);
  LT2_RETURN_IF_ERROR(CheckLengthValues(args.lengths, z));
  LT2_RETURN_IF_ERROR(ctx.Prepare("compressed attention o", args.q.dtype(),
                                  {z.batch, z.queries, z.heads, args.vc.dim(3)},
                                  &results->o));
  LT2_RETURN_IF_ERROR(ctx.Prepare("compressed attention lse", DType::kF32,
                                  {z.batch, z.heads, z.queries},
                                  &results->lse));
  if (args.q.numel() == 0) return absl::OkStatus();
  ctx.CountFlops(Flops(z, 2 * (z.dim + args.vc.dim(3))));
  LT2_DISPATCH(ctx, CompressedAttentionCpu(ctx, args, results),
               CompressedAttentionCuda(ctx, args, results));
}

absl::Status CompressedAttentionGradSupports(
    const CompressedAttentionGradArgs& args) {
  LT2_RETURN_IF_ERROR(CompressedAttentionSupports(args.forward));
  const Tensor &q = args.forward.q, &vc = args.forward.vc;
  LT2_RETURN_IF_ERROR(
      sparse::CheckBf16OnGpu("the gradient of compressed attention", q));
  const Shape o({q.dim(0), q.dim(1), q.dim(2), vc.dim(3)});
  LT2_RETURN_IF_ERROR(ExpectTensor("o", args.o, q.device(), q.dtype(), o));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("dout", args.dout, q.device(), q.dtype(), o));
  return ExpectTensor("lse", args.lse, q.device(), DType::kF32,
                      {q.dim(0), q.dim(2), q.dim(1)});
}

absl::Status CompressedAttentionGrad(Context& ctx,
                                     const CompressedAttentionGradArgs& args,
                                     CompressedAttentionGradResults* results) {
  LT2_RETURN_IF_ERROR(CompressedAttentionGradSupports(args));
  const CompressedAttentionArgs& f = args.forward;
  LT2_RETURN_IF_ERROR(ExpectDevice("q", f.q, ctx.device()));
  LT2_RETURN_IF_ERROR(CheckLengthValues(f.lengths, CompressedSizes(f)));
  LT2_RETURN_IF_ERROR(ctx.Prepare("compressed attention dq", f.q.dtype(),
                                  f.q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(ctx.Prepare("compressed attention dkc", f.kc.dtype(),
                                  f.kc.shape(), &results->dkc));
  LT2_RETURN_IF_ERROR(ctx.Prepare("compressed attention dvc", f.vc.dtype(),
                                  f.vc.shape(), &results->dvc));
  if (f.q.numel() == 0 || f.kc.numel() == 0) {
    LT2_RETURN_IF_ERROR(ctx.Zero(&results->dq));
    LT2_RETURN_IF_ERROR(ctx.Zero(&results->dkc));
    return ctx.Zero(&results->dvc);
  }
  LT2_DISPATCH(ctx, CompressedAttentionGradCpu(ctx, args, results),
               CompressedAttentionGradCuda(ctx, args, results));
}

absl::Status SelectBlocksSupports(const SelectBlocksArgs& args) {
  LT2_RETURN_IF_ERROR(CheckQueries(args.q, args.kc, args.lengths, args.tokens,
                                   args.block_size, args.scale));
  const Tensor& q = args.q;
  if (args.top_n < 1) {
    return InvalidArgument("top_n is ", args.top_n, ", must be >= 1");
  }
  return ExpectTensor("lse", args.lse, q.device(), DType::kF32,
                      {q.dim(0), q.dim(2), q.dim(1)});
}

absl::Status SelectBlocks(Context& ctx, const SelectBlocksArgs& args,
                          Tensor* indices) {
  LT2_RETURN_IF_ERROR(SelectBlocksSupports(args));
  LT2_RETURN_IF_ERROR(ExpectDevice("q", args.q, ctx.device()));
  const CompressedSizes z(args);
  LT2_RETURN_IF_ERROR(CheckLengthValues(args.lengths, z));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected blocks", DType::kI32,
                                  {z.batch, z.queries, z.kv_heads, args.top_n},
                                  indices));
  if (args.q.numel() == 0) return absl::OkStatus();
  ctx.CountFlops(Flops(z, 2 * z.dim));
  LT2_DISPATCH(ctx, SelectBlocksCpu(ctx, args, indices),
               SelectBlocksCuda(ctx, args, indices));
}

}  // namespace lt2::kernels
