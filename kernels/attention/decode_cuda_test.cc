// Decoding and caches on a GPU, f32 and bf16.

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CudaContext;
using lt2::testing::MeetsContract;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;

constexpr DType kTypes[] = {DType::kF32, DType::kBF16};

AttentionShape CacheShape(int64_t batch, int64_t capacity, int64_t dim) {
  AttentionShape s;
  s.batch = batch;
  s.queries = 1;
  s.keys = capacity;
  s.heads = 6;
  s.kv_heads = 2;
  s.dim = dim;
  s.scale = 1 / std::sqrt(static_cast<double>(dim));
  return s;
}

// What the contract compares with: row b on its own, over its valid entries.
std::vector<double> PlainDecode(const AttentionShape& s, DType dtype,
                                const AttentionInputs& in,
                                const std::vector<int32_t>& lengths) {
  std::vector<double> o;
  for (int64_t b = 0; b < s.batch; ++b) {
    AttentionShape row = s;
    row.batch = 1;
    row.keys = std::min<int64_t>(lengths[b], s.keys);
    auto valid = [&](const std::vector<double>& x) {
      return Segment(Segment(x, 1, s.batch, b, b + 1), 1, s.keys, 0, row.keys);
    };
    AttentionInputs one;
    one.q = Segment(in.q, 1, s.batch, b, b + 1);
    one.k = valid(in.k);
    one.v = valid(in.v);
    const std::vector<double> part =
        row.keys == 0 ? std::vector<double>(s.heads * s.dim, 0.0)
                      : PlainAttention(row, dtype, one).o;
    o.insert(o.end(), part.begin(), part.end());
  }
  return o;
}

// Capacities of one part and of several; head dimensions of every lane count.
TEST(AttentionDecodeCuda, MeetsTheContractForEveryLength) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (int64_t dim : {8, 40, 64, 72, 128}) {
      for (int64_t capacity : {128, 300}) {
        const AttentionShape s = CacheShape(8, capacity, dim);
        const AttentionInputs in = MakeAttentionInputs(s, dtype, 1, 2.0);
        const std::vector<int32_t> lengths = {0,  1,   2,   63,
                                              65, 127, 300, 100000};
        EXPECT_TRUE(MeetsContract(
            RunDecode(*ctx, s, dtype, in, lengths),
            PlainDecode(s, dtype, in, lengths),
            AttentionDecodeReference(s, in.q, in.k, in.v, lengths), dtype))
            << Name(dtype) << " " << s;
      }
    }
  }
}

TEST(AttentionDecodeCuda, LongCachesMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    const AttentionShape s = CacheShape(2, 9000, 128);
    const AttentionInputs in = MakeAttentionInputs(s, dtype, 2, 2.0);
    const std::vector<int32_t> lengths = {8999, 1234};
    EXPECT_TRUE(MeetsContract(
        RunDecode(*ctx, s, dtype, in, lengths),
        PlainDecode(s, dtype, in, lengths),
        AttentionDecodeReference(s, in.q, in.k, in.v, lengths), dtype))
        << Name(dtype);
  }
}

TEST(AttentionDecodeCuda, ExtremeScoresMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    AttentionShape s = CacheShape(1, 400, 32);
    s.scale = 1;
    AttentionInputs in = MakeAttentionInputs(s, dtype, 3);
    for (int64_t i = 0; i < s.heads; ++i) in.q[i * 32] = 100;
    for (int64_t i = 0; i < s.keys * s.kv_heads; ++i) {
      in.k[i * 32] = i / 2 % 3 == 0 ? 100 : -100;
    }
    EXPECT_TRUE(MeetsContract(
        RunDecode(*ctx, s, dtype, in, {400}), PlainDecode(s, dtype, in, {400}),
        AttentionDecodeReference(s, in.q, in.k, in.v, {400}), dtype))
        << Name(dtype);
  }
}

TEST(AttentionDecodeCuda, OneEntryTooFewIsRejected) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    const AttentionShape s = CacheShape(1, 200, 64);
    const AttentionInputs in = MakeAttentionInputs(s, dtype, 4);
    EXPECT_FALSE(MeetsContract(
        RunDecode(*ctx, s, dtype, in, {199}), PlainDecode(s, dtype, in, {200}),
        AttentionDecodeReference(s, in.q, in.k, in.v, {200}), dtype))
        << Name(dtype);
  }
}

TEST(AttentionDecodeCuda, EqualsTheLastRowOfFullAttention) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s = CacheShape(2, 333, 128);
  const AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 5);
  const std::vector<double> full = RunAttention(*ctx, s, DType::kBF16, in).o;
  const std::vector<double> exact = AttentionReference(s, in.q, in.k, in.v).o;
  EXPECT_TRUE(MeetsContract(RunDecode(*ctx, s, DType::kBF16, in, {333, 333}),
                            full, exact, DType::kBF16));
}

TEST(AttentionDecodeCuda, EntriesPastTheLengthAreNotRead) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const AttentionShape s = CacheShape(1, 500, 64);
  AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 6);
  const auto before = RunDecode(*ctx, s, DType::kBF16, in, {123});
  for (size_t i = 123 * 2 * 64; i < in.k.size(); ++i) {
    in.k[i] = in.v[i] = std::nan("");
  }
  EXPECT_EQ(RunDecode(*ctx, s, DType::kBF16, in, {123}), before);
}

