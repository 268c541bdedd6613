#include "model/autograd/sparse_ops.h"

#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/indexer.h"
#include "kernels/sparse_attention/selected_attention.h"
#include "model/autograd/op_macros.h"

namespace lt2::model {

Var SelectedAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                      const Tensor& indices, int64_t block_size, float scale,
                      const Tensor& lengths, Tensor* lse) {
  if (!tape.ok()) return Var();
  const kernels::SelectedAttentionArgs args{
      q.value(), k.value(), v.value(), indices, lengths, block_size, scale};
  kernels::SelectedAttentionResults r;
  LT2_TAPE_OP(tape, kernels::SelectedAttention(tape.ctx(), args, &r));
  if (lse != nullptr) *lse = r.lse;
  return tape.Record(
      r.o, {q, k, v}, false,
      [&tape, q, k, v, args, r](const Tensor& dout) -> absl::Status {
        kernels::SelectedAttentionGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::SelectedAttentionGrad(
            tape.ctx(), {args, r.o, r.lse, dout}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(k, grad.dk));
        return tape.Accumulate(v, grad.dv);
      });
}

Var BlockMean(Tape& tape, const Var& x, int64_t block_size) {
  if (!tape.ok()) return Var();
  Tensor mean;
  LT2_TAPE_OP(tape,
              kernels::BlockMean(tape.ctx(), {x.value(), block_size}, &mean));
  return tape.Record(
      mean, {x}, false,
      [&tape, x, block_size](const Tensor& dmean) -> absl::Status {
        Tensor dx;
        LT2_RETURN_IF_ERROR(kernels::BlockMeanGrad(
            tape.ctx(), {dmean, x.dim(1), block_size}, &dx));
        return tape.Accumulate(x, dx);
      });
}

Var CompressedAttention(Tape& tape, const Var& q, const Var& kc, const Var& vc,
                        int64_t tokens, int64_t block_size, float scale,
                        const Tensor& lengths, Tensor* lse) {
  if (!tape.ok()) return Var();
  const kernels::CompressedAttentionArgs args{
      q.value(), kc.value(), vc.value(), lengths, tokens, block_size, scale};
  kernels::CompressedAttentionResults r;
  LT2_TAPE_OP(tape, kernels::CompressedAttention(tape.ctx(), args, &r));
  if (lse != nullptr) *lse = r.lse;
  return tape.Record(
      r.o, {q, kc, vc}, false,
      [&tape, q, kc, vc, args, r](const Tensor& dout) -> absl::Status {
        kernels::CompressedAttentionGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::CompressedAttentionGrad(
            tape.ctx(), {args, r.o, r.lse, dout}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(kc, grad.dkc));
        return tape.Accumulate(vc, grad.dvc);
      });
}

Tensor SelectBlocks(Tape& tape, const Var& q, const Var& kc, const Tensor& lse,
                    int64_t tokens, int64_t block_size, int64_t top_n,
                    float scale, const Tensor& lengths) {
  if (!tape.ok()) return Tensor();
  Tensor indices;
  const absl::Status status = kernels::SelectBlocks(
      tape.ctx(),
      {q.value(), kc.value(), lse, lengths, tokens, block_size, top_n, scale},
      &indices);
  if (!status.ok()) tape.Fail(status);
  return indices;
}

namespace {

kernels::IndexerArgs ArgsOf(const Indexer& indexer, const Tensor& lengths) {
  return {indexer.q.value(),
          indexer.k.value(),
          indexer.w.defined() ? indexer.w.value() : Tensor(),
          lengths,
          indexer.scale,
          indexer.relu};
}

}  // namespace

Tensor IndexerTopK(Tape& tape, const Indexer& indexer, int64_t top_k,
                   const Tensor& lengths) {
  if (!tape.ok()) return Tensor();
  Tensor indices;
  const absl::Status status = kernels::IndexerTopK(
      tape.ctx(), ArgsOf(indexer, lengths), top_k, &indices);
  if (!status.ok()) tape.Fail(status);
  return indices;
}

Var IndexerLoss(Tape& tape, const Indexer& indexer, const Tensor& indices,
                const AttentionOf& attention) {
  if (!tape.ok()) return Var();
  const kernels::IndexerLossArgs args{ArgsOf(indexer, Tensor()),
                                      indices,
                                      attention.q,
                                      attention.k,
                                      attention.lse,
                                      attention.scale};
  Tensor loss;
  LT2_TAPE_OP(tape, kernels::IndexerLoss(tape.ctx(), args, &loss));
  return tape.Record(
      loss, {indexer.q, indexer.k, indexer.w}, false,
      [&tape, indexer, args](const Tensor& dloss) -> absl::Status {
        kernels::IndexerLossGradResults grad;
        LT2_RETURN_IF_ERROR(
            kernels::IndexerLossGrad(tape.ctx(), {args, dloss}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(indexer.q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(indexer.k, grad.dk));
        if (!indexer.w.defined()) return absl::OkStatus();
        return tape.Accumulate(indexer.w, grad.dw);
      });
}

}  // namespace lt2::model
