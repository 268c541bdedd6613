// Products of matrices of some ten to a hundred rows, in f32, in an order of
// summation that is fixed by the sizes alone. CPU only; compile with -O3.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_SMALL_MATRIX_H_
#define LT2_KERNELS_LINEAR_ATTENTION_SMALL_MATRIX_H_

#include <immintrin.h>

#include <cmath>
#include <cstdint>

namespace lt2::kernels {

namespace small_matrix {

// kRows rows and 8 kVectors columns of c += a b, in registers.
template <int kRows, int kVectors>
inline void Tile(int64_t k, const float* a, int64_t a_row, int64_t a_col,
                 const float* b, int64_t b_row, float* c, int64_t c_row) {
  __m256 sum[kRows][kVectors];
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      sum[i][j] = _mm256_loadu_ps(c + i * c_row + 8 * j);
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    __m256 y[kVectors];
    for (int j = 0; j < kVectors; ++j) {
      y[j] = _mm256_loadu_ps(b + p * b_row + 8 * j);
    }
    for (int i = 0; i < kRows; ++i) {
      const __m256 x = _mm256_set1_ps(a[i * a_row + p * a_col]);
      for (int j = 0; j < kVectors; ++j) {
        sum[i][j] = _mm256_fmadd_ps(x, y[j], sum[i][j]);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      _mm256_storeu_ps(c + i * c_row + 8 * j, sum[i][j]);
    }
  }
}

// kRows rows of c += a b.
template <int kRows>
inline void Rows(int64_t n, int64_t k, const float* a, int64_t a_row,
                 int64_t a_col, const float* b, int64_t b_row, float* c,
                 int64_t c_row) {
  int64_t j = 0;
  for (; j + 16 <= n; j += 16) {
    Tile<kRows, 2>(k, a, a_row, a_col, b + j, b_row, c + j, c_row);
  }
  if (j + 8 <= n) {
    Tile<kRows, 1>(k, a, a_row, a_col, b + j, b_row, c + j, c_row);
    j += 8;
  }
  for (; j < n; ++j) {
    for (int i = 0; i < kRows; ++i) {
      float sum = c[i * c_row + j];
      for (int64_t p = 0; p < k; ++p) {
        sum = std::fma(a[i * a_row + p * a_col], b[p * b_row + j], sum);
      }
      c[i * c_row + j] = sum;
    }
  }
}

}  // namespace small_matrix

// c[m, n] += a[m, k] b[k, n]. Element (i, p) of a is a[i * a_row + p * a_col],
// rows of b and c are contiguous. Every element is summed over p in order, so
// that the tiling does not show in the result.
inline void MulAdd(int64_t m, int64_t n, int64_t k, const float* a,
                   int64_t a_row, int64_t a_col, const float* b, int64_t b_row,
                   float* c, int64_t c_row) {
  using small_matrix::Rows;
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) {
    Rows<4>(n, k, a + i * a_row, a_row, a_col, b, b_row, c + i * c_row, c_row);
  }
  for (; i < m; ++i) {
    Rows<1>(n, k, a + i * a_row, a_row, a_col, b, b_row, c + i * c_row, c_row);
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
