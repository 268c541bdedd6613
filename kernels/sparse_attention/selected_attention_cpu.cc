// Selected attention on the CPU: the list of a query is the tokens of its
// blocks, in the order of its indices.

#include <algorithm>
#include <vector>

#include "kernels/sparse_attention/gathered_cpu.h"
#include "kernels/sparse_attention/selected_attention_internal.h"

namespace lt2::kernels {
namespace {

sparse::GatheredAttention Gathered(const SelectedAttentionArgs& args) {
  const SelectedAttentionSizes z(args);
  return {z.batch,
          z.queries,
          z.keys,
          z.heads,
          z.kv_heads,
          z.dim,
          z.value_dim,
          args.scale,
          args.q.data<float>(),
          args.k.data<float>(),
          args.v.data<float>()};
}

class ListOf {
 public:
  explicit ListOf(const SelectedAttentionArgs& args)
      : size_(args), indices_(args.indices.data<int32_t>()) {}

  void operator()(int64_t b, int64_t i, int64_t kv_head,
                  std::vector<int64_t>* list) const {
    const SelectedAttentionSizes& z = size_;
    const int64_t head = z.index_heads == 1 ? 0 : kv_head;
    const int32_t* index =
        indices_ + ((b * z.queries + i) * z.index_heads + head) * z.selected;
    const int64_t position = z.positions.Of(b, i);
    list->clear();
    for (int64_t j = 0; j < z.selected; ++j) {
      if (index[j] < 0) continue;
      const int64_t begin = index[j] * z.block_size;
      const int64_t end = std::min(begin + z.block_size, position + 1);
      for (int64_t s = begin; s < end; ++s) list->push_back(s);
    }
  }

 private:
  const SelectedAttentionSizes size_;
  const int32_t* indices_;
};

}  // namespace

absl::Status SelectedAttentionCpu(Context& ctx,
                                  const SelectedAttentionArgs& args,
                                  SelectedAttentionResults* results) {
  Gathered(args).Forward(ctx, ListOf(args), results->o.data<float>(),
                         results->lse.data<float>());
  return absl::OkStatus();
}

absl::Status SelectedAttentionGradCpu(Context& ctx,
                                      const SelectedAttentionGradArgs& args,
                                      SelectedAttentionGradResults* results) {
  Gathered(args.forward)
      .Backward(ctx, ListOf(args.forward), args.o.data<float>(),
                args.lse.data<float>(), args.dout.data<float>(),
                results->dq.data<float>(), results->dk.data<float>(),
                results->dv.data<float>());
  return absl::OkStatus();
}

}  // namespace lt2::kernels
