// NSA by its definition, in fp64, with masks over all pairs of tokens: mean
// blocks, choice and the three branches in one function that shares nothing
// with the operators or their references.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_NSA_REFERENCE_H_
#define LT2_KERNELS_SPARSE_ATTENTION_NSA_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

// One key head, as LT2 uses NSA.
struct NsaShape {
  int64_t batch = 2, tokens = 23, heads = 16, dim = 8;
  int64_t block = 4, top_n = 4, window = 5;
  double scale = 0.25;
};

// Keys and values have no head axis of their own.
struct NsaValues {
  std::vector<double> q, k, v;
};

struct NsaReferenceValues {
  std::vector<double> o;
  std::vector<std::vector<bool>> chosen;  // for every (b, t), by block
};

// gates [B, L, H, 3]: of the compressed, selected and window branch.
NsaReferenceValues NsaReference(const NsaShape& n, const NsaValues& in,
                                const std::vector<double>& gates);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_NSA_REFERENCE_H_
