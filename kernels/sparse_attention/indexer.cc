#include "kernels/sparse_attention/indexer.h"

#include "kernels/core/checks.h"
#include "kernels/sparse_attention/indexer_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckIndexer(const IndexerArgs& args) {
  const Tensor &q = args.q, &k = args.k;
  LT2_RETURN_IF_ERROR(
      sparse::CheckActivation("indexer q", q, 4, "[B, S, HI, DI]"));
  LT2_RETURN_IF_ERROR(sparse::CheckActivation("indexer k", k, 3, "[B, L, DI]"));
  LT2_RETURN_IF_ERROR(ExpectTensor("indexer k", k, q.device(), q.dtype(),
                                   {q.dim(0), k.dim(1), q.dim(3)}));
  LT2_RETURN_IF_ERROR(
      sparse::CheckDim("indexer q", q, sparse::kMaxCudaIndexDim));
  if (q.dim(2) < 1) {
    return InvalidArgument("indexer q is ", q.ToString(), ", has no heads");
  }
  if (args.w.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("indexer w", args.w, q.device(),
                                     DType::kF32,
                                     {q.dim(0), q.dim(1), q.dim(2)}));
  }
  LT2_RETURN_IF_ERROR(sparse::CheckLengths(args.lengths, q, q.dim(0)));
  LT2_RETURN_IF_ERROR(sparse::CheckScale("indexer scale", args.scale));
  if (q.dim(1) > k.dim(1)) {
    return InvalidArgument("there are ", q.dim(1), " queries but only ",
                           k.dim(1), " keys");
  }
  return absl::OkStatus();
}

// Visible pairs, as if every row were full.
int64_t Pairs(const IndexerSizes& z) {
  return z.batch *
         (z.queries * (z.keys - z.queries) + z.queries * (z.queries + 1) / 2);
}

absl::Status CheckLossValues(const IndexerLossArgs& args) {
  const int64_t keys = args.indexer.k.dim(1);
  LT2_RETURN_IF_ERROR(sparse::CheckLengthValues(args.indexer.lengths, keys));
  return sparse::CheckIndexValues(args.indices, keys);
}

}  // namespace

absl::Status IndexerTopKSupports(const IndexerArgs& args, int64_t top_k) {
  LT2_RETURN_IF_ERROR(CheckIndexer(args));
  if (top_k >= 1) return absl::OkStatus();
  return InvalidArgument("top_k is ", top_k, ", must be >= 1");
}

absl::Status IndexerTopK(Context& ctx, const IndexerArgs& args, int64_t top_k,
                         Tensor* indices) {
  LT2_RETURN_IF_ERROR(IndexerTopKSupports(args, top_k));
  LT2_RETURN_IF_ERROR(ExpectDevice("indexer q", args.q, ctx.device()));
  const IndexerSizes z(args);
  LT2_RETURN_IF_ERROR(sparse::CheckLengthValues(args.lengths, z.keys));
  LT2_RETURN_IF_ERROR(ctx.Prepare("indexer top-k", DType::kI32,
                                  {z.batch, z.queries, 1, top_k}, indices));
  if (args.q.numel() == 0) return absl::OkStatus();
  ctx.CountFlops(2 * z.heads * (z.dim + 1) * Pairs(z));
  LT2_DISPATCH(ctx, IndexerTopKCpu(ctx, args, top_k, indices),
               IndexerTopKCuda(ctx, args, top_k, indices));
}

