// Decoding and cache upkeep on the CPU.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/attention/attention_impl.h"

namespace lt2::kernels {
namespace {

absl::Status CheckLengths(const Tensor& lengths) {
  const int32_t* n = lengths.data<int32_t>();
  for (int64_t b = 0; b < lengths.numel(); ++b) {
    if (n[b] < 0) {
      return InvalidArgument("lengths[", b, "] is ", n[b], ", must be >= 0");
    }
  }
  return absl::OkStatus();
}

// Eight partial sums, so that the compiler may use vectors and the order is
// the same with every compiler.
float Dot(const float* a, const float* b, int64_t n) {
  float sum[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) sum[j] += a[i + j] * b[i + j];
  }
  for (; i < n; ++i) sum[0] += a[i] * b[i];
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) +
         ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

}  // namespace

absl::Status AttentionDecodeCpu(Context& ctx, const AttentionDecodeArgs& args,
                                Tensor* o) {
  LT2_RETURN_IF_ERROR(CheckLengths(args.lengths));
  const int64_t capacity = args.k_cache.dim(1), kv_heads = args.k_cache.dim(2);
  const int64_t batch = args.q.dim(0), heads = args.q.dim(2);
  const int64_t dim = args.q.dim(3), group = heads / kv_heads;
  const float* q = args.q.data<float>();
  float* out = o->data<float>();
  ctx.ParallelFor(batch * heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> p;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / heads, h = item % heads;
      const int64_t n =
          std::min<int64_t>(args.lengths.data<int32_t>()[b], capacity);
      const int64_t stride = kv_heads * dim;
      const int64_t base = (b * capacity * kv_heads + h / group) * dim;
      std::fill_n(out + item * dim, dim, 0.0f);
      if (n == 0) continue;
      p.resize(n);
      for (int64_t s = 0; s < n; ++s) {
        p[s] = args.scale * Dot(q + item * dim,
                                args.k_cache.data<float>() + base + s * stride,
                                dim);
      }
      const float max = *std::max_element(p.begin(), p.end());
      float sum = 0;
      for (float& x : p) sum += x = std::exp(x - max);
      for (int64_t s = 0; s < n; ++s) {
        const float* v = args.v_cache.data<float>() + base + s * stride;
        for (int64_t d = 0; d < dim; ++d) out[item * dim + d] += p[s] * v[d];
      }
      for (int64_t d = 0; d < dim; ++d) out[item * dim + d] /= sum;
    }
  });
  return absl::OkStatus();
}

absl::Status CacheAppendCpu(Context&, const CacheAppendArgs& args,
                            Tensor* k_cache, Tensor* v_cache) {
  LT2_RETURN_IF_ERROR(CheckLengths(args.lengths));
  const int64_t batch = args.k.dim(0), n = args.k.dim(1);
  const int64_t capacity = k_cache->dim(1);
  const int64_t row = args.k.dim(2) * args.k.dim(3);
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      const int64_t slot = (args.lengths.data<int32_t>()[b] + i) % capacity;
      const int64_t from = (b * n + i) * row, to = (b * capacity + slot) * row;
      std::memcpy(k_cache->data<float>() + to, args.k.data<float>() + from,
                  row * sizeof(float));
      std::memcpy(v_cache->data<float>() + to, args.v.data<float>() + from,
                  row * sizeof(float));
    }
  }
  return absl::OkStatus();
}

absl::Status AdvanceLengthsCpu(Context&, int64_t n, Tensor* lengths) {
  for (int64_t b = 0; b < lengths->numel(); ++b) {
    lengths->data<int32_t>()[b] += static_cast<int32_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
