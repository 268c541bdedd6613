#include <atomic>
#include <cmath>

#include "gtest/gtest.h"
#include "kernels/core/arena_pool.h"
#include "kernels/core/context.h"
#include "kernels/core/hash.h"
#include "kernels/core/philox.h"
#include "kernels/core/testing.h"

namespace lt2 {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  const uint32_t zero[4] = {0, 0, 0, 0};
  const PhiloxBlock a = Philox4x32(zero, 0);
  EXPECT_EQ(a.word[0], 0x6627e8d5u);
  EXPECT_EQ(a.word[1], 0xe169c58du);
  EXPECT_EQ(a.word[2], 0xbc57ac4cu);
  EXPECT_EQ(a.word[3], 0x9b00dbd8u);
  const uint32_t ones[4] = {~0u, ~0u, ~0u, ~0u};
  const PhiloxBlock b = Philox4x32(ones, ~uint64_t{0});
  EXPECT_EQ(b.word[0], 0x408f276du);
  EXPECT_EQ(b.word[1], 0x41c83b0eu);
  EXPECT_EQ(b.word[2], 0xa20bc7c6u);
  EXPECT_EQ(b.word[3], 0x6d5451fdu);
  const uint32_t pi[4] = {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u};
  const PhiloxBlock c = Philox4x32(pi, 0x299f31d0a4093822u);
  EXPECT_EQ(c.word[0], 0xd16cfe09u);
  EXPECT_EQ(c.word[1], 0x94fdccebu);
  EXPECT_EQ(c.word[2], 0x5001e420u);
  EXPECT_EQ(c.word[3], 0x24126ea1u);
}

// Test vectors of the hash's authors.
TEST(Fnv1a, KnownAnswers) {
  static_assert(Fnv1a("") == 0xcbf29ce484222325u);
  static_assert(Fnv1a("a") == 0xaf63dc4c8601ec8cu);
  static_assert(Fnv1a("foobar") == 0x85944171f73967e8u);
  EXPECT_EQ(Fnv1a("bar", Fnv1a("foo")), Fnv1a("foobar"));
  EXPECT_EQ(Fnv1a("\xff"), (kFnv1aEmpty ^ 255) * 1099511628211u);
}

TEST(Philox, BelowIsUniform) {
  Philox rng(1, 2);
  int counts[7] = {};
  for (int i = 0; i < 70000; ++i) ++counts[rng.Below(7)];
  double chi2 = 0;
  for (int c : counts) chi2 += (c - 10000.0) * (c - 10000.0) / 10000.0;
  EXPECT_LT(chi2, 22.5);  // 0.1 % point of chi-squared with 6 degrees
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(ToBFloat16(1.0f).bits, 0x3f80);
  EXPECT_EQ(ToBFloat16(1.0f + std::ldexp(1.0f, -8)).bits, 0x3f80);  // tie
  EXPECT_EQ(ToBFloat16(1.0f + 3 * std::ldexp(1.0f, -8)).bits, 0x3f82);
  EXPECT_TRUE(std::isnan(ToFloat(ToBFloat16(std::nanf("")))));
  EXPECT_TRUE(std::isinf(ToFloat(ToBFloat16(3.4e38f))));
}

TEST(Tensor, SliceAndReshapeShareElements) {
  auto ctx = testing::CpuContext();
  Tensor t = *ctx->Zeros(DType::kF32, {4, 3});
  Tensor row = t.Slice(2, 3).Reshape({3});
  row.data<float>()[1] = 7;
  EXPECT_EQ(t.data<float>()[2 * 3 + 1], 7);
  EXPECT_EQ(t.ToString(), "f32[4, 3]@cpu");
}

TEST(Tensor, ExpectTensorNamesBoth) {
  auto ctx = testing::CpuContext();
  Tensor t = *ctx->Zeros(DType::kF32, {4, 3});
  const absl::Status s =
      ExpectTensor("weight", t, Device::kCPU, DType::kBF16, {4, 3});
  EXPECT_EQ(s.message(), "weight: expected bf16[4, 3]@cpu, got f32[4, 3]@cpu");
}

