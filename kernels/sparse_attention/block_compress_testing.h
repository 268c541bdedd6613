// What the tests of the means and of the choice of blocks share: cases, calls
// on host values, whole test bodies for the CPU and the GPU.

#ifndef LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_TESTING_H_
#define LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_TESTING_H_

#include <cstdint>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/sparse_attention/block_compress_reference.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {

// One problem of SelectBlocks: a compressed case and top_n.
struct BlockCase {
  ListCase compressed;
  int64_t top_n;
};
std::vector<BlockCase> BlockCases(const std::vector<Dims>& dims);
// lse is that of the reference in f32.
std::vector<int32_t> RunSelectBlocks(Context& ctx, const BlockCase& c,
                                     DType dtype, const ListInputs& in);
// Forced blocks are there, the rest is a top-k within twice the plain error,
// and with q = 0 (all scores equal) the indices are those of the reference.
void ExpectSelectBlocksIsExact(Context& ctx, DType dtype,
                               const std::vector<BlockCase>& cases);

// Means, their gradient, and a cache brought up to date step by step, at
// lengths around block sizes; entries of other blocks are left as they were.
void ExpectBlockMeanMeetsContract(Context& ctx, DType dtype);
void ExpectBlockMeanAppendEqualsWhole(Context& ctx, DType dtype);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_SPARSE_ATTENTION_BLOCK_COMPRESS_TESTING_H_
