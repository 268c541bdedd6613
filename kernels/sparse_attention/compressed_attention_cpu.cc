// Compressed attention on the CPU: the list of a query is the complete blocks
// up to its position.

#include <numeric>
#include <vector>

#include "kernels/sparse_attention/block_compress_internal.h"
#include "kernels/sparse_attention/gathered_cpu.h"

namespace lt2::kernels {
namespace {

sparse::GatheredAttention Gathered(const CompressedAttentionArgs& args) {
  const CompressedSizes z(args);
  return {z.batch,
          z.queries,
          z.blocks,
          z.heads,
          z.kv_heads,
          z.dim,
          args.vc.dim(3),
          args.scale,
          args.q.data<float>(),
          args.kc.data<float>(),
          args.vc.data<float>()};
}

class ListOf {
 public:
  explicit ListOf(const CompressedAttentionArgs& args) : size_(args) {}

  void operator()(int64_t b, int64_t i, int64_t,
                  std::vector<int64_t>* list) const {
    list->resize(size_.Visible(size_.positions.Of(b, i)));
    std::iota(list->begin(), list->end(), 0);
  }

 private:
  const CompressedSizes size_;
};

}  // namespace

absl::Status CompressedAttentionCpu(Context& ctx,
                                    const CompressedAttentionArgs& args,
                                    CompressedAttentionResults* results) {
  Gathered(args).Forward(ctx, ListOf(args), results->o.data<float>(),
                         results->lse.data<float>());
  return absl::OkStatus();
}

absl::Status CompressedAttentionGradCpu(
    Context& ctx, const CompressedAttentionGradArgs& args,
    CompressedAttentionGradResults* results) {
  Gathered(args.forward)
      .Backward(ctx, ListOf(args.forward), args.o.data<float>(),
                args.lse.data<float>(), args.dout.data<float>(),
                results->dq.data<float>(), results->dkc.data<float>(),
                results->dvc.data<float>());
  return absl::OkStatus();
}

}  // namespace lt2::kernels
