// The definition of attention made runnable: fp64, one score at a time.

#ifndef LT2_KERNELS_ATTENTION_ATTENTION_REFERENCE_H_
#define LT2_KERNELS_ATTENTION_ATTENTION_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

// Extents and constants; the arrays are laid out as in attention.h.
struct AttentionShape {
  int64_t batch = 1, queries = 1, keys = 1, heads = 1, kv_heads = 1, dim = 1;
  double scale = 1;
  int64_t window = 0;

  int64_t q_numel() const { return batch * queries * heads * dim; }
  int64_t k_numel() const { return batch * keys * kv_heads * dim; }
  // Index of the first element of a query's or a key's vector.
  int64_t QueryRow(int64_t b, int64_t i, int64_t h) const {
    return ((b * queries + i) * heads + h) * dim;
  }
  int64_t KeyRow(int64_t b, int64_t s, int64_t h) const {
    return ((b * keys + s) * kv_heads + h / (heads / kv_heads)) * dim;
  }
  int64_t LseIndex(int64_t b, int64_t i, int64_t h) const {
    return (b * heads + h) * queries + i;
  }
  // The keys [begin, end) that query i sees.
  int64_t End(int64_t i) const { return keys - queries + i + 1; }
  int64_t Begin(int64_t i) const {
    const int64_t end = End(i);
    return window > 0 && window < end ? end - window : 0;
  }
};

struct AttentionValues {
  std::vector<double> o, lse;
};
AttentionValues AttentionReference(const AttentionShape& shape,
                                   const std::vector<double>& q,
                                   const std::vector<double>& k,
                                   const std::vector<double>& v);

struct AttentionGradients {
  std::vector<double> dq, dk, dv;
};
AttentionGradients AttentionGradReference(const AttentionShape& shape,
                                          const std::vector<double>& q,
                                          const std::vector<double>& k,
                                          const std::vector<double>& v,
                                          const std::vector<double>& dout);

// shape.queries is 1, shape.keys the capacity; row b sees lengths[b] entries.
std::vector<double> AttentionDecodeReference(
    const AttentionShape& shape, const std::vector<double>& q,
    const std::vector<double>& k_cache, const std::vector<double>& v_cache,
    const std::vector<int32_t>& lengths);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_ATTENTION_ATTENTION_REFERENCE_H_
