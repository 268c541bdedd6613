// The device forms behind indexer.h. Arguments are checked and results
// allocated.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_INDEXER_INTERNAL_H_
#define LT2_KERNELS_SPARSE_ATTENTION_INDEXER_INTERNAL_H_

#include "kernels/sparse_attention/indexer.h"
#include "kernels/sparse_attention/sparse_internal.h"

namespace lt2::kernels {

// Extents by name.
struct IndexerSizes {
  explicit IndexerSizes(const IndexerArgs& args)
      : batch(args.q.dim(0)),
        queries(args.q.dim(1)),
        keys(args.k.dim(1)),
        heads(args.q.dim(2)),
        dim(args.q.dim(3)),
        positions(MakePositions(args.lengths, keys, queries)) {}

  int64_t batch, queries, keys, heads, dim;
  Positions positions;
};

// Called only if q is not empty (then k is not either).
absl::Status IndexerTopKCpu(Context& ctx, const IndexerArgs& args,
                            int64_t top_k, Tensor* indices);
absl::Status IndexerTopKCuda(Context& ctx, const IndexerArgs& args,
                             int64_t top_k, Tensor* indices);
// Called only if indexer.q and attention_q are not empty; indices may be.
absl::Status IndexerLossCpu(Context& ctx, const IndexerLossArgs& args,
                            Tensor* loss);
absl::Status IndexerLossCuda(Context& ctx, const IndexerLossArgs& args,
                             Tensor* loss);
absl::Status IndexerLossGradCpu(Context& ctx, const IndexerLossGradArgs& args,
                                IndexerLossGradResults* results);
absl::Status IndexerLossGradCuda(Context& ctx, const IndexerLossGradArgs& args,
                                 IndexerLossGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_INDEXER_INTERNAL_H_
