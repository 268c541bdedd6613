// Forward pass on the CPU: one block of queries of one head at a time, over
// the blocks of keys it sees, with a running maximum and sum per query.

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/attention/attention_cpu_block.h"
#include "kernels/attention/attention_impl.h"

namespace lt2::kernels {
namespace {

using cpu_block::kKeys;
using cpu_block::kQueries;
using cpu_block::V8;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Turns one row of scores into unnormalised probabilities; the columns outside
// [low, high) are not visible. Returns the factor for what was summed before.
float SoftmaxRow(int low, int high, float* row, float* max, float* sum) {
  std::fill(row, row + low, kMinusInfinity);
  std::fill(row + high, row + kKeys, kMinusInfinity);
  V8 block_max = cpu_block::Load(row);
  for (int j = 8; j < kKeys; j += 8) {
    const V8 x = cpu_block::Load(row + j);
    block_max = x > block_max ? x : block_max;
  }
  const float new_max = std::max(*max, cpu_block::Max(block_max));
  const V8 base = cpu_block::Splat(new_max);
  V8 total = cpu_block::Splat(0.0f);
  for (int j = 0; j < kKeys; j += 8) {
    const V8 p = cpu_block::Exp(cpu_block::Load(row + j) - base);
    cpu_block::Store(p, row + j);
    total += p;
  }
  const float factor = std::exp(*max - new_max);
  *sum = *sum * factor + cpu_block::Sum(total);
  *max = new_max;
  return factor;
}

// Queries [begin, end) of head h in row b.
class ForwardBlock {
 public:
  ForwardBlock(const AttentionArgs& args, AttentionResults* results)
      : args_(args),
        results_(results),
        size_(args),
        dim_(static_cast<int>(size_.dim)),
        padded_(cpu_block::RoundUp16(size_.dim)),
        q_(kQueries * dim_),
        k_transposed_(dim_ * kKeys),
        v_(kKeys * padded_),
        scores_(kQueries * kKeys),
        o_(kQueries * padded_) {}

  void Run(int64_t b, int64_t h, int64_t begin, int64_t end) {
    const AttentionSizes& z = size_;
    const int rows = static_cast<int>(end - begin);
    const int64_t q_offset = ((b * z.queries + begin) * z.heads + h) * dim_;
    const int64_t stride = z.heads * z.dim;
    cpu_block::Pack(args_.q.data<float>() + q_offset, stride, rows, dim_, dim_,
                    q_.data());
    std::fill(o_.begin(), o_.end(), 0.0f);
    std::fill(max_, max_ + rows, kMinusInfinity);
    std::fill(sum_, sum_ + rows, 0.0f);

    const int64_t first = std::max<int64_t>(0, z.offset + begin - z.window + 1);
    for (int64_t key = first / kKeys * kKeys; key < z.offset + end;
         key += kKeys) {
      Keys(b, h / z.group, begin, rows, key);
    }

    float* o = results_->o.data<float>() + q_offset;
    float* lse = results_->lse.data<float>() + (b * z.heads + h) * z.queries;
    for (int r = 0; r < rows; ++r) {
      for (int d = 0; d < dim_; ++d) {
        o[r * stride + d] = o_[r * padded_ + d] / sum_[r];
      }
      lse[begin + r] = max_[r] + std::log(sum_[r]);
    }
  }

 private:
  // Adds the keys [key, key + kKeys) to the running softmax.
  void Keys(int64_t b, int64_t kv_head, int64_t begin, int rows, int64_t key) {
    const AttentionSizes& z = size_;
    const int count = static_cast<int>(std::min<int64_t>(kKeys, z.keys - key));
    const int64_t offset = ((b * z.keys + key) * z.kv_heads + kv_head) * dim_;
    const int64_t stride = z.kv_heads * z.dim;
    cpu_block::PackTransposed(args_.k.data<float>() + offset, stride, count,
                              dim_, k_transposed_.data());
    cpu_block::Pack(args_.v.data<float>() + offset, stride, count, dim_,
                    padded_, v_.data());
    cpu_block::Product(rows, kKeys, dim_, {q_.data(), dim_, 1},
                       k_transposed_.data(), kKeys, scores_.data(), kKeys,
                       false);
    for (int r = 0; r < rows; ++r) {
      float* row = &scores_[r * kKeys];
      const int64_t position = z.offset + begin + r;
      const int64_t low = std::max<int64_t>(0, position - z.window + 1 - key);
      const int64_t high = std::min<int64_t>(count, position + 1 - key);
      if (low >= high) {
        std::fill(row, row + kKeys, 0.0f);
        continue;
      }
      for (int j = 0; j < kKeys; ++j) row[j] *= args_.scale;
      const float factor =
          SoftmaxRow(static_cast<int>(low), static_cast<int>(high), row,
                     &max_[r], &sum_[r]);
      if (factor == 1.0f) continue;
      for (int d = 0; d < padded_; ++d) o_[r * padded_ + d] *= factor;
    }
    cpu_block::Product(rows, padded_, count, {scores_.data(), kKeys, 1},
                       v_.data(), padded_, o_.data(), padded_, true);
  }

  const AttentionArgs& args_;
  AttentionResults* results_;
  const AttentionSizes size_;
  const int dim_, padded_;
  std::vector<float> q_, k_transposed_, v_, scores_, o_;
  float max_[kQueries], sum_[kQueries];
};

}  // namespace

absl::Status AttentionCpu(Context& ctx, const AttentionArgs& args,
                          AttentionResults* results) {
  const AttentionSizes z(args);
  const int64_t blocks = (z.queries + kQueries - 1) / kQueries;
  ctx.ParallelFor(
      z.batch * z.heads * blocks, 1, [&](int64_t begin, int64_t end) {
        ForwardBlock block(args, results);
        for (int64_t item = begin; item < end; ++item) {
          const int64_t b = item / blocks / z.heads;
          const int64_t h = item / blocks % z.heads;
          const int64_t first = item % blocks * kQueries;
          block.Run(b, h, first, std::min(z.queries, first + kQueries));
        }
      });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
