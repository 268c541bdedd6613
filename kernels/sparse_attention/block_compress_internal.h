// The device forms behind block_compress.h. Arguments are checked and results
// allocated.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_INTERNAL_H_
#define LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_INTERNAL_H_

#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/sparse_internal.h"

namespace lt2::kernels {

// Extents by name.
struct CompressedSizes {
  CompressedSizes(const Tensor& q, const Tensor& kc, const Tensor& lengths,
                  int64_t tokens, int64_t block)
      : batch(q.dim(0)),
        queries(q.dim(1)),
        blocks(kc.dim(1)),
        heads(q.dim(2)),
        kv_heads(kc.dim(2)),
        dim(q.dim(3)),
        group(kv_heads > 0 ? heads / kv_heads : 0),
        block_size(block),
        positions(MakePositions(
            lengths,
            lengths.defined() ? CompressedLimit(blocks, block) : tokens,
            queries)) {}
  explicit CompressedSizes(const CompressedAttentionArgs& args)
      : CompressedSizes(args.q, args.kc, args.lengths, args.tokens,
                        args.block_size) {}
  explicit CompressedSizes(const SelectBlocksArgs& args)
      : CompressedSizes(args.q, args.kc, args.lengths, args.tokens,
                        args.block_size) {}

  // Complete blocks at or before a position.
  constexpr int64_t Visible(int64_t position) const {
    const int64_t n = position < 0 ? 0 : (position + 1) / block_size;
    return n < blocks ? n : blocks;
  }

  int64_t batch, queries, blocks, heads, kv_heads, dim, group, block_size;
  Positions positions;
};

// Called only if the result is not empty.
absl::Status BlockMeanCpu(Context& ctx, const BlockMeanArgs& args,
                          Tensor* mean);
absl::Status BlockMeanCuda(Context& ctx, const BlockMeanArgs& args,
                           Tensor* mean);
absl::Status BlockMeanGradCpu(Context& ctx, const BlockMeanGradArgs& args,
                              Tensor* dx);
absl::Status BlockMeanGradCuda(Context& ctx, const BlockMeanGradArgs& args,
                               Tensor* dx);
// Called only if `mean` is not empty and appended > 0.
absl::Status BlockMeanAppendCpu(Context& ctx, const BlockMeanAppendArgs& args,
                                Tensor* mean);
absl::Status BlockMeanAppendCuda(Context& ctx, const BlockMeanAppendArgs& args,
                                 Tensor* mean);
// Called only if q is not empty; kc and vc may be (C = 0).
absl::Status CompressedAttentionCpu(Context& ctx,
                                    const CompressedAttentionArgs& args,
                                    CompressedAttentionResults* results);
absl::Status CompressedAttentionCuda(Context& ctx,
                                     const CompressedAttentionArgs& args,
                                     CompressedAttentionResults* results);
// Called only if neither q nor kc is empty.
absl::Status CompressedAttentionGradCpu(
    Context& ctx, const CompressedAttentionGradArgs& args,
    CompressedAttentionGradResults* results);
absl::Status CompressedAttentionGradCuda(
    Context& ctx, const CompressedAttentionGradArgs& args,
    CompressedAttentionGradResults* results);
// Called only if q is not empty; kc may be.
absl::Status SelectBlocksCpu(Context& ctx, const SelectBlocksArgs& args,
                             Tensor* indices);
absl::Status SelectBlocksCuda(Context& ctx, const SelectBlocksArgs& args,
                              Tensor* indices);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_INTERNAL_H_
