// A stable radix sort of pairs on a GPU (CUB). In a library of its own, as the
// compiler needs long for it.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_SORT_PAIRS_CUDA_H_
#define LT2_KERNELS_SPARSE_ATTENTION_SORT_PAIRS_CUDA_H_

#include "kernels/core/context.h"

namespace lt2::kernels::sparse {

// Sorts by the low `bits` bits of keys, unsigned, i32 [n] each; equal keys stay
// in order. Overwrites both buffers; the number, 0 or 1, of those that hold
// the result is returned. Its memory comes from ctx, so that it can be captured
// in a graph.
absl::StatusOr<int> SortPairs(Context& ctx, const Tensor (&keys)[2],
                              const Tensor (&values)[2], int bits);

}  // namespace lt2::kernels::sparse

#endif  // LT2_KERNELS_SPARSE_ATTENTION_SORT_PAIRS_CUDA_H_
