// What the forward and the backward pass on the CPU share: small matrix
// products, and the steps of the chunked form (README.md) in f32 over one
// chunk of one value head.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_CPU_CHUNK_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_CPU_CHUNK_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels::delta_rule_cpu {

inline constexpr int64_t kMaxChunk = 32;

// Longer chunks mean longer matrix products, but more work in the [chunk,
// chunk] parts, which pays once the heads are wide.
inline int64_t ChunkFor(int64_t d_k) { return d_k <= 32 ? 16 : kMaxChunk; }

// c[m, n] += a[m, k] b[k, n]. Element (i, p) of a is a[i * a_row + p * a_col],
// rows of b and c are contiguous. Two rows and four products at a time, so that
// a loaded value of b or c is used more than once.
inline void MulAdd(int64_t m, int64_t n, int64_t k, const float* a,
                   int64_t a_row, int64_t a_col, const float* b, int64_t b_row,
                   float* c, int64_t c_row) {
  for (int64_t i = 0; i < m; i += 2) {
    const int64_t next = i + 1 < m ? 1 : 0;
    float spare[256];  // the second row's target where there is none
    const float* a0 = a + i * a_row;
    const float* a1 = a0 + next * a_row;
    for (int64_t begin = 0; begin < n; begin += 256) {
      const int64_t width = std::min<int64_t>(n - begin, 256);
      float* __restrict c0 = c + i * c_row + begin;
      float* __restrict c1 = next ? c0 + c_row : spare;
      if (!next) std::fill_n(spare, width, 0.0f);
      int64_t p = 0;
      for (; p + 4 <= k; p += 4) {
        const float* __restrict b0 = b + p * b_row + begin;
        const float* __restrict b1 = b0 + b_row;
        const float* __restrict b2 = b1 + b_row;
        const float* __restrict b3 = b2 + b_row;
        const float x0 = a0[p * a_col], y0 = a1[p * a_col];
        const float x1 = a0[(p + 1) * a_col], y1 = a1[(p + 1) * a_col];
        const float x2 = a0[(p + 2) * a_col], y2 = a1[(p + 2) * a_col];
        const float x3 = a0[(p + 3) * a_col], y3 = a1[(p + 3) * a_col];
        for (int64_t j = 0; j < width; ++j) {
          float s = std::fma(x0, b0[j], c0[j]);
          float t = std::fma(y0, b0[j], c1[j]);
          s = std::fma(x1, b1[j], s);
          t = std::fma(y1, b1[j], t);
          s = std::fma(x2, b2[j], s);
          t = std::fma(y2, b2[j], t);
          c0[j] = std::fma(x3, b3[j], s);
          c1[j] = std::fma(y3, b3[j], t);
        }
      }
      for (; p < k; ++p) {
        const float* __restrict b0 = b + p * b_row + begin;
        const float x0 = a0[p * a_col], y0 = a1[p * a_col];
        for (int64_t j = 0; j < width; ++j) {
          c0[j] = std::fma(x0, b0[j], c0[j]);
          c1[j] = std::fma(y0, b0[j], c1[j]);
        }
      }
    }
  }
}

// y += a x
inline void Axpy(int64_t n, float a, const float* __restrict x,
                 float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] = std::fma(a, x[j], y[j]);
}

inline float Dot(int64_t n, const float* x, const float* y) {
  float sum[8] = {};
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) {
    for (int l = 0; l < 8; ++l) sum[l] = std::fma(x[j + l], y[j + l], sum[l]);
  }
  for (; j < n; ++j) sum[0] = std::fma(x[j], y[j], sum[0]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
         ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

inline void Transpose(int64_t rows, int64_t columns, const float* x,
                      int64_t x_row, float* y) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * x_row + j];
  }
}

// Rows of one chunk of one value head; null where the tensor is absent.
struct ChunkView {
  int64_t n;  // tokens in the chunk
  const float *q, *k, *v, *beta, *g, *dout;
};

// The tensors of one value head of one batch row.
struct HeadView {
  HeadView(const DeltaRuleArgs& args, const Tensor& dout, int64_t b, int64_t h)
      : sizes(args),
        qk_row(sizes.heads * sizes.d_k),
        v_row(sizes.v_heads * sizes.d_v),
        gate_row(sizes.v_heads),
        qk(b * sizes.seq * qk_row + h / sizes.group() * sizes.d_k),
        v(b * sizes.seq * v_row + h * sizes.d_v),
        gate(b * sizes.seq * gate_row + h),
        state((b * sizes.v_heads + h) * sizes.d_k * sizes.d_v),
        args_(args),
        dout_(dout) {}

