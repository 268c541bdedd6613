// The indexer's loss and its gradient on the CPU, one query at a time.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/sparse_attention/gathered_cpu.h"
#include "kernels/sparse_attention/indexer_internal.h"

namespace lt2::kernels {
namespace {

class LossRow {
 public:
  explicit LossRow(const IndexerLossArgs& args)
      : args_(args),
        size_(args.indexer),
        q_(args.indexer.q.data<float>()),
        k_(args.indexer.k.data<float>()),
        w_(args.indexer.w.defined() ? args.indexer.w.data<float>() : nullptr) {}

  // KL(p || softmax I) of query t of row b; false if it has no target.
  bool Forward(int64_t b, int64_t t, float* loss) {
    *loss = 0;
    FillSet(b, t);
    if (!FillTarget(b, t)) return false;
    FillScores(b, t);
    const int64_t n = static_cast<int64_t>(set_.size());
    const float max = *std::max_element(score_.begin(), score_.end());
    const float sum =
        LaneSum(n, [&](int64_t e) { return Exp(score_[e] - max); });
    const float lse = max + std::log(sum);
    for (int64_t e = 0; e < n; ++e) {
      score_[e] -= lse;  // log softmax
      if (p_[e] != 0) *loss += p_[e] * (std::log(p_[e]) - score_[e]);
    }
    return true;
  }

  // Writes dq and dw of the query, adds to dk of row b. `factor` is dloss over
  // the number of queries. dw may be null.
  void Backward(int64_t b, int64_t t, float factor, float* dq, float* dk,
                float* dw) {
    const int64_t heads = size_.heads, dim = size_.dim;
    std::fill_n(dq, heads * dim, 0.0f);
    if (dw != nullptr) std::fill_n(dw, heads, 0.0f);
    float loss;
    if (!Forward(b, t, &loss)) return;
    const float* q = q_ + (b * size_.queries + t) * heads * dim;
    for (size_t e = 0; e < set_.size(); ++e) {
      const float dscore = factor * (Exp(score_[e]) - p_[e]);
      const float* key = k_ + (b * size_.keys + set_[e]) * dim;
      for (int64_t j = 0; j < heads; ++j) {
        const float x = head_score_[e * heads + j];
        if (args_.indexer.relu && x <= 0) continue;
        const float c = dscore * Weight(b, t, j) * args_.indexer.scale;
        sparse::AddScaled(c, key, dim, dq + j * dim);
        sparse::AddScaled(c, q + j * dim, dim, dk + set_[e] * dim);
        if (dw != nullptr) dw[j] += dscore * x;
      }
    }
  }

 private:
  float Weight(int64_t b, int64_t t, int64_t j) const {
    if (w_ == nullptr) return 1.0f / static_cast<float>(size_.heads);
    return w_[(b * size_.queries + t) * size_.heads + j];
  }

  void FillSet(int64_t b, int64_t t) {
    const int64_t position = size_.positions.Of(b, t);
    set_.clear();
    if (!args_.indices.defined()) {
      set_.resize(std::max<int64_t>(0, position + 1));
      std::iota(set_.begin(), set_.end(), 0);
      return;
    }
    const int64_t n = args_.indices.dim(3);
    const int32_t* index =
        args_.indices.data<int32_t>() + (b * size_.queries + t) * n;
    for (int64_t j = 0; j < n; ++j) {
      if (index[j] >= 0 && index[j] <= position) set_.push_back(index[j]);
    }
  }

  // p of the set, normalised; false if there is none.
  bool FillTarget(int64_t b, int64_t t) {
    const int64_t n = static_cast<int64_t>(set_.size());
    const int64_t heads = args_.attention_q.dim(2);
    const int64_t kv_heads = args_.attention_k.dim(2);
    const int64_t dim = args_.attention_q.dim(3), group = heads / kv_heads;
    const float* q = args_.attention_q.data<float>();
    const float* k = args_.attention_k.data<float>();
    p_.assign(n, 0.0f);
    x_.resize(n);
    for (int64_t h = 0; h < heads; ++h) {
      const float* row = q + ((b * size_.queries + t) * heads + h) * dim;
      const float lse = args_.attention_lse
                            .data<float>()[(b * heads + h) * size_.queries + t];
      for (int64_t e = 0; e < n; ++e) {
        const int64_t key = (b * size_.keys + set_[e]) * kv_heads + h / group;
        x_[e] =
            args_.attention_scale * sparse::Dot(row, k + key * dim, dim) - lse;
      }
      for (int64_t e = 0; e < n; ++e) p_[e] += Exp(x_[e]);
    }
    const float sum = LaneSum(n, [&](int64_t e) { return p_[e]; });
    if (sum == 0) return false;
    for (float& p : p_) p /= sum;
    return true;
  }

  void FillScores(int64_t b, int64_t t) {
    const int64_t heads = size_.heads, dim = size_.dim;
    const float* q = q_ + (b * size_.queries + t) * heads * dim;
    head_score_.resize(set_.size() * heads);
    score_.assign(set_.size(), 0.0f);
    for (size_t e = 0; e < set_.size(); ++e) {
      const float* key = k_ + (b * size_.keys + set_[e]) * dim;
      for (int64_t j = 0; j < heads; ++j) {
        const float x =
            args_.indexer.scale * sparse::Dot(q + j * dim, key, dim);
        head_score_[e * heads + j] = x;
        score_[e] += Weight(b, t, j) * (args_.indexer.relu && x < 0 ? 0.0f : x);
      }
    }
  }

  const IndexerLossArgs& args_;
  const IndexerSizes size_;
  const float *q_, *k_, *w_;
  std::vector<int64_t> set_;
  std::vector<float> p_, x_, score_, head_score_;
};

}  // namespace

absl::Status IndexerLossCpu(Context& ctx, const IndexerLossArgs& args,
                            Tensor* loss) {
  const IndexerSizes z(args.indexer);
  std::vector<float> rows(z.batch * z.queries);
  ctx.ParallelFor(z.batch * z.queries, 1, [&](int64_t begin, int64_t end) {
    LossRow row(args);
    for (int64_t item = begin; item < end; ++item) {
      row.Forward(item / z.queries, item % z.queries, &rows[item]);
    }
  });
  double sum = 0;
  for (float x : rows) sum += x;
  *loss->data<float>() =
      static_cast<float>(sum / static_cast<double>(rows.size()));
  return absl::OkStatus();
}

// A work item is a row of the batch, so that every row of dk has one owner.
absl::Status IndexerLossGradCpu(Context& ctx, const IndexerLossGradArgs& args,
                                IndexerLossGradResults* results) {
  const IndexerSizes z(args.forward.indexer);
  const float factor =
      (args.dloss.defined() ? *args.dloss.data<float>() : 1.0f) /
      static_cast<float>(z.batch * z.queries);
  float* const dq = results->dq.data<float>();
  float* const dk = results->dk.data<float>();
  float* const dw =
      args.forward.indexer.w.defined() ? results->dw.data<float>() : nullptr;
  ctx.ParallelFor(z.batch, 1, [&](int64_t begin, int64_t end) {
    LossRow row(args.forward);
    for (int64_t b = begin; b < end; ++b) {
      float* const dk_row = dk + b * z.keys * z.dim;
      std::fill_n(dk_row, z.keys * z.dim, 0.0f);
      for (int64_t t = 0; t < z.queries; ++t) {
        const int64_t query = b * z.queries + t;
        row.Backward(b, t, factor, dq + query * z.heads * z.dim, dk_row,
                     dw != nullptr ? dw + query * z.heads : nullptr);
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
