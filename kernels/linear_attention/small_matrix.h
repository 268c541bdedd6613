// Products of matrices of some ten to a hundred rows, in f32, in an order of
// summation that is fixed by the sizes alone. CPU only; compile with -O3.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_SMALL_MATRIX_H_
#define LT2_KERNELS_LINEAR_ATTENTION_SMALL_MATRIX_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lt2::kernels {

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

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_SMALL_MATRIX_H_
