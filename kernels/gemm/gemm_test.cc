#include "kernels/gemm/gemm.h"

#include <cmath>
#include <limits>
#include <thread>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/gemm/gemm_reference.h"

namespace lt2::kernels {
namespace {

using ::lt2::testing::CpuContext;
using ::lt2::testing::MeetsContract;
using ::lt2::testing::Rounded;
using ::lt2::testing::ToDoubles;
using ::lt2::testing::ToTensor;
using ::lt2::testing::Uniform;

struct Case {
  int64_t m, n, k;
  bool transpose_a = false, transpose_b = false, accumulate = false;

  std::string ToString() const {
    return absl::StrCat("m ", m, " n ", n, " k ", k, transpose_a ? " a^T" : "",
                        transpose_b ? " b^T" : "", accumulate ? " +=" : "");
  }
};

struct Inputs {
  std::vector<double> a, b, c;
};

Inputs MakeInputs(const Case& t, uint64_t seed) {
  Inputs in;
  in.a = Rounded(DType::kF32, Uniform(seed, t.m * t.k));
  in.b = Rounded(DType::kF32, Uniform(seed + 1, t.k * t.n));
  if (t.accumulate) in.c = Rounded(DType::kF32, Uniform(seed + 2, t.m * t.n));
  return in;
}

std::vector<double> Multiply(Context& ctx, const Case& t, const Inputs& in) {
  GemmArgs args;
  args.a = ToTensor(ctx, DType::kF32,
                    t.transpose_a ? Shape{t.k, t.m} : Shape{t.m, t.k}, in.a);
  args.b = ToTensor(ctx, DType::kF32,
                    t.transpose_b ? Shape{t.n, t.k} : Shape{t.k, t.n}, in.b);
  args.transpose_a = t.transpose_a;
  args.transpose_b = t.transpose_b;
  args.accumulate = t.accumulate;
  Tensor c = t.accumulate ? ToTensor(ctx, DType::kF32, {t.m, t.n}, in.c)
                          : *ctx.Empty(DType::kF32, {t.m, t.n});
  const absl::Status status = Gemm(ctx, args, &c);
  EXPECT_TRUE(status.ok()) << status;
  return ToDoubles(ctx, c);
}

template <typename Real>
std::vector<double> Reference(const Case& t, const Inputs& in) {
  return GemmReference<Real>(t.m, t.n, t.k, t.transpose_a, t.transpose_b, in.a,
                             in.b, in.c);
}

TEST(Gemm, MeetsContractForAllTransposesAndOddSizes) {
  auto ctx = CpuContext();
  const Case sizes[] = {{1, 1, 1},    {1, 60, 17},    {60, 1, 17},
                        {3, 5, 7},    {64, 64, 64},   {65, 3, 127},
                        {2, 61, 300}, {257, 130, 61}, {70, 1031, 40}};
  for (Case t : sizes) {
    for (int bits = 0; bits < 8; ++bits) {
      t.transpose_a = bits & 1;
      t.transpose_b = bits & 2;
      t.accumulate = bits & 4;
      const Inputs in = MakeInputs(t, 7 + bits);
      EXPECT_TRUE(MeetsContract(Multiply(*ctx, t, in), Reference<float>(t, in),
                                Reference<double>(t, in), DType::kF32))
          << t.ToString();
    }
  }
}

TEST(Gemm, ContractRejectsWrongTwins) {
  auto ctx = CpuContext();
  const Case t = {33, 20, 64, false, true, true};
  const Inputs in = MakeInputs(t, 3);
  Inputs without_c = in;
  without_c.c.clear();
  Case swapped = t;  // reads b as [k, n]
  swapped.transpose_b = false;
  Inputs without_last_term = in;
  for (int64_t i = 0; i < t.m; ++i) without_last_term.a[i * t.k + t.k - 1] = 0;
  const auto plain = Reference<float>(t, in), fp64 = Reference<double>(t, in);
  EXPECT_FALSE(MeetsContract(Multiply(*ctx, t, without_last_term), plain, fp64,
                             DType::kF32));
  EXPECT_FALSE(
      MeetsContract(Multiply(*ctx, swapped, in), plain, fp64, DType::kF32));
  EXPECT_FALSE(
      MeetsContract(Reference<float>(t, without_c), plain, fp64, DType::kF32));
}

TEST(Gemm, FoldsLeadingDimensions) {
  auto ctx = CpuContext();
  const auto x = Uniform(1, 2 * 3 * 4), w = Uniform(2, 5 * 4);
  Tensor y = *ctx->Empty(DType::kF32, {2, 3, 5});
  GemmArgs args;
  args.a = ToTensor(*ctx, DType::kF32, {2, 3, 4}, x);
  args.b = ToTensor(*ctx, DType::kF32, {5, 4}, w);
  args.transpose_b = true;
  ASSERT_TRUE(Gemm(*ctx, args, &y).ok());
  const auto fp64 = GemmReference<double>(6, 5, 4, false, true, x, w, {});
  EXPECT_TRUE(testing::Near(ToDoubles(*ctx, y), fp64, 1e-6));
  // The weight gradient folds both: dw [5, 4] = y^T [5, 6] x [6, 4].
  Tensor dw = *ctx->Empty(DType::kF32, {5, 4});
  GemmArgs gradient;
  gradient.a = y;
  gradient.b = args.a;
  gradient.transpose_a = true;
  ASSERT_TRUE(Gemm(*ctx, gradient, &dw).ok());
  EXPECT_TRUE(testing::Near(
      ToDoubles(*ctx, dw),
      GemmReference<double>(5, 4, 6, true, false, fp64, x, {}), 1e-6));
}

TEST(Gemm, EmptyExtentsAreAllowed) {
  auto ctx = CpuContext();
  for (const Case t : {Case{0, 3, 2}, Case{3, 0, 2}}) {
    EXPECT_TRUE(Multiply(*ctx, t, MakeInputs(t, 1)).empty());
  }
  // k = 0: an empty sum, zero or what c was.
  const Case overwrite = {2, 3, 0};
  EXPECT_EQ(Multiply(*ctx, overwrite, MakeInputs(overwrite, 1)),
            std::vector<double>(6, 0.0));
  const Case add = {2, 3, 0, false, false, true};
  const Inputs in = MakeInputs(add, 1);
  EXPECT_EQ(Multiply(*ctx, add, in), in.c);
}

TEST(Gemm, NonFiniteValuesStayInTheirRow) {
  auto ctx = CpuContext();
  const Case t = {40, 9, 12};
  Inputs in = MakeInputs(t, 5);
  in.a[3 * t.k + 2] = std::numeric_limits<double>::quiet_NaN();
  in.a[4 * t.k + 2] = std::numeric_limits<double>::infinity();
  const auto c = Multiply(*ctx, t, in);
  for (int64_t i = 0; i < t.m * t.n; ++i) {
    EXPECT_EQ(std::isfinite(c[i]), i / t.n != 3 && i / t.n != 4) << i;
  }
}

TEST(Gemm, ScalesExactlyWithPowersOfTwo) {
  auto ctx = CpuContext();
  const Case t = {17, 19, 33};
  const Inputs in = MakeInputs(t, 6);
  Inputs scaled = in;
  for (double& a : scaled.a) a = std::ldexp(a, 60);
  for (double& b : scaled.b) b = std::ldexp(b, -100);
  auto expected = Multiply(*ctx, t, in);
  for (double& c : expected) c = std::ldexp(c, -40);
  EXPECT_EQ(Multiply(*ctx, t, scaled), expected);
}

TEST(Gemm, BitsDoNotDependOnThreadsOrRepetition) {
  auto one = CpuContext(1);
  auto three = CpuContext(3);
  for (const Case t : {Case{1000, 37, 130}, Case{1, 4099, 257},
                       Case{33, 2048, 64, true, true, true}}) {
    const Inputs in = MakeInputs(t, 9);
    const auto c = Multiply(*one, t, in);
    EXPECT_EQ(c, Multiply(*one, t, in)) << t.ToString();
    EXPECT_EQ(c, Multiply(*three, t, in)) << t.ToString();
  }
}

TEST(Gemm, ContextsMayCallAtOnce) {
  const Case t = {150, 90, 80, false, true, false};
  const Inputs in = MakeInputs(t, 4);
  auto ctx = CpuContext();
  const auto expected = Multiply(*ctx, t, in);
  std::vector<std::thread> threads;
  std::vector<int> wrong(6, 0);
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      auto own = CpuContext(i % 2 + 1);
      for (int repeat = 0; repeat < 20; ++repeat) {
        wrong[i] += Multiply(*own, t, in) != expected;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(6, 0));
}

TEST(Gemm, RejectsWhatItCannotDo) {
  auto ctx = CpuContext();
  Tensor x = *ctx->Zeros(DType::kF32, {4, 3});
  Tensor y = *ctx->Zeros(DType::kF32, {5, 2});
  Tensor c = *ctx->Zeros(DType::kF32, {4, 2});
  Tensor bf16 = *ctx->Zeros(DType::kBF16, {3, 2});
  Tensor undefined;
  auto message = [&](const Tensor& a, const Tensor& b, Tensor* out) {
    const absl::Status status = Gemm(*ctx, {a, b}, out);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_NE(message(x, y, &c).find("f32[4, 3]"), std::string::npos);
  EXPECT_NE(message(x, bf16, &c).find("differ in type"), std::string::npos);
  EXPECT_NE(message(x, undefined, &c).find("undefined"), std::string::npos);
  EXPECT_NE(message(bf16, bf16, &c).find("must be f32"), std::string::npos);
  EXPECT_NE(message(y.Reshape({2, 5}), y, &c).find("must be [2, 2]"),
            std::string::npos);
}

}  // namespace
}  // namespace lt2::kernels
