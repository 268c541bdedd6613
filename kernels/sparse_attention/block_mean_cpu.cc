// Means of blocks on the CPU.

#include <algorithm>

#include "kernels/sparse_attention/block_compress_internal.h"

namespace lt2::kernels {
namespace {

// The mean of `count` rows of `row` elements.
void MeanOfRows(const float* x, int64_t count, int64_t row, float* mean) {
  std::copy_n(x, row, mean);
  for (int64_t j = 1; j < count; ++j) {
    for (int64_t d = 0; d < row; ++d) mean[d] += x[j * row + d];
  }
  for (int64_t d = 0; d < row; ++d) mean[d] /= static_cast<float>(count);
}

}  // namespace

absl::Status BlockMeanCpu(Context& ctx, const BlockMeanArgs& args,
                          Tensor* mean) {
  const int64_t tokens = args.x.dim(1), blocks = mean->dim(1);
  const int64_t row = args.x.dim(2) * args.x.dim(3), size = args.block_size;
  const float* x = args.x.data<float>();
  float* out = mean->data<float>();
  ctx.ParallelFor(mean->dim(0) * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / blocks, c = item % blocks;
      MeanOfRows(x + (b * tokens + c * size) * row, size, row,
                 out + item * row);
    }
  });
  return absl::OkStatus();
}

absl::Status BlockMeanGradCpu(Context& ctx, const BlockMeanGradArgs& args,
                              Tensor* dx) {
  const int64_t blocks = args.dmean.dim(1), size = args.block_size;
  const int64_t row = args.dmean.dim(2) * args.dmean.dim(3);
  const float* dmean = args.dmean.data<float>();
  float* out = dx->data<float>();
  ctx.ParallelFor(
      dx->dim(0) * args.tokens, 16, [&](int64_t begin, int64_t end) {
        for (int64_t item = begin; item < end; ++item) {
          const int64_t b = item / args.tokens, c = item % args.tokens / size;
          float* to = out + item * row;
          if (c >= blocks) {
            std::fill_n(to, row, 0.0f);
            continue;
          }
          const float* from = dmean + (b * blocks + c) * row;
          for (int64_t d = 0; d < row; ++d) {
            to[d] = from[d] / static_cast<float>(size);
          }
        }
      });
  return absl::OkStatus();
}

absl::Status BlockMeanAppendCpu(Context&, const BlockMeanAppendArgs& args,
                                Tensor* mean) {
  const int64_t tokens = args.x.dim(1), blocks = mean->dim(1);
  const int64_t row = args.x.dim(2) * args.x.dim(3), size = args.block_size;
  for (int64_t b = 0; b < mean->dim(0); ++b) {
    const int64_t length = args.lengths.data<int32_t>()[b];
    const int64_t before = std::max<int64_t>(0, length - args.appended);
    for (int64_t c = before / size; c < length / size; ++c) {
      MeanOfRows(args.x.data<float>() + (b * tokens + c * size) * row, size,
                 row, mean->data<float>() + (b * blocks + c) * row);
    }
  }
  return absl::OkStatus();
}

}  // namespace lt2::kernels
