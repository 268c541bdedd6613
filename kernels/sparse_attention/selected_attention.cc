#include "kernels/sparse_attention/selected_attention.h"

#include <algorithm>

#include "kernels/core/checks.h"
#include "kernels/sparse_attention/selected_attention_internal.h"

namespace lt2::kernels {
namespace {

// FLOPs if every query finds min(n block_size, position + 1) tokens.
int64_t SelectedFlops(const SelectedAttentionSizes& z) {
  int64_t pairs = 0;
  for (int64_t i = 0; i < z.queries; ++i) {
    pairs += std::min(z.selected * z.block_size, z.keys - z.queries + i + 1);
  }
  return 2 * (z.dim + z.value_dim) * z.batch * z.heads * pairs;
}

Shape OutputShape(const SelectedAttentionSizes& z) {
  return {z.batch, z.queries, z.heads, z.value_dim};
}

}  // namespace

absl::Status SelectedAttentionSupports(const SelectedAttentionArgs& args) {
  const Tensor &q = args.q, &k = args.k, &v = args.v;
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("q", q, 4, "[B, S, H, D]"));
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("k", k, 4, "[B, L, Hkv, D]"));
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("v", v, 4, "[B, L, Hkv, Dv]"));
  LT2_RETURN_IF_ERROR(ExpectTensor("k", k, q.device(), q.dtype(),
                                   {q.dim(0), k.dim(1), k.dim(2), q.dim(3)}));
  LT2_RETURN_IF_ERROR(ExpectTensor("v", v, q.device(), q.dtype(),
                                   {q.dim(0), k.dim(1), k.dim(2), v.dim(3)}));
  LT2_RETURN_IF_ERROR(sparse::CheckHeads(q.dim(2), k.dim(2)));
  LT2_RETURN_IF_ERROR(sparse::CheckDim("q", q, sparse::kMaxCudaDim));
  LT2_RETURN_IF_ERROR(sparse::CheckDim("v", v, sparse::kMaxCudaDim));
  const Tensor& indices = args.indices;
  if (!indices.defined() || indices.rank() != 4) {
    return InvalidArgument(
        "indices must be i32 [B, S, Hi, n], got ",
        indices.defined() ? indices.ToString() : std::string("undefined"));
  }
  LT2_RETURN_IF_ERROR(
      ExpectTensor("indices", indices, q.device(), DType::kI32,
                   {q.dim(0), q.dim(1), indices.dim(2), indices.dim(3)}));
  if (indices.dim(2) != 1 && indices.dim(2) != k.dim(2)) {
    return InvalidArgument("indices are ", indices.ToString(), ", must have ",
                           k.dim(2), " heads or 1");
  }
  LT2_RETURN_IF_ERROR(sparse::CheckLengths(args.lengths, q, q.dim(0)));
  LT2_RETURN_IF_ERROR(sparse::CheckBlockSize(args.block_size));
  LT2_RETURN_IF_ERROR(sparse::CheckScale("scale", args.scale));
  if (q.dim(1) > k.dim(1)) {
    return InvalidArgument("there are ", q.dim(1), " queries but only ",
                           k.dim(1), " keys");
  }
  return absl::OkStatus();
}

absl::Status SelectedAttention(Context& ctx, const SelectedAttentionArgs& args,
                               SelectedAttentionResults* results) {
  LT2_RETURN_IF_ERROR(SelectedAttentionSupports(args));
  LT2_RETURN_IF_ERROR(ExpectDevice("q", args.q, ctx.device()));
  const SelectedAttentionSizes z(args);
  LT2_RETURN_IF_ERROR(sparse::CheckLengthValues(args.lengths, z.keys));
  LT2_RETURN_IF_ERROR(sparse::CheckIndexValues(args.indices, z.blocks));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected attention o", args.q.dtype(),
                                  OutputShape(z), &results->o));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected attention lse", DType::kF32,
                                  {z.batch, z.heads, z.queries},
                                  &results->lse));
  if (args.q.numel() == 0) return absl::OkStatus();
  ctx.CountFlops(SelectedFlops(z));
  LT2_DISPATCH(ctx, SelectedAttentionCpu(ctx, args, results),
               SelectedAttentionCuda(ctx, args, results));
}

absl::Status SelectedAttentionGradSupports(
    const SelectedAttentionGradArgs& args) {
  LT2_RETURN_IF_ERROR(SelectedAttentionSupports(args.forward));
  const Tensor& q = args.forward.q;
  LT2_RETURN_IF_ERROR(
      sparse::CheckBf16OnGpu("the gradient of selected attention", q));
  const SelectedAttentionSizes z(args.forward);
  LT2_RETURN_IF_ERROR(
      ExpectTensor("o", args.o, q.device(), q.dtype(), OutputShape(z)));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("dout", args.dout, q.device(), q.dtype(), OutputShape(z)));
  return ExpectTensor("lse", args.lse, q.device(), DType::kF32,
                      {z.batch, z.heads, z.queries});
}

absl::Status SelectedAttentionGrad(Context& ctx,
                                   const SelectedAttentionGradArgs& args,
                                   SelectedAttentionGradResults* results) {
  LT2_RETURN_IF_ERROR(SelectedAttentionGradSupports(args));
  const SelectedAttentionArgs& f = args.forward;
  LT2_RETURN_IF_ERROR(ExpectDevice("q", f.q, ctx.device()));
  const SelectedAttentionSizes z(f);
  LT2_RETURN_IF_ERROR(sparse::CheckLengthValues(f.lengths, z.keys));
  LT2_RETURN_IF_ERROR(sparse::CheckIndexValues(f.indices, z.blocks));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected attention dq", f.q.dtype(),
                                  f.q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected attention dk", f.k.dtype(),
                                  f.k.shape(), &results->dk));
  LT2_RETURN_IF_ERROR(ctx.Prepare("selected attention dv", f.v.dtype(),
                                  f.v.shape(), &results->dv));
  if (f.q.numel() == 0) {
    LT2_RETURN_IF_ERROR(ctx.Zero(&results->dk));
    return ctx.Zero(&results->dv);
  }
  LT2_DISPATCH(ctx, SelectedAttentionGradCpu(ctx, args, results),
               SelectedAttentionGradCuda(ctx, args, results));
}

}  // namespace lt2::kernels
