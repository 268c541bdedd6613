// Attention of one query and one group of heads over a list of rows of k and
// v, on the CPU: what selected and compressed attention share. Rows are read
// where they lie, one after the other.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_GATHERED_CPU_H_
#define LT2_KERNELS_SPARSE_ATTENTION_GATHERED_CPU_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/core/vector_math.h"

namespace lt2::kernels::sparse {

inline float Dot(const float* a, const float* b, int64_t n) {
  return LaneSum(n, [&](int64_t d) { return a[d] * b[d]; });
}

// y += c x
inline void AddScaled(float c, const float* x, int64_t n, float* y) {
  for (int64_t d = 0; d < n; ++d) y[d] += c * x[d];
}

// One key head of one batch row: row s of k is k + s * k_stride.
struct KeyValueRows {
  const float *k, *v;
  int64_t k_stride, v_stride, dim, value_dim;
  float scale;
};

// o and lse of one query head. p is scratch.
inline void ForwardOverList(const KeyValueRows& rows,
                            const std::vector<int64_t>& list, const float* q,
                            std::vector<float>* p, float* o, float* lse) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::fill_n(o, rows.value_dim, 0.0f);
  *lse = -kInfinity;
  if (list.empty()) return;
  p->resize(list.size());
  float* const score = p->data();
  const int64_t n = static_cast<int64_t>(list.size());
  float max = -kInfinity;
  for (int64_t j = 0; j < n; ++j) {
    score[j] = rows.scale * Dot(q, rows.k + list[j] * rows.k_stride, rows.dim);
    max = std::max(max, score[j]);
  }
  for (int64_t j = 0; j < n; ++j) score[j] = Exp(score[j] - max);
  const float sum = LaneSum(n, [&](int64_t j) { return score[j]; });
  for (int64_t j = 0; j < n; ++j) {
    AddScaled(score[j] / sum, rows.v + list[j] * rows.v_stride, rows.value_dim,
              o);
  }
  *lse = max + std::log(sum);
}

// Writes dq of one query head, adds to dk and dv (laid out as k and v). p and
// ds are scratch.
inline void BackwardOverList(const KeyValueRows& rows,
                             const std::vector<int64_t>& list, const float* q,
                             const float* o, const float* dout, float lse,
                             std::vector<float>* p, std::vector<float>* ds,
                             float* dq, float* dk, float* dv) {
  std::fill_n(dq, rows.dim, 0.0f);
  const int64_t n = static_cast<int64_t>(list.size());
  p->resize(n);
  ds->resize(n);
  // Summed in the order of Dot, so that where the softmax is one-hot and o is a
  // row of v, dp - delta is 0 and not the difference of two roundings.
  const float delta = Dot(dout, o, rows.value_dim);
  for (int64_t j = 0; j < n; ++j) {
    const float* k = rows.k + list[j] * rows.k_stride;
    const float* v = rows.v + list[j] * rows.v_stride;
    (*p)[j] = rows.scale * Dot(q, k, rows.dim) - lse;
    (*ds)[j] = Dot(dout, v, rows.value_dim) - delta;
  }
  for (int64_t j = 0; j < n; ++j) (*p)[j] = Exp((*p)[j]);
  for (int64_t j = 0; j < n; ++j) {
    const float score_gradient = rows.scale * (*p)[j] * (*ds)[j];
    AddScaled(score_gradient, rows.k + list[j] * rows.k_stride, rows.dim, dq);
    AddScaled(score_gradient, q, rows.dim, dk + list[j] * rows.k_stride);
    AddScaled((*p)[j], dout, rows.value_dim, dv + list[j] * rows.v_stride);
  }
}

// Tensors of one call. A work item of the forward pass is one query with one
// group of heads; one of the backward pass a key head of a batch row, so that
// every row of dk and dv has one owner and one order of summation.
struct GatheredAttention {
  int64_t batch, queries, keys, heads, kv_heads, dim, value_dim;
  float scale;
  const float *q, *k, *v;

  KeyValueRows Rows(int64_t b, int64_t kv_head) const {
    return {k + (b * keys * kv_heads + kv_head) * dim,
            v + (b * keys * kv_heads + kv_head) * value_dim,
            kv_heads * dim,
            kv_heads * value_dim,
            dim,
            value_dim,
            scale};
  }

  // list_of(b, i, kv_head, &list) fills the list of a query.
  template <typename ListOf>
  void Forward(Context& ctx, ListOf&& list_of, float* o, float* lse) const {
    const int64_t group = heads / kv_heads;
    ctx.ParallelFor(
        batch * queries * kv_heads, 1, [&](int64_t begin, int64_t end) {
          std::vector<int64_t> list;
          std::vector<float> p;
          for (int64_t item = begin; item < end; ++item) {
            const int64_t kv = item % kv_heads, i = item / kv_heads % queries;
            const int64_t b = item / kv_heads / queries;
            list_of(b, i, kv, &list);
            for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
              const int64_t row = (b * queries + i) * heads + h;
              ForwardOverList(Rows(b, kv), list, q + row * dim, &p,
                              o + row * value_dim,
                              lse + (b * heads + h) * queries + i);
            }
          }
        });
  }

  template <typename ListOf>
  void Backward(Context& ctx, ListOf&& list_of, const float* o,
                const float* lse, const float* dout, float* dq, float* dk,
                float* dv) const {
    const int64_t group = heads / kv_heads;
    ctx.ParallelFor(batch * kv_heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<int64_t> list;
      std::vector<float> p, ds;
      for (int64_t item = begin; item < end; ++item) {
        const int64_t b = item / kv_heads, kv = item % kv_heads;
        const KeyValueRows rows = Rows(b, kv);
        float* const dk_head = dk + (rows.k - k);
        float* const dv_head = dv + (rows.v - v);
        for (int64_t s = 0; s < keys; ++s) {
          std::fill_n(dk_head + s * rows.k_stride, dim, 0.0f);
          std::fill_n(dv_head + s * rows.v_stride, value_dim, 0.0f);
        }
        for (int64_t i = 0; i < queries; ++i) {
          list_of(b, i, kv, &list);
          for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
            const int64_t row = (b * queries + i) * heads + h;
            BackwardOverList(rows, list, q + row * dim, o + row * value_dim,
                             dout + row * value_dim,
                             lse[(b * heads + h) * queries + i], &p, &ds,
                             dq + row * dim, dk_head, dv_head);
          }
        }
      }
    });
  }
};

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_GATHERED_CPU_H_
