// The device forms behind attention.h. Arguments are checked, results
// allocated, and no tensor but the caches' may be empty where noted.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_IMPL_H_
#define LT2_KERNELS_ATTENTION_ATTENTION_IMPL_H_

#include "kernels/attention/attention.h"

namespace lt2::kernels {

// Extents by name, and the offset of the first query among the keys.
struct AttentionSizes {
  explicit AttentionSizes(const AttentionArgs& args)
      : batch(args.q.dim(0)),
        queries(args.q.dim(1)),
        keys(args.k.dim(1)),
        heads(args.q.dim(2)),
        kv_heads(args.k.dim(2)),
        dim(args.q.dim(3)),
        group(kv_heads > 0 ? heads / kv_heads : 0),
        offset(keys - queries),
        // A window that reaches the first key from the last query is none.
        window(args.window > 0 && args.window < keys ? args.window : keys) {}

  int64_t batch, queries, keys, heads, kv_heads, dim, group, offset, window;
};

// Forward: called only if q is not empty.
absl::Status AttentionCpu(Context& ctx, const AttentionArgs& args,
                          AttentionResults* results);
absl::Status AttentionCuda(Context& ctx, const AttentionArgs& args,
                           AttentionResults* results);
// In f32; AttentionCuda calls it.
absl::Status AttentionPlainCuda(Context& ctx, const AttentionArgs& args,
                                AttentionResults* results);
// Gradient: called only if k is not empty; q may be.
absl::Status AttentionGradCpu(Context& ctx, const AttentionGradArgs& args,
                              AttentionGradResults* results);
absl::Status AttentionGradCuda(Context& ctx, const AttentionGradArgs& args,
                               AttentionGradResults* results);
// Called only if q is not empty; the caches may be.
absl::Status AttentionDecodeCpu(Context& ctx, const AttentionDecodeArgs& args,
                                Tensor* o);
absl::Status AttentionDecodeCuda(Context& ctx, const AttentionDecodeArgs& args,
                                 Tensor* o);
// Called only if k is not empty.
absl::Status CacheAppendCpu(Context& ctx, const CacheAppendArgs& args,
                            Tensor* k_cache, Tensor* v_cache);
absl::Status CacheAppendCuda(Context& ctx, const CacheAppendArgs& args,
                             Tensor* k_cache, Tensor* v_cache);
absl::Status AdvanceLengthsCpu(Context& ctx, int64_t n, Tensor* lengths);
absl::Status AdvanceLengthsCuda(Context& ctx, int64_t n, Tensor* lengths);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_IMPL_H_
