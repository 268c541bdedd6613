#include "kernels/attention/attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lt2::kernels {
namespace {

// softmax over keys [begin, end) of scale * <q, k>; returns the log-sum-exp.
double Softmax(const AttentionShape& shape, const double* q,
               const std::vector<double>& k, int64_t b, int64_t h,
               int64_t begin, int64_t end, std::vector<double>* p) {
  p->assign(end - begin, 0.0);
  double max = -std::numeric_limits<double>::infinity();
  for (int64_t s = begin; s < end; ++s) {
    const double* row = &k[shape.KeyRow(b, s, h)];
    double dot = 0;
    for (int64_t d = 0; d < shape.dim; ++d) dot += q[d] * row[d];
    (*p)[s - begin] = shape.scale * dot;
    max = std::max(max, shape.scale * dot);
  }
  double sum = 0;
  for (double& x : *p) sum += x = std::exp(x - max);
  for (double& x : *p) x /= sum;
  return max + std::log(sum);
}

}  // namespace

AttentionValues AttentionReference(const AttentionShape& shape,
                                   const std::vector<double>& q,
                                   const std::vector<double>& k,
                                   const std::vector<double>& v) {
  AttentionValues result;
  result.o.assign(shape.q_numel(), 0.0);
  result.lse.assign(shape.batch * shape.heads * shape.queries, 0.0);
  std::vector<double> p;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < shape.queries; ++i) {
        const int64_t row = shape.QueryRow(b, i, h), begin = shape.Begin(i);
        result.lse[shape.LseIndex(b, i, h)] =
            Softmax(shape, &q[row], k, b, h, begin, shape.End(i), &p);
        for (size_t j = 0; j < p.size(); ++j) {
          const double* value = &v[shape.KeyRow(b, begin + j, h)];
          for (int64_t d = 0; d < shape.dim; ++d) {
            result.o[row + d] += p[j] * value[d];
          }
        }
      }
    }
  }
  return result;
}

AttentionGradients AttentionGradReference(const AttentionShape& shape,
                                          const std::vector<double>& q,
                                          const std::vector<double>& k,
                                          const std::vector<double>& v,
                                          const std::vector<double>& dout) {
  AttentionGradients result;
  result.dq.assign(shape.q_numel(), 0.0);
  result.dk.assign(shape.k_numel(), 0.0);
  result.dv.assign(shape.k_numel(), 0.0);
  std::vector<double> p, dp;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < shape.queries; ++i) {
        const int64_t row = shape.QueryRow(b, i, h), begin = shape.Begin(i);
        Softmax(shape, &q[row], k, b, h, begin, shape.End(i), &p);
        dp.assign(p.size(), 0.0);
        double delta = 0;  // sum_s p[s] dp[s]
        for (size_t j = 0; j < p.size(); ++j) {
          const int64_t key = shape.KeyRow(b, begin + j, h);
          for (int64_t d = 0; d < shape.dim; ++d) {
            dp[j] += dout[row + d] * v[key + d];
            result.dv[key + d] += p[j] * dout[row + d];
          }
          delta += p[j] * dp[j];
        }
        for (size_t j = 0; j < p.size(); ++j) {
          const int64_t key = shape.KeyRow(b, begin + j, h);
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

std::vector<double> AttentionDecodeReference(
    const AttentionShape& shape, const std::vector<double>& q,
    const std::vector<double>& k_cache, const std::vector<double>& v_cache,
    const std::vector<int32_t>& lengths) {
  std::vector<double> o(shape.q_numel(), 0.0), p;
  for (int64_t b = 0; b < shape.batch; ++b) {
    const int64_t end = std::min<int64_t>(lengths[b], shape.keys);
    if (end <= 0) continue;
    for (int64_t h = 0; h < shape.heads; ++h) {
      const int64_t row = shape.QueryRow(b, 0, h);
      Softmax(shape, &q[row], k_cache, b, h, 0, end, &p);
      for (int64_t s = 0; s < end; ++s) {
        const double* value = &v_cache[shape.KeyRow(b, s, h)];
        for (int64_t d = 0; d < shape.dim; ++d) o[row + d] += p[s] * value[d];
      }
    }
  }
  return o;
}

}  // namespace lt2::kernels
