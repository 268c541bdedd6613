#include "kernels/sparse_attention/nsa_testing.h"

#include "gtest/gtest.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/list_attention_testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::Near;
using lt2::testing::Rounded;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;
using lt2::testing::Uniform;

constexpr DType kF32 = DType::kF32;

}  // namespace

NsaValues MakeNsaValues(const NsaShape& n, uint64_t seed) {
  const int64_t rows = n.batch * n.tokens * n.dim;
  return {Rounded(kF32, Uniform(seed, rows * n.heads, -2, 2)),
          Rounded(kF32, Uniform(seed + 1, rows, -2, 2)),
          Rounded(kF32, Uniform(seed + 2, rows))};
}

std::vector<double> MakeNsaGates(const NsaShape& n) {
  return Rounded(kF32, Uniform(9, n.batch * n.tokens * n.heads * 3, 0, 1));
}

NsaComposition::NsaComposition(Context& ctx, const NsaShape& n,
                               const NsaValues& in)
    : ctx_(ctx), n_(n) {
  q_ = ToTensor(ctx, kF32, {n.batch, n.tokens, n.heads, n.dim}, in.q);
  k_ = ToTensor(ctx, kF32, {n.batch, n.tokens, 1, n.dim}, in.k);
  v_ = ToTensor(ctx, kF32, {n.batch, n.tokens, 1, n.dim}, in.v);
  const float scale = static_cast<float>(n.scale);
  LT2_CHECK_OK(BlockMean(ctx, {k_, n.block}, &kc_));
  LT2_CHECK_OK(BlockMean(ctx, {v_, n.block}, &vc_));
  compressed_ = {q_, kc_, vc_, Tensor(), n.tokens, n.block, scale};
  LT2_CHECK_OK(CompressedAttention(ctx, compressed_, &cmp));
  const SelectBlocksArgs select{q_,       kc_,     cmp.lse, Tensor(),
                                n.tokens, n.block, n.top_n, scale};
  LT2_CHECK_OK(SelectBlocks(ctx, select, &indices));
  selected_ = {q_, k_, v_, indices, Tensor(), n.block, scale};
  LT2_CHECK_OK(SelectedAttention(ctx, selected_, &slc));
  window_ = {q_, k_, v_, scale, n.window};
  LT2_CHECK_OK(Attention(ctx, window_, &swa));
}

std::vector<double> NsaComposition::Output(const std::vector<double>& gates) {
  const auto a = ToDoubles(ctx_, cmp.o), b = ToDoubles(ctx_, slc.o),
             c = ToDoubles(ctx_, swa.o);
  std::vector<double> o(a.size());
  for (size_t i = 0; i < o.size(); ++i) {
    const double* gate = &gates[i / n_.dim * 3];
    o[i] = gate[0] * a[i] + gate[1] * b[i] + gate[2] * c[i];
  }
  return o;
}

NsaValues NsaComposition::Gradient(const std::vector<double>& gates,
                                   const std::vector<double>& dout) {
  auto scaled = [&](int64_t branch) {
    std::vector<double> x = dout;
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] *= gates[i / n_.dim * 3 + branch];
    }
    return ToTensor(ctx_, kF32, q_.shape(), x);
  };
  CompressedAttentionGradResults c;
  SelectedAttentionGradResults s;
  AttentionGradResults w;
  LT2_CHECK_OK(CompressedAttentionGrad(
      ctx_, {compressed_, cmp.o, cmp.lse, scaled(0)}, &c));
  LT2_CHECK_OK(
      SelectedAttentionGrad(ctx_, {selected_, slc.o, slc.lse, scaled(1)}, &s));
  LT2_CHECK_OK(AttentionGrad(ctx_, {window_, swa.o, swa.lse, scaled(2)}, &w));
  Tensor dk, dv;
  LT2_CHECK_OK(BlockMeanGrad(ctx_, {c.dkc, n_.tokens, n_.block}, &dk));
  LT2_CHECK_OK(BlockMeanGrad(ctx_, {c.dvc, n_.tokens, n_.block}, &dv));
  auto sum = [&](const Tensor& x, const Tensor& y, const Tensor& z) {
    std::vector<double> total = ToDoubles(ctx_, x);
    const auto b = ToDoubles(ctx_, y), d = ToDoubles(ctx_, z);
    for (size_t i = 0; i < total.size(); ++i) total[i] += b[i] + d[i];
    return total;
  };
  return {sum(c.dq, s.dq, w.dq), sum(dk, s.dk, w.dk), sum(dv, s.dv, w.dv)};
}

