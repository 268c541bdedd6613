// The device forms behind selected_attention.h. Arguments are checked and
// results allocated.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_INTERNAL_H_
#define LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_INTERNAL_H_

#include "kernels/sparse_attention/selected_attention.h"
#include "kernels/sparse_attention/sparse_internal.h"

namespace lt2::kernels {

// Extents by name.
struct SelectedAttentionSizes {
  explicit SelectedAttentionSizes(const SelectedAttentionArgs& args)
      : batch(args.q.dim(0)),
        queries(args.q.dim(1)),
        keys(args.k.dim(1)),
        heads(args.q.dim(2)),
        kv_heads(args.k.dim(2)),
        index_heads(args.indices.dim(2)),
        selected(args.indices.dim(3)),
        dim(args.q.dim(3)),
        value_dim(args.v.dim(3)),
        group(kv_heads > 0 ? heads / kv_heads : 0),
        block_size(args.block_size),
        blocks((keys + block_size - 1) / block_size),
        positions(MakePositions(args.lengths, keys, queries)) {}

  int64_t batch, queries, keys, heads, kv_heads, index_heads, selected;
  int64_t dim, value_dim, group, block_size, blocks;
  Positions positions;
};

// Called only if q is not empty (then k and v are not either; the lists of
// indices may be, n = 0).
absl::Status SelectedAttentionCpu(Context& ctx,
                                  const SelectedAttentionArgs& args,
                                  SelectedAttentionResults* results);
absl::Status SelectedAttentionCuda(Context& ctx,
                                   const SelectedAttentionArgs& args,
                                   SelectedAttentionResults* results);
absl::Status SelectedAttentionGradCpu(Context& ctx,
                                      const SelectedAttentionGradArgs& args,
                                      SelectedAttentionGradResults* results);
absl::Status SelectedAttentionGradCuda(Context& ctx,
                                       const SelectedAttentionGradArgs& args,
                                       SelectedAttentionGradResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SELECTED_ATTENTION_INTERNAL_H_