  ChunkView Chunk(int64_t begin, int64_t end) const {
    const int64_t x = qk + begin * qk_row, y = v + begin * v_row;
    const int64_t z = gate + begin * gate_row;
    return {end - begin,
            args_.q.data<float>() + x,
            args_.k.data<float>() + x,
            args_.v.data<float>() + y,
            args_.beta.data<float>() + z,
            args_.g.defined() ? args_.g.data<float>() + z : nullptr,
            dout_.defined() ? dout_.data<float>() + y : nullptr};
  }

  const DeltaRuleSizes sizes;
  const int64_t qk_row, v_row, gate_row;  // elements from token to token
  const int64_t qk, v, gate, state;       // first elements

 private:
  const DeltaRuleArgs& args_;
  const Tensor& dout_;
};

// Scratch and the steps that the forward and the backward pass share. Names
// are those of README.md; matrices are [chunk, ..] row-major.
class Workspace {
 public:
  Workspace(const HeadView& head, float query_scale)
      : d_k(head.sizes.d_k),
        d_v(head.sizes.d_v),
        qk_row(head.qk_row),
        v_row(head.v_row),
        gate_row(head.gate_row),
        scale(query_scale),
        key_t(kMaxChunk * d_k),
        kk(kMaxChunk * kMaxChunk),
        lm(kMaxChunk * kMaxChunk),
        qk(kMaxChunk * kMaxChunk),
        rest(kMaxChunk * d_v),
        vn(kMaxChunk * d_v) {}

  // Decays, K K', and Vn = (I + B)^-1 diag(beta) (V - diag(E) K S).
  void Correct(const ChunkView& c, const float* state) {
    double total[kMaxChunk];
    double sum = 0;  // f64: differences of long sums of decays must stay exact
    for (int64_t i = 0; i < c.n; ++i) {
      sum += c.g == nullptr ? 0.0 : c.g[i * gate_row];
      total[i] = sum;
    }
    for (int64_t i = 0; i < c.n; ++i) {
      from_start[i] = std::exp(static_cast<float>(total[i]));
      to_end[i] = std::exp(static_cast<float>(sum - total[i]));
      for (int64_t j = 0; j <= i; ++j) {
        lm[i * c.n + j] = std::exp(static_cast<float>(total[i] - total[j]));
      }
      beta[i] = c.beta[i * gate_row];
    }
    end = from_start[c.n - 1];

    Transpose(c.n, d_k, c.k, qk_row, key_t.data());
    std::fill_n(kk.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_k, c.k, qk_row, 1, key_t.data(), c.n, kk.data(), c.n);

    std::fill_n(vn.begin(), c.n * d_v, 0.0f);
    MulAdd(c.n, d_v, d_k, c.k, qk_row, 1, state, d_v, vn.data(), d_v);
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v; ++j) {
        const float x =
            std::fma(-from_start[i], vn[i * d_v + j], c.v[i * v_row + j]);
        rest[i * d_v + j] = x;
        vn[i * d_v + j] = beta[i] * x;
      }
      for (int64_t j = 0; j < i; ++j) {
        Axpy(d_v, -B(c, i, j), &vn[j * d_v], &vn[i * d_v]);
      }
    }
  }

  float B(const ChunkView& c, int64_t i, int64_t j) const {
    return beta[i] * kk[i * c.n + j] * lm[i * c.n + j];
  }

  // scale * Q K', all of it.
  void Scores(const ChunkView& c) {
    std::fill_n(qk.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_k, c.q, qk_row, 1, key_t.data(), c.n, qk.data(), c.n);
    for (int64_t i = 0; i < c.n * c.n; ++i) qk[i] *= scale;
  }

  // state = e^{G_C} state + (diag(d) K)' Vn. Uses up vn.
  void Advance(const ChunkView& c, float* state) {
    for (int64_t i = 0; i < d_k * d_v; ++i) state[i] *= end;
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v; ++j) vn[i * d_v + j] *= to_end[i];
    }
    MulAdd(d_k, d_v, c.n, c.k, 1, qk_row, vn.data(), d_v, state, d_v);
  }

  const int64_t d_k, d_v, qk_row, v_row, gate_row;
  const float scale;
  // E, d, beta, and E of the last token
  float from_start[kMaxChunk], to_end[kMaxChunk], beta[kMaxChunk], end = 1;
  std::vector<float> key_t, kk, lm, qk, rest, vn;
};

}  // namespace lt2::kernels::delta_rule_cpu

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_CPU_CHUNK_H_
