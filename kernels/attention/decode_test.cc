// Decoding over a cache: against the reference, the last row of full attention,
// and a ring buffer against window attention.

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::MeetsContract;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;

constexpr DType kF32 = DType::kF32;

AttentionShape CacheShape(int64_t batch, int64_t capacity) {
  AttentionShape s;
  s.batch = batch;
  s.queries = 1;
  s.keys = capacity;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 20;
  s.scale = 0.3;
  return s;
}

// What the contract compares with: row b on its own, over its valid entries.
std::vector<double> PlainDecode(const AttentionShape& s,
                                const AttentionInputs& in,
                                const std::vector<int32_t>& lengths) {
  std::vector<double> o;
  for (int64_t b = 0; b < s.batch; ++b) {
    AttentionShape row = s;
    row.batch = 1;
    row.keys = std::min<int64_t>(lengths[b], s.keys);
    AttentionInputs one;
    one.q = Segment(in.q, 1, s.batch, b, b + 1);
    one.k =
        Segment(Segment(in.k, 1, s.batch, b, b + 1), 1, s.keys, 0, row.keys);
    one.v =
        Segment(Segment(in.v, 1, s.batch, b, b + 1), 1, s.keys, 0, row.keys);
    const std::vector<double> part =
        row.keys == 0 ? std::vector<double>(s.heads * s.dim, 0.0)
                      : PlainAttention(row, kF32, one).o;
    o.insert(o.end(), part.begin(), part.end());
  }
  return o;
}

TEST(AttentionDecodeCpu, MeetsTheContractForEveryLength) {
  auto ctx = CpuContext();
  const AttentionShape s = CacheShape(7, 130);
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 1, 2.0);
  const std::vector<int32_t> lengths = {0, 1, 2, 63, 129, 130, 1000};
  EXPECT_TRUE(MeetsContract(
      RunDecode(*ctx, s, kF32, in, lengths), PlainDecode(s, in, lengths),
      AttentionDecodeReference(s, in.q, in.k, in.v, lengths), kF32));
}

TEST(AttentionDecodeCpu, OneEntryTooFewIsRejected) {
  auto ctx = CpuContext();
  const AttentionShape s = CacheShape(1, 300);
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 2);
  EXPECT_FALSE(MeetsContract(
      RunDecode(*ctx, s, kF32, in, {299}), PlainDecode(s, in, {300}),
      AttentionDecodeReference(s, in.q, in.k, in.v, {300}), kF32));
}

TEST(AttentionDecodeCpu, EqualsTheLastRowOfFullAttention) {
  auto ctx = CpuContext();
  const AttentionShape s = CacheShape(2, 90);
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 3);
  EXPECT_TRUE(MeetsContract(RunDecode(*ctx, s, kF32, in, {90, 90}),
                            PlainAttention(s, kF32, in).o,
                            AttentionReference(s, in.q, in.k, in.v).o, kF32));
}

TEST(AttentionDecodeCpu, EntriesPastTheLengthAreNotRead) {
  auto ctx = CpuContext();
  const AttentionShape s = CacheShape(1, 50);
  AttentionInputs in = MakeAttentionInputs(s, kF32, 4);
  const std::vector<double> before = RunDecode(*ctx, s, kF32, in, {20});
  for (size_t i = 20 * 2 * 20; i < in.k.size(); ++i) {
    in.k[i] = in.v[i] = std::nan("");
  }
  EXPECT_EQ(RunDecode(*ctx, s, kF32, in, {20}), before);
}

TEST(AttentionDecodeCpu, SameBitsForAnyThreadCount) {
  auto one = CpuContext(1), three = CpuContext(3);
  const AttentionShape s = CacheShape(3, 200);
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 5);
  EXPECT_EQ(RunDecode(*one, s, kF32, in, {7, 200, 111}),
            RunDecode(*three, s, kF32, in, {7, 200, 111}));
}

TEST(CacheAppendCpu, RingBufferDecodingEqualsWindowAttention) {
  auto ctx = CpuContext();
  ExpectRingDecodingEqualsWindow(*ctx, kF32, 6);
}

