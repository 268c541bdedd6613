// What the operators of this folder share: checks and positions. Plain C++,
// also for CUDA code.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SPARSE_INTERNAL_H_
#define LT2_KERNELS_SPARSE_ATTENTION_SPARSE_INTERNAL_H_

#include <cstdint>

#include "kernels/core/context.h"

namespace lt2::kernels {

// Where queries stand among the tokens of their row.
struct Positions {
  const int32_t* lengths;  // [B] on the device, or null
  int64_t limit;           // the length where lengths are null, else their most
  int64_t queries;         // S

  constexpr int64_t Length(int64_t b) const {
    if (lengths == nullptr) return limit;
    const int64_t n = lengths[b];
    return n < 0 ? 0 : (n > limit ? limit : n);
  }
  // Of query i of row b; below 0 for a query that sees nothing.
  constexpr int64_t Of(int64_t b, int64_t i) const {
    return Length(b) - queries + i;
  }
};

inline Positions MakePositions(const Tensor& lengths, int64_t limit,
                               int64_t queries) {
  return {lengths.defined() ? lengths.data<int32_t>() : nullptr, limit,
          queries};
}

// The most tokens that C complete blocks and an incomplete one can hold: the
// limit of lengths where only the compressed cache is known.
constexpr int64_t CompressedLimit(int64_t blocks, int64_t block_size) {
  return (blocks + 1) * block_size - 1;
}

namespace sparse {

inline constexpr int64_t kMaxCudaDim = 576;
inline constexpr int64_t kMaxCudaIndexDim = 128;

// OK if `x` is f32 (or bf16 on a GPU) and has this rank.
absl::Status CheckActivation(absl::string_view what, const Tensor& x, int rank,
                             absl::string_view shape);
// OK if on the CPU or bf16: what has tensor-core forms only on a GPU.
absl::Status CheckBf16OnGpu(absl::string_view what, const Tensor& x);
absl::Status CheckHeads(int64_t heads, int64_t kv_heads);
absl::Status CheckDim(absl::string_view what, const Tensor& x, int64_t most);
absl::Status CheckScale(absl::string_view what, float scale);
absl::Status CheckBlockSize(int64_t block_size);
// OK if undefined or i32 [batch].
absl::Status CheckLengths(const Tensor& lengths, const Tensor& like,
                          int64_t batch);
// On the CPU: values in [0, limit] too.
absl::Status CheckLengthValues(const Tensor& lengths, int64_t limit);
// On the CPU: every index in [-1, blocks).
absl::Status CheckIndexValues(const Tensor& indices, int64_t blocks);

}  // namespace sparse
}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SPARSE_INTERNAL_H_