// f32 sums of at most 23 terms against fp64.
void ExpectNsaIsTheDefinition(Context& ctx) {
  for (int64_t tokens : {1, 3, 4, 5, 23, 48}) {
    NsaShape n;
    n.tokens = tokens;
    const NsaValues in = MakeNsaValues(n, 1);
    const auto gates = MakeNsaGates(n);
    NsaComposition composed(ctx, n, in);
    const NsaReferenceValues literal = NsaReference(n, in, gates);
    EXPECT_TRUE(Near(composed.Output(gates), literal.o, 1e-6)) << tokens;
    const auto indices = ToInts(ctx, composed.indices);
    for (size_t query = 0; query < literal.chosen.size(); ++query) {
      std::vector<int32_t> expected;
      for (size_t c = 0; c < literal.chosen[query].size(); ++c) {
        if (literal.chosen[query][c]) {
          expected.push_back(static_cast<int32_t>(c));
        }
      }
      expected.resize(n.top_n, -1);
      EXPECT_EQ(std::vector<int32_t>(indices.begin() + query * n.top_n,
                                     indices.begin() + (query + 1) * n.top_n),
                expected)
          << tokens << " tokens, query " << query;
    }
  }
}

void ExpectNsaDecodingEqualsTheWhole(Context& ctx) {
  const NsaShape n;
  const NsaValues in = MakeNsaValues(n, 3);
  NsaComposition whole(ctx, n, in);
  const auto cmp = ToDoubles(ctx, whole.cmp.o);
  const auto slc = ToDoubles(ctx, whole.slc.o);
  const auto chosen = ToInts(ctx, whole.indices);
  const float scale = static_cast<float>(n.scale);
  const Shape cache{2, 23, 1, 8}, means{2, 5, 1, 8};
  const Tensor k = ToTensor(ctx, kF32, cache, in.k);
  const Tensor v = ToTensor(ctx, kF32, cache, in.v);
  Tensor kc = *ctx.Empty(kF32, means), vc = *ctx.Empty(kF32, means);
  for (int64_t t = 0; t < n.tokens; ++t) {
    const auto length = static_cast<int32_t>(t + 1);
    const Tensor lengths = LengthsTensor(ctx, {length, length});
    ASSERT_TRUE(BlockMeanAppend(ctx, {k, lengths, 1, n.block}, &kc).ok());
    ASSERT_TRUE(BlockMeanAppend(ctx, {v, lengths, 1, n.block}, &vc).ok());
    const Tensor q =
        ToTensor(ctx, kF32, {2, 1, 16, 8}, Rows(in.q, 2, n.tokens, t, t + 1));
    CompressedAttentionResults compressed;
    ASSERT_TRUE(CompressedAttention(
                    ctx, {q, kc, vc, lengths, 0, n.block, scale}, &compressed)
                    .ok());
    EXPECT_TRUE(Near(ToDoubles(ctx, compressed.o),
                     Rows(cmp, 2, n.tokens, t, t + 1), 1e-6));
    Tensor indices;
    ASSERT_TRUE(
        SelectBlocks(
            ctx, {q, kc, compressed.lse, lengths, 0, n.block, n.top_n, scale},
            &indices)
            .ok());
    EXPECT_EQ(ToInts(ctx, indices), Rows(chosen, 2, n.tokens, t, t + 1));
    SelectedAttentionResults selected;
    ASSERT_TRUE(SelectedAttention(
                    ctx, {q, k, v, indices, lengths, n.block, scale}, &selected)
                    .ok());
    EXPECT_TRUE(Near(ToDoubles(ctx, selected.o),
                     Rows(slc, 2, n.tokens, t, t + 1), 1e-6));
  }
}

}  // namespace lt2::kernels
