// The choice of blocks on the CPU: one query and one group of heads after the
// other, with one row of scores.

#include <algorithm>
#include <vector>

#include "kernels/sparse_attention/block_compress_internal.h"
#include "kernels/sparse_attention/gathered_cpu.h"
#include "kernels/sparse_attention/top_k_cpu.h"

namespace lt2::kernels {
namespace {

class Chooser {
 public:
  explicit Chooser(const SelectBlocksArgs& args) : args_(args), size_(args) {}

  void Run(int64_t b, int64_t i, int64_t kv_head, int32_t* indices) {
    const int64_t position = size_.positions.Of(b, i);
    if (position < 0) {
      std::fill_n(indices, args_.top_n, -1);
      return;
    }
    Scores(b, i, kv_head, size_.Visible(position));
    // Probabilities are at most 1 (and roundings): these come first, in order.
    const int64_t own = position / size_.block_size;
    if (own >= static_cast<int64_t>(scores_.size())) scores_.push_back(0);
    if (own > 0) scores_[own - 1] = 8;
    scores_[0] = 16;
    scores_[own] = 32;
    sparse::TopK(scores_, args_.top_n, &order_, indices);
  }

 private:
  void Scores(int64_t b, int64_t i, int64_t kv_head, int64_t visible) {
    const CompressedSizes& z = size_;
    const int64_t stride = z.kv_heads * z.dim;
    const float* k =
        args_.kc.data<float>() + (b * z.blocks * z.kv_heads + kv_head) * z.dim;
    scores_.assign(visible, 0.0f);
    p_.resize(visible);
    for (int64_t h = kv_head * z.group; h < (kv_head + 1) * z.group; ++h) {
      const float* q =
          args_.q.data<float>() + ((b * z.queries + i) * z.heads + h) * z.dim;
      const float lse =
          args_.lse.data<float>()[(b * z.heads + h) * z.queries + i];
      for (int64_t c = 0; c < visible; ++c) {
        p_[c] = args_.scale * sparse::Dot(q, k + c * stride, z.dim) - lse;
      }
      for (int64_t c = 0; c < visible; ++c) scores_[c] += Exp(p_[c]);
    }
    for (float& x : scores_) x /= static_cast<float>(z.group);
  }

  const SelectBlocksArgs& args_;
  const CompressedSizes size_;
  std::vector<float> scores_, p_;
  std::vector<int32_t> order_;
};

}  // namespace

absl::Status SelectBlocksCpu(Context& ctx, const SelectBlocksArgs& args,
                             Tensor* indices) {
  const CompressedSizes z(args);
  int32_t* out = indices->data<int32_t>();
  ctx.ParallelFor(z.batch * z.queries * z.kv_heads, 1,
                  [&](int64_t begin, int64_t end) {
                    Chooser chooser(args);
                    for (int64_t item = begin; item < end; ++item) {
                      chooser.Run(item / z.kv_heads / z.queries,
                                  item / z.kv_heads % z.queries,
                                  item % z.kv_heads, out + item * args.top_n);
                    }
                  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
