// Gradient on the CPU. One work item is one key-value head of one batch row
// with its group of query heads, so that every sum has one owner and one
// order: dk and dv over queries, dq over blocks of keys.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention_cpu_block.h"
#include "kernels/attention/attention_impl.h"

namespace lt2::kernels {
namespace {

using cpu_block::kKeys;
using cpu_block::kQueries;
using cpu_block::V8;

class GradHead {
 public:
  GradHead(const AttentionGradArgs& args, AttentionGradResults* results)
      : args_(args),
        results_(results),
        size_(args.forward),
        dim_(static_cast<int>(size_.dim)),
        padded_(cpu_block::RoundUp16(size_.dim)),
        delta_(size_.group * size_.queries),
        k_(kKeys * padded_),
        k_transposed_(dim_ * kKeys),
        v_transposed_(dim_ * kKeys),
        dk_(kKeys * padded_),
        dv_(kKeys * padded_),
        q_(kQueries * padded_),
        dout_(kQueries * padded_),
        dq_(kQueries * padded_),
        p_(kQueries * kKeys),
        ds_(kQueries * kKeys) {}

  void Run(int64_t b, int64_t kv_head) {
    const AttentionSizes& z = size_;
    for (int64_t g = 0; g < z.group; ++g) {
      Deltas(b, kv_head * z.group + g, delta_.data() + g * z.queries);
    }
    for (int64_t key = 0; key < z.keys; key += kKeys) {
      Keys(b, kv_head, key);
    }
  }

 private:
  int64_t QueryOffset(int64_t b, int64_t i, int64_t h) const {
    return ((b * size_.queries + i) * size_.heads + h) * size_.dim;
  }

  // delta = <dout, o> for every query of a head; also clears its dq. Summed in
  // the order of Product, so that where the softmax is one-hot and o is a row
  // of v, dp - delta is 0 and not the difference of two roundings.
  void Deltas(int64_t b, int64_t h, float* delta) {
    for (int64_t i = 0; i < size_.queries; ++i) {
      const int64_t offset = QueryOffset(b, i, h);
      const float* o = args_.o.data<float>() + offset;
      const float* dout = args_.dout.data<float>() + offset;
      float sum = 0;
      for (int d = 0; d < dim_; ++d) sum = std::fma(dout[d], o[d], sum);
      delta[i] = sum;
      std::fill_n(results_->dq.data<float>() + offset, dim_, 0.0f);
    }
  }

  // All that one block of keys contributes to or receives.
  void Keys(int64_t b, int64_t kv_head, int64_t key) {
    const AttentionSizes& z = size_;
    const int count = static_cast<int>(std::min<int64_t>(kKeys, z.keys - key));
    const int64_t offset = ((b * z.keys + key) * z.kv_heads + kv_head) * dim_;
    const int64_t stride = z.kv_heads * z.dim;
    const float* k = args_.forward.k.data<float>() + offset;
    const float* v = args_.forward.v.data<float>() + offset;
    cpu_block::Pack(k, stride, count, dim_, padded_, k_.data());
    cpu_block::PackTransposed(k, stride, count, dim_, k_transposed_.data());
    cpu_block::PackTransposed(v, stride, count, dim_, v_transposed_.data());
    std::fill(dk_.begin(), dk_.end(), 0.0f);
    std::fill(dv_.begin(), dv_.end(), 0.0f);
    // Query i sees some of these keys if
    // key <= offset + i < key + count - 1 + window.
    const int64_t first = std::max<int64_t>(0, key - z.offset);
    const int64_t end =
        std::min(z.queries, key + count - 1 + z.window - z.offset);
    for (int64_t g = 0; g < z.group; ++g) {
      for (int64_t i = first; i < end; i += kQueries) {
        Block(b, kv_head * z.group + g, delta_.data() + g * z.queries, i,
              static_cast<int>(std::min<int64_t>(kQueries, end - i)), key,
              count);
      }
    }
    float* dk = results_->dk.data<float>() + offset;
    float* dv = results_->dv.data<float>() + offset;
    for (int r = 0; r < count; ++r) {
      for (int d = 0; d < dim_; ++d) {
        dk[r * stride + d] = dk_[r * padded_ + d] * args_.forward.scale;
        dv[r * stride + d] = dv_[r * padded_ + d];
      }
    }
  }