absl::Status IndexerLossSupports(const IndexerLossArgs& args) {
  const Tensor &qi = args.indexer.q, &ki = args.indexer.k;
  const Tensor &q = args.attention_q, &k = args.attention_k;
  LT2_RETURN_IF_ERROR(CheckIndexer(args.indexer));
  LT2_RETURN_IF_ERROR(sparse::CheckBf16OnGpu("the indexer's loss", qi));
  LT2_RETURN_IF_ERROR(
      sparse::CheckActivation("attention_q", q, 4, "[B, S, H, D]"));
  LT2_RETURN_IF_ERROR(
      sparse::CheckActivation("attention_k", k, 4, "[B, L, Hkv, D]"));
  LT2_RETURN_IF_ERROR(ExpectTensor("attention_q", q, qi.device(), qi.dtype(),
                                   {qi.dim(0), qi.dim(1), q.dim(2), q.dim(3)}));
  LT2_RETURN_IF_ERROR(ExpectTensor("attention_k", k, qi.device(), qi.dtype(),
                                   {qi.dim(0), ki.dim(1), k.dim(2), q.dim(3)}));
  if (q.dim(2) < 1) {
    return InvalidArgument("attention_q is ", q.ToString(), ", has no heads");
  }
  LT2_RETURN_IF_ERROR(sparse::CheckHeads(q.dim(2), k.dim(2)));
  LT2_RETURN_IF_ERROR(sparse::CheckDim("attention_q", q, sparse::kMaxCudaDim));
  LT2_RETURN_IF_ERROR(
      sparse::CheckScale("attention_scale", args.attention_scale));
  LT2_RETURN_IF_ERROR(ExpectTensor("attention_lse", args.attention_lse,
                                   qi.device(), DType::kF32,
                                   {qi.dim(0), q.dim(2), qi.dim(1)}));
  if (!args.indices.defined()) return absl::OkStatus();
  if (args.indices.rank() != 4) {
    return InvalidArgument("indices are ", args.indices.ToString(),
                           ", must be [B, S, 1, n]");
  }
  return ExpectTensor("indices", args.indices, qi.device(), DType::kI32,
                      {qi.dim(0), qi.dim(1), 1, args.indices.dim(3)});
}

absl::Status IndexerLoss(Context& ctx, const IndexerLossArgs& args,
                         Tensor* loss) {
  LT2_RETURN_IF_ERROR(IndexerLossSupports(args));
  LT2_RETURN_IF_ERROR(ExpectDevice("indexer q", args.indexer.q, ctx.device()));
  LT2_RETURN_IF_ERROR(CheckLossValues(args));
  LT2_RETURN_IF_ERROR(ctx.Prepare("indexer loss", DType::kF32, {1}, loss));
  if (args.indexer.q.numel() == 0) return ctx.Zero(loss);
  LT2_DISPATCH(ctx, IndexerLossCpu(ctx, args, loss),
               IndexerLossCuda(ctx, args, loss));
}

absl::Status IndexerLossGradSupports(const IndexerLossGradArgs& args) {
  LT2_RETURN_IF_ERROR(IndexerLossSupports(args.forward));
  if (!args.dloss.defined()) return absl::OkStatus();
  return ExpectTensor("dloss", args.dloss, args.forward.indexer.q.device(),
                      DType::kF32, {1});
}

absl::Status IndexerLossGrad(Context& ctx, const IndexerLossGradArgs& args,
                             IndexerLossGradResults* results) {
  LT2_RETURN_IF_ERROR(IndexerLossGradSupports(args));
  const IndexerArgs& indexer = args.forward.indexer;
  LT2_RETURN_IF_ERROR(ExpectDevice("indexer q", indexer.q, ctx.device()));
  LT2_RETURN_IF_ERROR(CheckLossValues(args.forward));
  LT2_RETURN_IF_ERROR(ctx.Prepare("indexer dq", indexer.q.dtype(),
                                  indexer.q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(ctx.Prepare("indexer dk", indexer.k.dtype(),
                                  indexer.k.shape(), &results->dk));
  if (indexer.w.defined()) {
    LT2_RETURN_IF_ERROR(ctx.Prepare("indexer dw", DType::kF32,
                                    indexer.w.shape(), &results->dw));
  }
  if (indexer.q.numel() == 0) return ctx.Zero(&results->dk);
  LT2_DISPATCH(ctx, IndexerLossGradCpu(ctx, args, results),
               IndexerLossGradCuda(ctx, args, results));
}

}  // namespace lt2::kernels
