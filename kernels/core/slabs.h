// Gradients of parameters on the CPU: sums over rows with the same bits for any
// number of threads.
//
// The rows are cut into kSlabs slabs, whatever the number of threads. Each slab
// sums its rows into its own row of partial sums, while it writes what else it
// has to write; then the partial sums are added in fp64 in order.

#ifndef LT2_KERNELS_CORE_SLABS_H_
#define LT2_KERNELS_CORE_SLABS_H_

#include <algorithm>

#include "kernels/core/context.h"

namespace lt2 {

inline constexpr int64_t kSlabs = 64;

// Calls body(row_begin, row_end, partial) for disjoint ranges that cover
// [0, rows); partial is `columns` zeros to add to. Then out[c] = the sum of all
// partial[c].
template <typename F>
absl::Status SumOverSlabs(Context& ctx, int64_t rows, int64_t columns, F&& body,
                          float* out) {
  const int64_t size = std::max<int64_t>(1, (rows + kSlabs - 1) / kSlabs);
  const int64_t slabs = (rows + size - 1) / size;
  LT2_ASSIGN_OR_RETURN(Tensor partials,
                       ctx.Zeros(DType::kF32, {slabs, columns}));
  float* const data = partials.data<float>();
  ctx.ParallelFor(slabs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      body(s * size, std::min(rows, (s + 1) * size), data + s * columns);
    }
  });
  for (int64_t c = 0; c < columns; ++c) {
    double sum = 0;
    for (int64_t s = 0; s < slabs; ++s) sum += data[s * columns + c];
    out[c] = static_cast<float>(sum);
  }
  return absl::OkStatus();
}

}  // namespace lt2

#endif  // LT2_KERNELS_CORE_SLABS_H_
