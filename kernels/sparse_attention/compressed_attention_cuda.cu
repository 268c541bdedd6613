// Compressed attention on a GPU: attention over prefix lists. Query i sees the
// first Limit(b, i) compressed keys, which selected_cuda.cuh treats as a list
// that needs no indices.

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels {

absl::Status CompressedAttentionCuda(Context& ctx,
                                     const CompressedAttentionArgs& args,
                                     CompressedAttentionResults* results) {
  return sparse::ListForward(
      ctx, sparse::ListSizes(args),
      {args.q, args.kc, args.vc, results->o, results->lse});
}

absl::Status CompressedAttentionGradCuda(
    Context& ctx, const CompressedAttentionGradArgs& args,
    CompressedAttentionGradResults* results) {
  const CompressedAttentionArgs& f = args.forward;
  return sparse::ListGrad(ctx, sparse::ListSizes(f),
                          {f.q, f.kc, f.vc, args.o, args.lse, args.dout,
                           results->dq, results->dkc, results->dvc});
}

}  // namespace lt2::kernels