  // Queries [i, i + rows) against keys [key, key + count).
  void Block(int64_t b, int64_t h, const float* delta, int64_t i, int rows,
             int64_t key, int count) {
    const AttentionSizes& z = size_;
    const int64_t offset = QueryOffset(b, i, h);
    const int64_t stride = z.heads * z.dim;
    const float* lse =
        args_.lse.data<float>() + (b * z.heads + h) * z.queries + i;
    cpu_block::Pack(args_.forward.q.data<float>() + offset, stride, rows, dim_,
                    padded_, q_.data());
    cpu_block::Pack(args_.dout.data<float>() + offset, stride, rows, dim_,
                    padded_, dout_.data());
    cpu_block::Product(rows, kKeys, dim_, {q_.data(), padded_, 1},
                       k_transposed_.data(), kKeys, p_.data(), kKeys, false);
    cpu_block::Product(rows, kKeys, dim_, {dout_.data(), padded_, 1},
                       v_transposed_.data(), kKeys, ds_.data(), kKeys, false);
    for (int r = 0; r < rows; ++r) {
      const int64_t position = z.offset + i + r;
      const int64_t low = std::max<int64_t>(0, position - z.window + 1 - key);
      const int64_t high = std::min<int64_t>(count, position + 1 - key);
      GradRow(static_cast<int>(std::min<int64_t>(low, kKeys)),
              static_cast<int>(std::max<int64_t>(high, 0)), lse[r],
              delta[i + r], &p_[r * kKeys], &ds_[r * kKeys]);
    }
    cpu_block::Product(count, padded_, rows, {p_.data(), 1, kKeys},
                       dout_.data(), padded_, dv_.data(), padded_, true);
    cpu_block::Product(count, padded_, rows, {ds_.data(), 1, kKeys}, q_.data(),
                       padded_, dk_.data(), padded_, true);
    cpu_block::Product(rows, padded_, count, {ds_.data(), kKeys, 1}, k_.data(),
                       padded_, dq_.data(), padded_, false);
    float* dq = results_->dq.data<float>() + offset;
    for (int r = 0; r < rows; ++r) {
      for (int d = 0; d < dim_; ++d) {
        dq[r * stride + d] += dq_[r * padded_ + d] * args_.forward.scale;
      }
    }
  }

  // p: scores to probabilities; ds: gradients of the probabilities to those of
  // the scores. Both 0 outside the visible columns [low, high).
  void GradRow(int low, int high, float lse, float delta, float* p,
               float* ds) const {
    const V8 scale = cpu_block::Splat(args_.forward.scale);
    for (int j = 0; j < kKeys; j += 8) {
      const V8 score = cpu_block::Load(p + j) * scale;
      const V8 probability = cpu_block::Exp(score - cpu_block::Splat(lse));
      const V8 gradient =
          probability * (cpu_block::Load(ds + j) - cpu_block::Splat(delta));
      cpu_block::Store(probability, p + j);
      cpu_block::Store(gradient, ds + j);
    }
    std::fill(p, p + low, 0.0f);
    std::fill(ds, ds + low, 0.0f);
    std::fill(p + high, p + kKeys, 0.0f);
    std::fill(ds + high, ds + kKeys, 0.0f);
  }

  const AttentionGradArgs& args_;
  AttentionGradResults* results_;
  const AttentionSizes size_;
  const int dim_, padded_;
  std::vector<float> delta_;  // [group, queries]
  std::vector<float> k_, k_transposed_, v_transposed_, dk_, dv_;
  std::vector<float> q_, dout_, dq_, p_, ds_;
};

}  // namespace

absl::Status AttentionGradCpu(Context& ctx, const AttentionGradArgs& args,
                              AttentionGradResults* results) {
  const AttentionSizes z(args.forward);
  ctx.ParallelFor(z.batch * z.kv_heads, 1, [&](int64_t begin, int64_t end) {
    GradHead head(args, results);
    for (int64_t item = begin; item < end; ++item) {
      head.Run(item / z.kv_heads, item % z.kv_heads);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
