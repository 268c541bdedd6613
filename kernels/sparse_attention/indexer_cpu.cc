// Exact top-k of the indexer on the CPU: one row of scores at a time.

#include <algorithm>
#include <vector>

#include "kernels/sparse_attention/gathered_cpu.h"
#include "kernels/sparse_attention/indexer_internal.h"
#include "kernels/sparse_attention/top_k_cpu.h"

namespace lt2::kernels {
namespace {

class RowTopK {
 public:
  RowTopK(const IndexerArgs& args, int64_t top_k)
      : args_(args), size_(args), top_k_(top_k) {}

  void Run(int64_t b, int64_t t, int32_t* indices) {
    const int64_t visible = std::max<int64_t>(0, size_.positions.Of(b, t) + 1);
    scores_.assign(visible, 0.0f);
    const int64_t query = b * size_.queries + t;
    const float* q = args_.q.data<float>() + query * size_.heads * size_.dim;
    const float* w = args_.w.defined()
                         ? args_.w.data<float>() + query * size_.heads
                         : nullptr;
    const float* k = args_.k.data<float>() + b * size_.keys * size_.dim;
    if (args_.relu) {
      Scores(q, w, k);
    } else {
      BilinearScores(q, w, k);
    }
    sparse::TopK(scores_, top_k_, &order_, indices);
  }

 private:
  float Weight(const float* w, int64_t j) const {
    return w != nullptr ? w[j] : 1.0f / static_cast<float>(size_.heads);
  }

  void Scores(const float* q, const float* w, const float* k) {
    const int64_t dim = size_.dim;
    for (size_t s = 0; s < scores_.size(); ++s) {
      float sum = 0;
      for (int64_t j = 0; j < size_.heads; ++j) {
        const float x =
            args_.scale * sparse::Dot(q + j * dim, k + s * dim, dim);
        sum += Weight(w, j) * (x < 0 ? 0.0f : x);
      }
      scores_[s] = sum;
    }
  }

  // Without ReLU the sum over heads moves inside: sum_j w_j <q_j, k> is
  // <sum_j w_j q_j, k>, one product for each token.
  void BilinearScores(const float* q, const float* w, const float* k) {
    const int64_t dim = size_.dim;
    mixed_.assign(dim, 0.0f);
    for (int64_t j = 0; j < size_.heads; ++j) {
      sparse::AddScaled(Weight(w, j), q + j * dim, dim, mixed_.data());
    }
    for (size_t s = 0; s < scores_.size(); ++s) {
      scores_[s] = args_.scale * sparse::Dot(mixed_.data(), k + s * dim, dim);
    }
  }

  const IndexerArgs& args_;
  const IndexerSizes size_;
  const int64_t top_k_;
  std::vector<float> scores_, mixed_;
  std::vector<int32_t> order_;
};

}  // namespace

absl::Status IndexerTopKCpu(Context& ctx, const IndexerArgs& args,
                            int64_t top_k, Tensor* indices) {
  const IndexerSizes z(args);
  int32_t* out = indices->data<int32_t>();
  ctx.ParallelFor(z.batch * z.queries, 1, [&](int64_t begin, int64_t end) {
    RowTopK row(args, top_k);
    for (int64_t item = begin; item < end; ++item) {
      row.Run(item / z.queries, item % z.queries, out + item * top_k);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
