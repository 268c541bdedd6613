// The exact top-k of a row of scores on the CPU.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_TOP_K_CPU_H_
#define LT2_KERNELS_SPARSE_ATTENTION_TOP_K_CPU_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace lt2::kernels::sparse {

// Writes the indices of the `top_k` largest of `scores`, ascending, then -1.
// Ties go to the lower index; NaN ranks below all numbers. `order` is scratch.
// O(n + top_k log top_k) on average.
inline void TopK(const std::vector<float>& scores, int64_t top_k,
                 std::vector<int32_t>* order, int32_t* indices) {
  const int64_t n = static_cast<int64_t>(scores.size());
  const int64_t count = std::min(n, top_k);
  order->resize(n);
  std::iota(order->begin(), order->end(), 0);
  if (count < n) {
    // A total order: no two indices are equal, so the set is unique.
    auto before = [&](int32_t x, int32_t y) {
      const float a = scores[x], b = scores[y];
      if (a > b) return true;
      if (a < b) return false;
      const bool a_nan = std::isnan(a), b_nan = std::isnan(b);
      return a_nan == b_nan ? x < y : b_nan;
    };
    std::nth_element(order->begin(), order->begin() + count, order->end(),
                     before);
  }
  std::copy_n(order->begin(), count, indices);
  std::sort(indices, indices + count);
  std::fill(indices + count, indices + top_k, -1);
}

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_TOP_K_CPU_H_