TEST(CacheAppendCpu, WritesEachRowAtItsOwnSlotsAndNowhereElse) {
  auto ctx = CpuContext();
  Tensor k_cache = *ctx->Zeros(kF32, {2, 4, 1, 1});
  Tensor v_cache = *ctx->Zeros(kF32, {2, 4, 1, 1});
  const CacheAppendArgs args{
      ToTensor(*ctx, kF32, {2, 3, 1, 1}, {1, 2, 3, 4, 5, 6}),
      ToTensor(*ctx, kF32, {2, 3, 1, 1}, {-1, -2, -3, -4, -5, -6}),
      ToTensor(*ctx, DType::kI32, {2}, {0, 7})};
  ASSERT_TRUE(CacheAppend(*ctx, args, &k_cache, &v_cache).ok());
  EXPECT_EQ(ToDoubles(*ctx, k_cache),
            std::vector<double>({1, 2, 3, 0, 5, 6, 0, 4}));
  EXPECT_EQ(ToDoubles(*ctx, v_cache),
            std::vector<double>({-1, -2, -3, 0, -5, -6, 0, -4}));
  EXPECT_EQ(ToDoubles(*ctx, args.lengths), std::vector<double>({0, 7}));
}

TEST(CacheAppendCpu, EmptyInputsAreFine) {
  auto ctx = CpuContext();
  Tensor cache = *ctx->Zeros(kF32, {2, 4, 1, 8});
  Tensor none = *ctx->Zeros(kF32, {2, 0, 1, 8});
  Tensor lengths = *ctx->Zeros(DType::kI32, {2});
  EXPECT_TRUE(CacheAppend(*ctx, {none, none, lengths}, &cache, &cache).ok());
  AttentionShape s = CacheShape(2, 0);
  s.dim = 8;
  const AttentionInputs in = MakeAttentionInputs(s, kF32, 8);
  EXPECT_EQ(RunDecode(*ctx, s, kF32, in, {0, 5}),
            std::vector<double>(2 * 4 * 8, 0.0));
  s.batch = 0;
  EXPECT_TRUE(RunDecode(*ctx, s, kF32, {}, {}).empty());
  Tensor no_lengths = *ctx->Zeros(DType::kI32, {0});
  EXPECT_TRUE(AdvanceLengths(*ctx, 3, &no_lengths).ok());
}

TEST(AttentionDecode, RejectsWhatItCannotEvaluate) {
  auto ctx = CpuContext();
  auto f32 = [&](const Shape& shape) { return *ctx->Zeros(kF32, shape); };
  Tensor lengths = *ctx->Zeros(DType::kI32, {1});
  const AttentionDecodeArgs good{f32({1, 1, 2, 8}), f32({1, 9, 2, 8}),
                                 f32({1, 9, 2, 8}), lengths, 1.0f};
  EXPECT_TRUE(AttentionDecodeSupports(good).ok());
  AttentionDecodeArgs bad = good;
  bad.q = f32({1, 2, 2, 8});
  EXPECT_NE(AttentionDecodeSupports(bad).message().find("one query"),
            std::string::npos);
  bad = good;
  bad.v_cache = f32({1, 8, 2, 8});
  EXPECT_FALSE(AttentionDecodeSupports(bad).ok());
  bad = good;
  bad.lengths = f32({1});
  EXPECT_FALSE(AttentionDecodeSupports(bad).ok());
  bad = good;
  bad.lengths = ToTensor(*ctx, DType::kI32, {1}, {-2});
  Tensor o;
  EXPECT_NE(AttentionDecode(*ctx, bad, &o).message().find("-2"),
            std::string::npos);

  const CacheAppendArgs append{f32({1, 3, 2, 8}), f32({1, 3, 2, 8}), lengths};
  EXPECT_TRUE(CacheAppendSupports(append, good.k_cache, good.v_cache).ok());
  const Tensor small = f32({1, 2, 2, 8});
  EXPECT_NE(CacheAppendSupports(append, small, small)
                .message()
                .find("3 entries to a cache of 2"),
            std::string::npos);
  EXPECT_FALSE(CacheAppendSupports(append, Tensor(), small).ok());
  EXPECT_FALSE(AdvanceLengths(*ctx, -1, &lengths).ok());
}

}  // namespace
}  // namespace lt2::kernels
