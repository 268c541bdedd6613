// Linear attention on the GPU: the chunk engine with Vn = V, and the recurrence
// itself for f32 and for single steps.

#include "kernels/linear_attention/chunk_prepare.cuh"
#include "kernels/linear_attention/recurrent.cuh"

namespace lt2::kernels {
namespace {

using chunked::ActivationRows;
using chunked::Layout;
using chunked::Operands;

// A chunk's operands and the states at chunk starts.
absl::Status ForwardChunks(Context& ctx, const LinearAttentionArgs& args,
                           const Layout& l, float* final_state,
                           Operands* operands, Tensor* states) {
  const chunked::PrepareInputs inputs = chunked::MakePrepareInputs(args);
  LT2_RETURN_IF_ERROR(chunked::AllocateOperands(ctx, l, operands));
  LT2_RETURN_IF_ERROR(DecayOf(args.g) == Decay::kChannel
                          ? chunked::PrepareChannel(ctx, l, inputs, *operands,
                                                    Tensor(), Tensor())
                          : chunked::PrepareScalar(ctx, l, inputs, *operands));
  LT2_ASSIGN_OR_RETURN(
      *states, ctx.Empty(DType::kBF16, {chunked::ChunkCount(l), l.d_k, l.d_v}));
  return chunked::RunStates(ctx, l, *operands, ActivationRows(args.v),
                            cuda::Data<float>(args.initial_state), *states,
                            Tensor(), final_state);
}

}  // namespace

absl::Status LinearAttentionCuda(Context& ctx, const LinearAttentionArgs& args,
                                 LinearAttentionResults* results) {
  if (args.q.dtype() == DType::kF32) {
    return recurrent::Run<false>(ctx, args, /*beta=*/nullptr, results);
  }
  const Layout l = chunked::MakeLayout(RecurrenceSizes(args));
  Operands operands;
  Tensor states;
  LT2_RETURN_IF_ERROR(ForwardChunks(ctx, args, l,
                                    cuda::Data<float>(results->final_state),
                                    &operands, &states));
  return chunked::RunOutputs(ctx, l, operands, ActivationRows(args.v), states,
                             cuda::Data<BFloat16>(results->o));
}

absl::Status LinearAttentionStepCuda(Context& ctx,
                                     const LinearAttentionArgs& args,
                                     LinearAttentionResults* results) {
  return recurrent::Run<false>(ctx, args, /*beta=*/nullptr, results);
}

absl::Status LinearAttentionGradCuda(Context& ctx,
                                     const LinearAttentionGradArgs& args,
                                     LinearAttentionGradResults* results) {
  const LinearAttentionArgs& forward = args.forward;
  const Layout l = chunked::MakeLayout(RecurrenceSizes(forward));
  Operands operands;
  Tensor states, dstates;
  LT2_RETURN_IF_ERROR(ForwardChunks(ctx, forward, l, /*final_state=*/nullptr,
                                    &operands, &states));
  LT2_ASSIGN_OR_RETURN(dstates, ctx.Empty(DType::kBF16, states.shape()));
  LT2_RETURN_IF_ERROR(chunked::RunReverse(
      ctx, l, operands, ActivationRows(args.dout),
      cuda::Data<float>(args.dfinal_state), Tensor(), dstates, Tensor(),
      cuda::Data<float>(results->dinitial_state)));
  chunked::OperandGradients gradients;
  LT2_RETURN_IF_ERROR(chunked::RunOperandGradients(
      ctx, l, operands, ActivationRows(forward.v), ActivationRows(args.dout),
      states, dstates, /*correction=*/nullptr,
      cuda::Data<BFloat16>(results->dv), &gradients));
  const chunked::PrepareInputs inputs = chunked::MakePrepareInputs(forward);
  const chunked::InputGradients to = {results->dq, results->dk, results->dg};
  return DecayOf(forward.g) == Decay::kChannel
             ? chunked::ChannelGradient(ctx, l, inputs, gradients, {}, to)
             : chunked::ScalarGradient(ctx, l, inputs, gradients, to);
}

}  // namespace lt2::kernels