TEST(Arena, ReusesBlocksAndCountsThem) {
  auto ctx = testing::CpuContext();
  void* first;
  {
    Tensor t = *ctx->Empty(DType::kF32, {1000});
    first = t.raw();
    EXPECT_EQ(ctx->arena().stats().in_use, 4096);
  }
  Tensor again = *ctx->Empty(DType::kF32, {1010});  // the same size class
  EXPECT_EQ(again.raw(), first);
  EXPECT_EQ(ctx->arena().stats().allocations, 1);
}

TEST(ArenaPool, KeepsItsBlocksUntilItEnds) {
  auto ctx = testing::CpuContext();
  void *first, *second;
  auto work = [&] {
    const Tensor a = *ctx->Empty(DType::kF32, {1000});
    const Tensor b = *ctx->Empty(DType::kF32, {1000});
    first = a.raw();
    second = b.raw();
  };
  {
    ArenaPool pool;
    {
      ArenaPool::Scope scope(&pool);
      work();
    }
    EXPECT_EQ(pool.bytes(), 2 * 4096);
    EXPECT_EQ(ctx->arena().stats().in_use, 0);
    // Nobody else gets them; the same work does, in the same places.
    const Tensor other = *ctx->Empty(DType::kF32, {1000});
    EXPECT_NE(other.raw(), first);
    EXPECT_NE(other.raw(), second);
    void *const a = first, *const b = second;
    ArenaPool::Scope scope(&pool);
    work();
    EXPECT_TRUE((first == a && second == b) || (first == b && second == a));
    EXPECT_EQ(ctx->arena().stats().allocations, 3);
  }
  const Tensor free = *ctx->Empty(DType::kF32, {1000});
  EXPECT_EQ(ctx->arena().stats().allocations, 3);
}

TEST(Arena, SizeClassesWasteAtMostAnEighth) {
  for (int64_t bytes = 1; bytes < int64_t{1} << 40; bytes = bytes * 5 / 3 + 1) {
    const int64_t size = Arena::SizeClass(bytes);
    EXPECT_GE(size, bytes);
    if (bytes > 1 << 20) {
      EXPECT_LE(size, bytes + bytes / 8) << bytes;
    }
  }
}

TEST(Arena, OutOfMemoryIsAStatus) {
  ContextOptions options;
  options.memory_limit = 1 << 20;
  auto ctx = Context::Create(Device::kCPU, options);
  ASSERT_TRUE(ctx.ok());
  Tensor held = *(*ctx)->Empty(DType::kU8, {1 << 19});
  const auto too_much = (*ctx)->Empty(DType::kU8, {1 << 20});
  EXPECT_EQ(too_much.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE((*ctx)->Empty(DType::kU8, {1 << 18}).ok());
}

TEST(Context, PoisonIsNaN) {
  auto ctx = testing::CpuContext();
  EXPECT_TRUE(
      std::isnan(testing::ToDoubles(*ctx, *ctx->Empty(DType::kF32, {3}))[2]));
  EXPECT_TRUE(
      std::isnan(testing::ToDoubles(*ctx, *ctx->Empty(DType::kBF16, {3}))[2]));
}

TEST(Context, ParallelForCoversEachIndexOnce) {
  for (int threads : {1, 2, 5}) {
    auto ctx = testing::CpuContext(threads);
    for (int64_t n : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> seen(n);
      for (int repeat = 0; repeat < 50; ++repeat) {
        ctx->ParallelFor(n, 1, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++seen[i];
        });
      }
      for (auto& s : seen) EXPECT_EQ(s, 50);
    }
  }
}

TEST(Contract, RejectsNaNAndWrongValues) {
  const std::vector<double> truth = {1, 2, 3};
  EXPECT_TRUE(testing::MeetsContract(truth, truth, truth, DType::kF32));
  EXPECT_FALSE(testing::MeetsContract({1, 2, 3.01}, truth, truth, DType::kF32));
  EXPECT_FALSE(
      testing::MeetsContract({1, 2, std::nan("")}, truth, truth, DType::kBF16));
}

}  // namespace
}  // namespace lt2
