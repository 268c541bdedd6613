// The GPU forms of attention against the fp64 reference, bf16 in and out.

#include <cmath>
#include <tuple>

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/attention_testing.h"
#include "kernels/core/contract_pool.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CudaContext;
using lt2::testing::MeetsContract;

constexpr DType kBF16 = DType::kBF16;

void ExpectForwardContract(Context& ctx, const AttentionShape& s,
                           const AttentionInputs& in) {
  const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
  const AttentionValues plain = PlainAttention(s, kBF16, in);
  const AttentionValues actual = RunAttention(ctx, s, kBF16, in);
  EXPECT_TRUE(MeetsContract(actual.o, plain.o, exact.o, kBF16)) << s;
  // lse is f32, but of bf16 inputs with other roundings than the plain sum's:
  // some shapes have one value, too few for a ratio of errors.
  for (size_t i = 0; i < exact.lse.size(); ++i) {
    ASSERT_NEAR(actual.lse[i], exact.lse[i],
                1e-5 * (1 + std::abs(exact.lse[i])))
        << s << " at " << i;
  }
}

void ExpectGradientContract(Context& ctx, const AttentionShape& s,
                            const AttentionInputs& in) {
  const AttentionGradients exact =
      AttentionGradReference(s, in.q, in.k, in.v, in.dout);
  const AttentionGradients plain = PlainAttentionGrad(s, kBF16, in);
  const AttentionGradients actual = RunAttentionGrad(ctx, s, kBF16, in);
  EXPECT_TRUE(MeetsContract(actual.dq, plain.dq, exact.dq, kBF16)) << s;
  EXPECT_TRUE(MeetsContract(actual.dk, plain.dk, exact.dk, kBF16)) << s;
  EXPECT_TRUE(MeetsContract(actual.dv, plain.dv, exact.dv, kBF16)) << s;
}

TEST(AttentionCuda, MeetsTheContractOnEdgeShapes) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const AttentionShape& s : EdgeShapes({8, 40, 64, 72, 128})) {
    ExpectForwardContract(*ctx, s, MakeAttentionInputs(s, kBF16, 2, 2.0));
  }
}

TEST(AttentionCuda, GradientMeetsTheContractOnEdgeShapes) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const AttentionShape& s : EdgeShapes({8, 40, 64, 72, 128})) {
    if (s.keys == 1 || s.window == 1) continue;  // tested below
    ExpectGradientContract(*ctx, s, MakeAttentionInputs(s, kBF16, 3, 2.0));
  }
}

TEST(AttentionCuda, LongerSequencesMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t window : {0, 256}) {
    AttentionShape s;
    s.queries = 1000;
    s.keys = 1100;
    s.heads = 2;
    s.kv_heads = 1;
    s.dim = 128;
    s.scale = 0.09;
    s.window = window;
    const AttentionInputs in = MakeAttentionInputs(s, kBF16, 4, 2.0);
    ExpectForwardContract(*ctx, s, in);
    ExpectGradientContract(*ctx, s, in);
  }
}

TEST(AttentionCuda, ExtremeScoresMeetTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  const AttentionInputs in = ExtremeInputs(kBF16, &s);
  ExpectForwardContract(*ctx, s, in);
  ExpectGradientContract(*ctx, s, in);
}

TEST(AttentionCuda, WindowOfOneCopiesTheValues) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  s.batch = 2;
  s.queries = s.keys = 200;
  s.heads = s.kv_heads = 2;
  s.dim = 24;
  s.window = 1;
  const AttentionInputs in = MakeAttentionInputs(s, kBF16, 5);
  EXPECT_EQ(RunAttention(*ctx, s, kBF16, in).o, in.v);
  const AttentionGradients g = RunAttentionGrad(*ctx, s, kBF16, in);
  EXPECT_TRUE(lt2::testing::Near(g.dv, in.dout, 1e-2));
  for (double x : g.dq) EXPECT_NEAR(x, 0, 1e-3);
  for (double x : g.dk) EXPECT_NEAR(x, 0, 1e-3);
}

TEST(AttentionCuda, WindowThatCoversAllKeysEqualsNoWindow) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  s.queries = s.keys = 150;
  s.dim = 64;
  const AttentionInputs in = MakeAttentionInputs(s, kBF16, 6);
  const std::vector<double> full = RunAttention(*ctx, s, kBF16, in).o;
  for (int64_t window : {150, 151, 100000}) {
    s.window = window;
    EXPECT_EQ(RunAttention(*ctx, s, kBF16, in).o, full) << window;
  }
}

TEST(AttentionCuda, SplitIntoSegmentsMatchesWhole) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (int64_t window : {0, 70}) {
    AttentionShape s;
    s.batch = 2;
    s.queries = s.keys = 300;
    s.heads = 2;
    s.kv_heads = 1;
    s.dim = 64;
    s.scale = 0.125;
    s.window = window;
    ExpectSegmentsMatchWhole(*ctx, s, kBF16, MakeAttentionInputs(s, kBF16, 7),
                             {0, 1, 128, 131, 300});
  }
}

TEST(AttentionCuda, NaNInputsAreNotHidden) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  s.queries = s.keys = 70;
  s.dim = 8;
  AttentionInputs in = MakeAttentionInputs(s, kBF16, 8);
  in.k[3 * 8] = std::nan("");
  const std::vector<double> o = RunAttention(*ctx, s, kBF16, in).o;
  EXPECT_FALSE(std::isnan(o[2 * 8]));
  for (int64_t i = 3; i < 70; ++i) EXPECT_TRUE(std::isnan(o[i * 8])) << i;
}

