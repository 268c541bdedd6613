// Means and choice of blocks on the GPU, f32 and bf16.

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress_testing.h"
#include "kernels/sparse_attention/nsa_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CudaContext;

const DType kTypes[] = {DType::kF32, DType::kBF16};

TEST(BlockMeanCuda, MeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) ExpectBlockMeanMeetsContract(*ctx, dtype);
}

TEST(BlockMeanCuda, AppendEqualsWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) ExpectBlockMeanAppendEqualsWhole(*ctx, dtype);
}

TEST(SelectBlocksCuda, IsExact) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    ExpectSelectBlocksIsExact(
        *ctx, dtype, BlockCases({{8, 8}, {24, 40}, {64, 64}, {128, 128}}));
  }
}

// More heads than a tile of 16, more blocks than several tiles of 64.
TEST(SelectBlocksCuda, ManyHeadsAndBlocks) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  std::vector<BlockCase> cases;
  for (int64_t heads : {15, 16, 17, 40}) {
    ListAttentionShape s;
    s.queries = 300;
    s.heads = heads;
    s.dim = s.value_dim = 32;
    s.scale = 0.125;
    cases.push_back({CompressedCase(s, 1300, 4), 16});
    cases.push_back({CompressedCase(s, 1300, 4), 200});
  }
  ExpectSelectBlocksIsExact(*ctx, DType::kBF16, cases);
  ExpectSelectBlocksIsExact(*ctx, DType::kF32, {cases[0]});
}

// All three branches in f32.
TEST(NsaCuda, CompositionIsTheDefinition) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectNsaIsTheDefinition(*ctx);
}

TEST(NsaCuda, DecodingEqualsTheWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  ExpectNsaDecodingEqualsTheWhole(*ctx);
}

}  // namespace
}  // namespace lt2::kernels
