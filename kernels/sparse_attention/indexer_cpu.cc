// Exact top-k of the indexer on the CPU. A few queries share a pass over the
// keys: their index heads against 64 keys are one product of small blocks; then
// every query selects from its own row of scores.

#include <algorithm>
#include <vector>

#include "kernels/attention/attention_cpu_block.h"
#include "kernels/sparse_attention/gathered_cpu.h"
#include "kernels/sparse_attention/indexer_internal.h"
#include "kernels/sparse_attention/top_k_cpu.h"

namespace lt2::kernels {
namespace {

using cpu_block::kKeys;

// Queries of a pass: rows of the product, and rows of scores in the cache.
constexpr int64_t kTile = 8;

class TileTopK {
 public:
  TileTopK(const IndexerArgs& args, int64_t top_k)
      : args_(args),
        size_(args),
        top_k_(top_k),
        // Without ReLU the sum over heads moves inside: sum_j w_j <q_j, k> is
        // <sum_j w_j q_j, k>, one row for each query.
        rows_(args.relu ? size_.heads : 1),
        mixed_(args.relu ? 0 : kTile * size_.dim),
        keys_(size_.dim * kKeys),
        products_(kTile * rows_ * kKeys),
        scores_(kTile) {}

  // Queries [begin, end) of row b; at most kTile.
  void Run(int64_t b, int64_t begin, int64_t end, int32_t* indices) {
    const int64_t dim = size_.dim, count = end - begin;
    const int64_t visible =
        std::max<int64_t>(0, size_.positions.Of(b, end - 1) + 1);
    const float* q =
        args_.q.data<float>() + (b * size_.queries + begin) * size_.heads * dim;
    const float* w =
        args_.w.defined()
            ? args_.w.data<float>() + (b * size_.queries + begin) * size_.heads
            : nullptr;
    if (!args_.relu) q = Mix(q, w, count);
    for (int64_t r = 0; r < count; ++r) scores_[r].resize(visible);
    for (int64_t s = 0; s < visible; s += kKeys) {
      const int n = static_cast<int>(std::min<int64_t>(kKeys, visible - s));
      cpu_block::PackTransposed(
          args_.k.data<float>() + (b * size_.keys + s) * dim, dim, n,
          static_cast<int>(dim), keys_.data());
      cpu_block::Product(static_cast<int>(count * rows_), kKeys,
                         static_cast<int>(dim), {q, dim, 1}, keys_.data(),
                         kKeys, products_.data(), kKeys, false);
      for (int64_t r = 0; r < count; ++r) {
        const float* products = products_.data() + r * rows_ * kKeys;
        Combine(products, w == nullptr ? nullptr : w + r * size_.heads, n,
                scores_[r].data() + s);
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      scores_[r].resize(
          std::max<int64_t>(0, size_.positions.Of(b, begin + r) + 1));
      sparse::TopK(scores_[r], top_k_, &order_, indices + r * top_k_);
    }
  }

 private:
  float Weight(const float* w, int64_t j) const {
    return w != nullptr ? w[j] : 1.0f / static_cast<float>(size_.heads);
  }

  // sum_j w_j q_j for every query.
  const float* Mix(const float* q, const float* w, int64_t count) {
    std::fill(mixed_.begin(), mixed_.end(), 0.0f);
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t j = 0; j < size_.heads; ++j) {
        const int64_t row = r * size_.heads + j;
        sparse::AddScaled(w != nullptr ? w[row] : Weight(w, j),
                          q + row * size_.dim, size_.dim,
                          mixed_.data() + r * size_.dim);
      }
    }
    return mixed_.data();
  }

  // Scores of n keys from the products of a query's rows with them.
  void Combine(const float* products, const float* w, int n, float* scores) {
    float sum[kKeys] = {};
    for (int64_t j = 0; j < rows_; ++j) {
      const float weight = args_.relu ? Weight(w, j) : 1.0f;
      for (int c = 0; c < kKeys; ++c) {
        const float x = args_.scale * products[j * kKeys + c];
        sum[c] += weight * (args_.relu && x < 0 ? 0.0f : x);
      }
    }
    std::copy_n(sum, n, scores);
  }

  const IndexerArgs& args_;
  const IndexerSizes size_;
  const int64_t top_k_, rows_;
  std::vector<float> mixed_, keys_, products_;
  std::vector<std::vector<float>> scores_;
  std::vector<int32_t> order_;
};

}  // namespace

absl::Status IndexerTopKCpu(Context& ctx, const IndexerArgs& args,
                            int64_t top_k, Tensor* indices) {
  const IndexerSizes z(args);
  const int64_t tiles = (z.queries + kTile - 1) / kTile;
  int32_t* out = indices->data<int32_t>();
  ctx.ParallelFor(z.batch * tiles, 1, [&](int64_t begin, int64_t end) {
    TileTopK tile(args, top_k);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / tiles, first = item % tiles * kTile;
      tile.Run(b, first, std::min(z.queries, first + kTile),
               out + (b * z.queries + first) * top_k);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