TEST(AttentionCuda, SameBitsTwiceAndForAnyBatch) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  s.batch = 3;
  s.queries = 200;
  s.keys = 270;
  s.heads = 4;
  s.kv_heads = 2;
  s.dim = 128;
  s.window = 190;
  const AttentionInputs in = MakeAttentionInputs(s, kBF16, 9);
  const AttentionValues a = RunAttention(*ctx, s, kBF16, in);
  const AttentionGradients g = RunAttentionGrad(*ctx, s, kBF16, in);
  const AttentionValues again = RunAttention(*ctx, s, kBF16, in);
  EXPECT_EQ(again.o, a.o);
  EXPECT_EQ(again.lse, a.lse);
  const AttentionGradients g_again = RunAttentionGrad(*ctx, s, kBF16, in);
  EXPECT_EQ(g_again.dq, g.dq);
  EXPECT_EQ(g_again.dk, g.dk);
  EXPECT_EQ(g_again.dv, g.dv);
  AttentionShape last = s;
  last.batch = 1;
  AttentionInputs row;
  row.q = Segment(in.q, 1, 3, 2, 3);
  row.k = Segment(in.k, 1, 3, 2, 3);
  row.v = Segment(in.v, 1, 3, 2, 3);
  EXPECT_EQ(RunAttention(*ctx, last, kBF16, row).o, Segment(a.o, 1, 3, 2, 3));
}

TEST(AttentionCuda, WrongTwinsAreRejected) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  AttentionShape s;
  s.queries = s.keys = 300;
  s.dim = 64;
  s.scale = 0.125;
  s.window = 100;
  const AttentionInputs in = MakeAttentionInputs(s, kBF16, 10);
  const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
  const AttentionValues plain = PlainAttention(s, kBF16, in);
  AttentionShape wide = s;
  wide.window = 101;
  EXPECT_FALSE(MeetsContract(RunAttention(*ctx, wide, kBF16, in).o, plain.o,
                             exact.o, kBF16));
  const AttentionGradients g_exact =
      AttentionGradReference(s, in.q, in.k, in.v, in.dout);
  const AttentionGradients g_plain = PlainAttentionGrad(s, kBF16, in);
  const AttentionGradients g = RunAttentionGrad(*ctx, wide, kBF16, in);
  EXPECT_FALSE(MeetsContract(g.dq, g_plain.dq, g_exact.dq, kBF16));
  EXPECT_FALSE(MeetsContract(g.dk, g_plain.dk, g_exact.dk, kBF16));
  EXPECT_FALSE(MeetsContract(g.dv, g_plain.dv, g_exact.dv, kBF16));
}

TEST(AttentionCuda, EmptyInputsGiveEmptyOrZeroResults) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  for (const auto& [batch, queries, keys] :
       {std::tuple<int64_t, int64_t, int64_t>{0, 3, 3}, {2, 0, 0}, {2, 0, 5}}) {
    AttentionShape s;
    s.batch = batch;
    s.queries = queries;
    s.keys = keys;
    s.heads = s.kv_heads = 2;
    s.dim = 8;
    const AttentionInputs in = MakeAttentionInputs(s, kBF16, 11);
    EXPECT_TRUE(RunAttention(*ctx, s, kBF16, in).o.empty());
    const AttentionGradients g = RunAttentionGrad(*ctx, s, kBF16, in);
    EXPECT_TRUE(g.dq.empty());
    EXPECT_EQ(g.dk, std::vector<double>(s.k_numel(), 0.0));
    EXPECT_EQ(g.dv, std::vector<double>(s.k_numel(), 0.0));
  }
}

TEST(AttentionCuda, ForwardInF32MeetsTheContract) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  constexpr DType kF32 = DType::kF32;
  lt2::testing::ContractPool pool;
  for (const AttentionShape& s : EdgeShapes({8, 40, 64, 128})) {
    const AttentionInputs in = MakeAttentionInputs(s, kF32, 12, 2.0);
    const AttentionValues exact = AttentionReference(s, in.q, in.k, in.v);
    const AttentionValues plain = PlainAttention(s, kF32, in);
    const AttentionValues actual = RunAttention(*ctx, s, kF32, in);
    const std::string label = absl::StrCat(s.queries, " of ", s.keys);
    pool.Add("o", label, kF32, actual.o, plain.o, exact.o);
    pool.Add("lse", label, kF32, actual.lse, plain.lse, exact.lse);
  }
  pool.Check();
}

TEST(AttentionCuda, RejectsGradientsInF32AndOddHeadDimensions) {
  LT2_SKIP_WITHOUT_CUDA();
  auto ctx = CudaContext();
  const Tensor f32 = *ctx->Zeros(DType::kF32, {1, 2, 1, 64});
  const AttentionGradArgs args{
      {f32, f32, f32, 1.0f}, f32, *ctx->Zeros(DType::kF32, {1, 1, 2}), f32};
  AttentionGradResults grads;
  absl::Status status = AttentionGrad(*ctx, args, &grads);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("needs bf16"), std::string::npos) << status;
  AttentionResults results;
  for (int64_t dim : {12, 136}) {
    const Tensor x = *ctx->Zeros(kBF16, {1, 2, 1, dim});
    status = Attention(*ctx, {x, x, x, 1.0f}, &results);
    EXPECT_NE(status.message().find("multiple of 8 up to 128"),
              std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace lt2::kernels