TEST(AttentionDecodeCuda, NaNInTheCacheIsNotHidden) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t capacity : {3, 300}) {
    const AttentionShape s = CacheShape(1, capacity, 8);
    AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 7);
    in.k[0] = std::nan("");
    const auto o = RunDecode(*ctx, s, DType::kBF16, in, {1});
    EXPECT_TRUE(std::isnan(o[0]));
    EXPECT_FALSE(std::isnan(o[3 * 8]));  // the other key-value head
  }
}

TEST(AttentionDecodeCuda, SameBitsTwiceAndForAnyBatch) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const AttentionShape s = CacheShape(3, 1000, 128);
  const AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 8);
  const auto a = RunDecode(*ctx, s, DType::kBF16, in, {7, 1000, 611});
  EXPECT_EQ(RunDecode(*ctx, s, DType::kBF16, in, {7, 1000, 611}), a);
  const AttentionShape last = CacheShape(1, 1000, 128);
  AttentionInputs row;
  row.q = Segment(in.q, 1, 3, 2, 3);
  row.k = Segment(in.k, 1, 3, 2, 3);
  row.v = Segment(in.v, 1, 3, 2, 3);
  EXPECT_EQ(RunDecode(*ctx, last, DType::kBF16, row, {611}),
            Segment(a, 1, 3, 2, 3));
}

TEST(CacheAppendCuda, RingBufferDecodingEqualsWindowAttention) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) ExpectRingDecodingEqualsWindow(*ctx, dtype, 9);
}

// Rows of 16 bytes and rows that are not.
TEST(CacheAppendCuda, WritesEachRowAtItsOwnSlotsAndNowhereElse) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (DType dtype : kTypes) {
    for (int64_t dim : {1, 8}) {
      auto rows = [&](const std::vector<double>& firsts) {
        std::vector<double> all;
        for (double x : firsts) {
          for (int64_t d = 0; d < dim; ++d) all.push_back(x + 16 * d);
        }
        return all;
      };
      const std::vector<double> none(8 * dim, -1.0);
      Tensor k_cache = ToTensor(*ctx, dtype, {2, 4, 1, dim}, none);
      Tensor v_cache = ToTensor(*ctx, dtype, {2, 4, 1, dim}, none);
      const CacheAppendArgs args{
          ToTensor(*ctx, dtype, {2, 3, 1, dim}, rows({1, 2, 3, 4, 5, 6})),
          ToTensor(*ctx, dtype, {2, 3, 1, dim}, rows({7, 8, 9, 10, 11, 12})),
          ToTensor(*ctx, DType::kI32, {2}, {0, 7})};
      ASSERT_TRUE(CacheAppend(*ctx, args, &k_cache, &v_cache).ok());
      auto expected = [&](const std::vector<double>& firsts) {
        std::vector<double> all = rows(firsts);
        for (size_t i = 0; i < firsts.size(); ++i) {
          if (firsts[i] >= 0) continue;
          std::fill_n(all.begin() + i * dim, dim, -1.0);
        }
        return all;
      };
      EXPECT_EQ(ToDoubles(*ctx, k_cache), expected({1, 2, 3, -1, 5, 6, -1, 4}));
      EXPECT_EQ(ToDoubles(*ctx, v_cache),
                expected({7, 8, 9, -1, 11, 12, -1, 10}));
      EXPECT_EQ(ToDoubles(*ctx, args.lengths), std::vector<double>({0, 7}));
    }
  }
}

TEST(AttentionDecodeCuda, EmptyCachesGiveZeros) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s = CacheShape(2, 0, 8);
  const AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 10);
  EXPECT_EQ(RunDecode(*ctx, s, DType::kBF16, in, {0, 5}),
            std::vector<double>(2 * 6 * 8, 0.0));
  s.batch = 0;
  EXPECT_TRUE(RunDecode(*ctx, s, DType::kBF16, {}, {}).empty());
}

// A step captured once attends over one entry more at every replay.
TEST(AttentionDecodeCudaGraph, ReplaysFollowTheLengths) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const AttentionShape s = CacheShape(1, 300, 64);
  const AttentionInputs in = MakeAttentionInputs(s, DType::kBF16, 11);
  AttentionDecodeArgs args;
  args.q = ToTensor(*ctx, DType::kBF16, {1, 1, 6, 64}, in.q);
  args.k_cache = ToTensor(*ctx, DType::kBF16, {1, 300, 2, 64}, in.k);
  args.v_cache = ToTensor(*ctx, DType::kBF16, {1, 300, 2, 64}, in.v);
  args.lengths = ToTensor(*ctx, DType::kI32, {1}, {100});
  args.scale = 0.125f;
  Tensor o = *ctx->Empty(DType::kBF16, args.q.shape());
  auto step = [&] {
    LT2_RETURN_IF_ERROR(AdvanceLengths(*ctx, 1, &args.lengths));
    return AttentionDecode(*ctx, args, &o);
  };
  ASSERT_TRUE(step().ok());
  auto graph = CudaGraph::Capture(*ctx, step);
  ASSERT_TRUE(graph.ok()) << graph.status();
  for (int32_t length : {102, 103, 104}) {
    ASSERT_TRUE((*graph)->Launch().ok());
    AttentionShape eager = s;
    eager.scale = 0.125;
    EXPECT_EQ(ToDoubles(*ctx, o),
              RunDecode(*ctx, eager, DType::kBF16, in, {length}))
        << length;
  }
}

}  // namespace
}  // namespace lt2::kernels
