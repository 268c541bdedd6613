// What the CPU forms share: products of small packed blocks that stay in the
// first-level cache, and a vector exponential. Written with vector types
// because the build neither contracts a * b + c nor vectorises std::exp.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_CPU_BLOCK_H_
#define LT2_KERNELS_ATTENTION_ATTENTION_CPU_BLOCK_H_

#include <cstdint>
#include <cstring>
#if defined(__FMA__)
#include <immintrin.h>
#endif

namespace lt2::kernels::cpu_block {

// Queries and keys of one block. 64 x 64 scores and four 64 x 64 operands are
// 80 KiB: the second-level cache; what one product streams fits the first.
inline constexpr int kQueries = 64;
inline constexpr int kKeys = 64;

typedef float V8 __attribute__((vector_size(32)));
typedef int32_t I8 __attribute__((vector_size(32)));

inline V8 Load(const float* p) {
  V8 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void Store(V8 v, float* p) { std::memcpy(p, &v, sizeof(v)); }
inline V8 Splat(float x) { return V8{x, x, x, x, x, x, x, x}; }

inline V8 MulAdd(V8 a, V8 b, V8 c) {
#if defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// Sum and maximum over the lanes, in a fixed order.
inline float Sum(V8 v) {
  return ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
}
inline float Max(V8 v) {
  float max = v[0];
  for (int i = 1; i < 8; ++i) max = v[i] > max ? v[i] : max;
  return max;
}

// e^x to about one unit in the last place; 0 below -87, where floats turn
// subnormal, the largest finite power above 88. NaN stays NaN.
inline V8 Exp(V8 x) {
  const V8 low = Splat(-87.0f), high = Splat(88.0f);
  const I8 underflow = x < low;
  x = underflow ? low : x;
  x = x > high ? high : x;
  // x = n ln 2 + r: adding 1.5 * 2^23 rounds to an integer, which then stands
  // in the low bits; ln 2 is split so that n * (its first part) is exact.
  const V8 magic = Splat(12582912.0f);
  const V8 shifted = MulAdd(x, Splat(1.44269504088896341f), magic);
  const V8 n = shifted - magic;
  V8 r = MulAdd(n, Splat(-0.693359375f), x);
  r = MulAdd(n, Splat(2.12194440e-4f), r);
  // Minimax polynomial of e^r on |r| <= ln(2)/2 (Cephes' expf).
  V8 y = Splat(1.9875691500e-4f);
  y = MulAdd(y, r, Splat(1.3981999507e-3f));
  y = MulAdd(y, r, Splat(8.3334519073e-3f));
  y = MulAdd(y, r, Splat(4.1665795894e-2f));
  y = MulAdd(y, r, Splat(1.6666665459e-1f));
  y = MulAdd(y, r, Splat(5.0000001201e-1f));
  y = MulAdd(y, r * r, r + Splat(1.0f));
  I8 bits, y_bits;
  std::memcpy(&bits, &shifted, sizeof(bits));
  std::memcpy(&y_bits, &y, sizeof(y_bits));
  y_bits += (bits - 0x4B400000) << 23;  // times 2^n
  V8 result;
  std::memcpy(&result, &y_bits, sizeof(result));
  result = x == x ? result : x;
  return underflow ? Splat(0.0f) : result;
}

// A strided matrix: element (i, j) is data[i * row + j * column].
struct Strided {
  const float* data;
  int64_t row, column;
};

template <int kRows>
inline void ProductTile(int k, Strided a, const float* b, int ldb, float* c,
                        int ldc, bool accumulate) {
  V8 sum[kRows][2];
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = accumulate ? Load(c + r * ldc) : Splat(0.0f);
    sum[r][1] = accumulate ? Load(c + r * ldc + 8) : Splat(0.0f);
  }
  for (int i = 0; i < k; ++i) {
    const V8 b0 = Load(b), b1 = Load(b + 8);
    b += ldb;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const V8 x = Splat(a.data[r * a.row]);
      sum[r][0] = MulAdd(x, b0, sum[r][0]);
      sum[r][1] = MulAdd(x, b1, sum[r][1]);
    }
    a.data += a.column;
  }
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    Store(sum[r][0], c + r * ldc);
    Store(sum[r][1], c + r * ldc + 8);
  }
}

// c[m, n] = a[m, k] b[k, n], added to c if asked; b and c are row-major and n
// is a multiple of 16.
inline void Product(int m, int n, int k, Strided a, const float* b, int ldb,
                    float* c, int ldc, bool accumulate) {
  for (int j = 0; j < n; j += 16) {
    int i = 0;
    for (; i + 4 <= m; i += 4) {
      ProductTile<4>(k, {a.data + i * a.row, a.row, a.column}, b + j, ldb,
                     c + i * ldc + j, ldc, accumulate);
    }
    for (; i < m; ++i) {
      ProductTile<1>(k, {a.data + i * a.row, a.row, a.column}, b + j, ldb,
                     c + i * ldc + j, ldc, accumulate);
    }
  }
}

// Copies `rows` rows of `dim` elements, `stride` apart, into rows of `padded`
// elements that end in zeros.
inline void Pack(const float* from, int64_t stride, int rows, int dim,
                 int padded, float* to) {
  for (int r = 0; r < rows; ++r) {
    std::memcpy(to + r * padded, from + r * stride, dim * sizeof(float));
    for (int d = dim; d < padded; ++d) to[r * padded + d] = 0;
  }
}

// The same rows as columns: to[dim, kKeys], zeros past the last row.
inline void PackTransposed(const float* from, int64_t stride, int rows, int dim,
                           float* to) {
  if (rows < kKeys) std::memset(to, 0, sizeof(float) * dim * kKeys);
  for (int r = 0; r < rows; ++r) {
    for (int d = 0; d < dim; ++d) to[d * kKeys + r] = from[r * stride + d];
  }
}

inline int RoundUp16(int64_t n) { return static_cast<int>((n + 15) / 16 * 16); }

}  // namespace lt2::kernels::cpu_block

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_CPU_BLOCK_H_
