// Batch and sequence are one dimension: row r of the shorter sequence is row
// r n + slot of the longer one.

#include <algorithm>

#include "kernels/activation/activation_internal.h"

namespace lt2::kernels {

absl::Status InterleaveCpu(Context& ctx, const InterleaveArgs& args,
                           const Tensor& y) {
  const int64_t rows = args.x.dim(0) * args.x.dim(1);
  const int64_t size = args.x.numel() / rows;
  ctx.ParallelFor(rows * args.n, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* const to = y.data<float>() + row * size;
      if (row % args.n == args.slot) {
        std::copy_n(args.x.data<float>() + row / args.n * size, size, to);
      } else {
        std::fill_n(to, size, 0.0f);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status TakeEveryCpu(Context& ctx, const TakeEveryArgs& args,
                          const Tensor& y) {
  const int64_t rows = y.dim(0) * y.dim(1);
  const int64_t size = y.numel() / rows;
  ctx.ParallelFor(rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::copy_n(args.x.data<float>() + (row * args.n + args.slot) * size,
                  size, y.data<float>() + row * size);
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
