#include "kernels/sparse_attention/list_attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lt2::kernels {
namespace {

// softmax over the listed rows of scale * <q, k>; returns the log-sum-exp.
double Softmax(const ListAttentionShape& shape, const double* q,
               const std::vector<double>& k, int64_t b, int64_t h,
               const std::vector<int64_t>& list, std::vector<double>* p) {
  p->assign(list.size(), 0.0);
  double max = -std::numeric_limits<double>::infinity();
  if (list.empty()) return max;
  for (size_t j = 0; j < list.size(); ++j) {
    const double* row = &k[shape.KeyRow(b, list[j], h)];
    double dot = 0;
    for (int64_t d = 0; d < shape.dim; ++d) dot += q[d] * row[d];
    (*p)[j] = shape.scale * dot;
    max = std::max(max, (*p)[j]);
  }
  double sum = 0;
  for (double& x : *p) sum += x = std::exp(x - max);
  for (double& x : *p) x /= sum;
  return max + std::log(sum);
}

}  // namespace

int64_t PositionOf(const std::vector<int32_t>& lengths, int64_t tokens,
                   int64_t queries, int64_t b, int64_t i) {
  return (lengths.empty() ? tokens : lengths[b]) - queries + i;
}

RowLists SelectedLists(const ListAttentionShape& shape,
                       const std::vector<int32_t>& indices, int64_t index_heads,
                       int64_t block_size,
                       const std::vector<int32_t>& lengths) {
  RowLists lists;
  const int64_t rows = shape.batch * shape.queries * index_heads;
  const int64_t n = rows > 0 ? static_cast<int64_t>(indices.size()) / rows : 0;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t i = 0; i < shape.queries; ++i) {
      const int64_t position =
          PositionOf(lengths, shape.keys, shape.queries, b, i);
      for (int64_t h = 0; h < shape.kv_heads; ++h) {
        const int64_t row =
            (b * shape.queries + i) * index_heads + (index_heads == 1 ? 0 : h);
        std::vector<int64_t> list;
        for (int64_t j = 0; j < n; ++j) {
          const int64_t block = indices[row * n + j];
          if (block < 0) continue;
          for (int64_t s = block * block_size; s < (block + 1) * block_size;
               ++s) {
            if (s <= position) list.push_back(s);
          }
        }
        lists.push_back(list);
      }
    }
  }
  return lists;
}

RowLists CompressedLists(const ListAttentionShape& shape, int64_t tokens,
                         int64_t block_size,
                         const std::vector<int32_t>& lengths) {
  RowLists lists;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t i = 0; i < shape.queries; ++i) {
      const int64_t position = PositionOf(lengths, tokens, shape.queries, b, i);
      std::vector<int64_t> list;
      for (int64_t c = 0; c < shape.keys; ++c) {
        if ((c + 1) * block_size - 1 <= position) list.push_back(c);
      }
      for (int64_t h = 0; h < shape.kv_heads; ++h) lists.push_back(list);
    }
  }
  return lists;
}

ListAttentionValues ListAttentionReference(const ListAttentionShape& shape,
                                           const RowLists& lists,
                                           const std::vector<double>& q,
                                           const std::vector<double>& k,
                                           const std::vector<double>& v) {
  ListAttentionValues result;
  result.o.assign(shape.o_numel(), 0.0);
  result.lse.assign(shape.lse_numel(), 0.0);
  std::vector<double> p;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t i = 0; i < shape.queries; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const std::vector<int64_t>& list = ListOf(shape, lists, b, i, h);
        result.lse[shape.LseIndex(b, i, h)] =
            Softmax(shape, &q[shape.QueryRow(b, i, h)], k, b, h, list, &p);
        double* o = &result.o[shape.OutputRow(b, i, h)];
        for (size_t j = 0; j < list.size(); ++j) {
          const double* value = &v[shape.ValueRow(b, list[j], h)];
          for (int64_t d = 0; d < shape.value_dim; ++d) o[d] += p[j] * value[d];
        }
      }
    }
  }
  return result;
}

ListAttentionGradients ListAttentionGradReference(
    const ListAttentionShape& shape, const RowLists& lists,
    const std::vector<double>& q, const std::vector<double>& k,
    const std::vector<double>& v, const std::vector<double>& dout) {
  ListAttentionGradients result;
  result.dq.assign(shape.q_numel(), 0.0);
  result.dk.assign(shape.k_numel(), 0.0);
  result.dv.assign(shape.v_numel(), 0.0);
  std::vector<double> p, dp;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t i = 0; i < shape.queries; ++i) {
      for (int64_t h = 0; h < shape.heads; ++h) {
        const std::vector<int64_t>& list = ListOf(shape, lists, b, i, h);
        const int64_t row = shape.QueryRow(b, i, h);
        const double* dy = &dout[shape.OutputRow(b, i, h)];
        Softmax(shape, &q[row], k, b, h, list, &p);
        dp.assign(p.size(), 0.0);
        double delta = 0;  // sum_s p[s] dp[s]
        for (size_t j = 0; j < list.size(); ++j) {
          const int64_t value = shape.ValueRow(b, list[j], h);
          for (int64_t d = 0; d < shape.value_dim; ++d) {
            dp[j] += dy[d] * v[value + d];
            result.dv[value + d] += p[j] * dy[d];
          }
          delta += p[j] * dp[j];
        }
        for (size_t j = 0; j < list.size(); ++j) {
          const int64_t key = shape.KeyRow(b, list[j], h);
          const double ds = shape.scale * p[j] * (dp[j] - delta);
          for (int64_t d = 0; d < shape.dim; ++d) {
            result.dq[row + d] += ds * k[key + d];
            result.dk[key + d] += ds * q[row + d];
          }
        }
      }
    }
  }
  return result;
}

}  // namespace lt2::kernels
