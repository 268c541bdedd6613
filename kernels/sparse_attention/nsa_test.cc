// The three branches of NSA composed of this folder's operators, against its
// definition written out with masks over all pairs of tokens.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "gtest/gtest.h"
#include "kernels/attention/attention.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/list_attention_testing.h"
#include "kernels/sparse_attention/selected_attention.h"

namespace lt2::kernels {
namespace {

using lt2::testing::CpuContext;
using lt2::testing::FiniteDifferences;
using lt2::testing::Near;
using lt2::testing::Rounded;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;
using lt2::testing::Uniform;

constexpr DType kF32 = DType::kF32;

// One key head, as LT2 uses NSA.
struct Nsa {
  int64_t batch = 2, tokens = 23, heads = 16, dim = 4;
  int64_t block = 4, top_n = 4, window = 5;
  double scale = 0.5;
};

struct Values {
  std::vector<double> q, k, v;
};

Values MakeValues(const Nsa& n, uint64_t seed) {
  const int64_t rows = n.batch * n.tokens * n.dim;
  return {Rounded(kF32, Uniform(seed, rows * n.heads, -2, 2)),
          Rounded(kF32, Uniform(seed + 1, rows, -2, 2)),
          Rounded(kF32, Uniform(seed + 2, rows))};
}

// Gates of the branches, one for each token, head and branch.
std::vector<double> MakeGates(const Nsa& n) {
  return Rounded(kF32, Uniform(9, n.batch * n.tokens * n.heads * 3, 0, 1));
}

// softmax of scores where mask, 0 elsewhere; all 0 if nothing is.
std::vector<double> MaskedSoftmax(const std::vector<double>& scores,
                                  const std::vector<bool>& mask) {
  double sum = 0;
  std::vector<double> p(scores.size(), 0.0);
  for (size_t s = 0; s < p.size(); ++s) {
    if (mask[s]) sum += p[s] = std::exp(scores[s]);
  }
  for (double& x : p) x = sum > 0 ? x / sum : 0;
  return p;
}

// The definition for one row of the batch. Writes the chosen blocks too.
void Literal(const Nsa& n, const double* q, const double* k, const double* v,
             const double* gates, double* o,
             std::vector<std::vector<bool>>* chosen) {
  const int64_t blocks = (n.tokens + n.block - 1) / n.block;
  auto row = [&](const std::vector<double>& p, const double* values,
                 double gate, double* out) {
    for (size_t s = 0; s < p.size(); ++s) {
      for (int64_t d = 0; d < n.dim; ++d) {
        out[d] += gate * p[s] * values[s * n.dim + d];
      }
    }
  };
  auto scores = [&](const double* query, const double* keys, int64_t count) {
    std::vector<double> x(count, 0.0);
    for (int64_t s = 0; s < count; ++s) {
      for (int64_t d = 0; d < n.dim; ++d) {
        x[s] += n.scale * query[d] * keys[s * n.dim + d];
      }
    }
    return x;
  };
  // The last block may be incomplete; no query sees its mean.
  std::vector<double> kc(blocks * n.dim, 0.0), vc(blocks * n.dim, 0.0);
  for (int64_t s = 0; s < n.tokens; ++s) {
    const double size = static_cast<double>(
        std::min(n.block, n.tokens - s / n.block * n.block));
    for (int64_t d = 0; d < n.dim; ++d) {
      kc[s / n.block * n.dim + d] += k[s * n.dim + d] / size;
      vc[s / n.block * n.dim + d] += v[s * n.dim + d] / size;
    }
  }
  for (int64_t t = 0; t < n.tokens; ++t) {
    std::vector<bool> complete(blocks), selected(n.tokens), near(n.tokens);
    for (int64_t c = 0; c < blocks; ++c) {
      complete[c] = (c + 1) * n.block - 1 <= t;
    }
    std::vector<double> score(blocks, 0.0);
    for (int64_t h = 0; h < n.heads; ++h) {
      const double* query = q + (t * n.heads + h) * n.dim;
      const double* gate = gates + (t * n.heads + h) * 3;
      const auto p = MaskedSoftmax(scores(query, kc.data(), blocks), complete);
      row(p, vc.data(), gate[0], o + (t * n.heads + h) * n.dim);
      for (int64_t c = 0; c < blocks; ++c) {
        score[c] += p[c] / static_cast<double>(n.heads);
      }
    }
    const int64_t own = t / n.block;
    for (int64_t c = 0; c < blocks; ++c) {
      if (c == 0 || c == own || c == own - 1) score[c] = 1;
      if (c > own) score[c] = -1;  // in the future
    }
    std::vector<int64_t> order(blocks);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t x, int64_t y) { return score[x] > score[y]; });
    std::vector<bool> choice(blocks);
    for (int64_t j = 0; j < std::min(n.top_n, blocks); ++j) {
      if (order[j] <= own) choice[order[j]] = true;
    }
    chosen->push_back(choice);
    for (int64_t s = 0; s < n.tokens; ++s) {
      selected[s] = choice[s / n.block] && s <= t;
      near[s] = s <= t && s > t - n.window;
    }
    for (int64_t h = 0; h < n.heads; ++h) {
      const double* query = q + (t * n.heads + h) * n.dim;
      const double* gate = gates + (t * n.heads + h) * 3;
      double* out = o + (t * n.heads + h) * n.dim;
      const auto x = scores(query, k, n.tokens);
      row(MaskedSoftmax(x, selected), v, gate[1], out);
      row(MaskedSoftmax(x, near), v, gate[2], out);
    }
  }
}

struct LiteralValues {
  std::vector<double> o;
  std::vector<std::vector<bool>> chosen;  // for every (b, t), by block
};

LiteralValues LiteralNsa(const Nsa& n, const Values& in,
                         const std::vector<double>& gates) {
  LiteralValues result;
  const int64_t row = n.tokens * n.dim;
  result.o.assign(n.batch * row * n.heads, 0.0);
  for (int64_t b = 0; b < n.batch; ++b) {
    Literal(n, &in.q[b * row * n.heads], &in.k[b * row], &in.v[b * row],
            &gates[b * n.tokens * n.heads * 3], &result.o[b * row * n.heads],
            &result.chosen);
  }
  return result;
}

// Forward and backward of the composition.
class Composition {
 public:
  Composition(Context& ctx, const Nsa& n, const Values& in) : ctx_(ctx), n_(n) {
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

  std::vector<double> Output(const std::vector<double>& gates) {
    const auto a = ToDoubles(ctx_, cmp.o), b = ToDoubles(ctx_, slc.o),
               c = ToDoubles(ctx_, swa.o);
    std::vector<double> o(a.size());
    for (size_t i = 0; i < o.size(); ++i) {
      const double* gate = &gates[i / n_.dim * 3];
      o[i] = gate[0] * a[i] + gate[1] * b[i] + gate[2] * c[i];
    }
    return o;
  }

  Values Gradient(const std::vector<double>& gates,
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
    LT2_CHECK_OK(SelectedAttentionGrad(
        ctx_, {selected_, slc.o, slc.lse, scaled(1)}, &s));
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

  CompressedAttentionResults cmp;
  SelectedAttentionResults slc;
  AttentionResults swa;
  Tensor indices;

 private:
  Context& ctx_;
  const Nsa n_;
  Tensor q_, k_, v_, kc_, vc_;
  CompressedAttentionArgs compressed_;
  SelectedAttentionArgs selected_;
  AttentionArgs window_;
};

// f32 sums of at most 23 terms against fp64.
TEST(Nsa, CompositionIsTheDefinition) {
  auto ctx = CpuContext();
  for (int64_t tokens : {1, 3, 4, 5, 23, 48}) {
    Nsa n;
    n.tokens = tokens;
    const Values in = MakeValues(n, 1);
    const auto gates = MakeGates(n);
    Composition composed(*ctx, n, in);
    const LiteralValues literal = LiteralNsa(n, in, gates);
    EXPECT_TRUE(Near(composed.Output(gates), literal.o, 1e-6)) << tokens;
    const auto indices = ToInts(*ctx, composed.indices);
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

// The choice is a constant of the gradient; an infinitesimal step does not
// change it.
TEST(Nsa, GradientOfTheCompositionIsThatOfFiniteDifferences) {
  auto ctx = CpuContext();
  Nsa n;
  n.batch = 1;
  n.tokens = 21;
  n.heads = 2;
  n.dim = 3;
  const Values in = MakeValues(n, 2);
  const auto gates = MakeGates(n);
  const auto dout = Rounded(kF32, Uniform(8, 21 * 2 * 3));
  const Values actual = Composition(*ctx, n, in).Gradient(gates, dout);
  auto differences = [&](std::vector<double> Values::*field) {
    return FiniteDifferences(
        [&](const std::vector<double>& moved) {
          Values x = in;
          x.*field = moved;
          const auto o = LiteralNsa(n, x, gates).o;
          return std::inner_product(o.begin(), o.end(), dout.begin(), 0.0);
        },
        in.*field);
  };
  EXPECT_TRUE(Near(actual.q, differences(&Values::q), 1e-6));
  EXPECT_TRUE(Near(actual.k, differences(&Values::k), 1e-6));
  EXPECT_TRUE(Near(actual.v, differences(&Values::v), 1e-6));
}

// Token by token over caches, with lengths: the same bits as the whole.
TEST(Nsa, DecodingEqualsTheWhole) {
  auto ctx = CpuContext();
  const Nsa n;
  const Values in = MakeValues(n, 3);
  Composition whole(*ctx, n, in);
  const auto cmp = ToDoubles(*ctx, whole.cmp.o);
  const auto slc = ToDoubles(*ctx, whole.slc.o);
  const auto chosen = ToInts(*ctx, whole.indices);
  const float scale = static_cast<float>(n.scale);
  const Shape cache{2, 23, 1, 4}, means{2, 5, 1, 4};
  const Tensor k = ToTensor(*ctx, kF32, cache, in.k);
  const Tensor v = ToTensor(*ctx, kF32, cache, in.v);
  Tensor kc = *ctx->Empty(kF32, means), vc = *ctx->Empty(kF32, means);
  for (int64_t t = 0; t < n.tokens; ++t) {
    const auto length = static_cast<int32_t>(t + 1);
    const Tensor lengths = LengthsTensor(*ctx, {length, length});
    ASSERT_TRUE(BlockMeanAppend(*ctx, {k, lengths, 1, n.block}, &kc).ok());
    ASSERT_TRUE(BlockMeanAppend(*ctx, {v, lengths, 1, n.block}, &vc).ok());
    const Tensor q =
        ToTensor(*ctx, kF32, {2, 1, 16, 4}, Rows(in.q, 2, n.tokens, t, t + 1));
    CompressedAttentionResults compressed;
    ASSERT_TRUE(CompressedAttention(
                    *ctx, {q, kc, vc, lengths, 0, n.block, scale}, &compressed)
                    .ok());
    EXPECT_EQ(ToDoubles(*ctx, compressed.o), Rows(cmp, 2, n.tokens, t, t + 1));
    Tensor indices;
    ASSERT_TRUE(
        SelectBlocks(
            *ctx, {q, kc, compressed.lse, lengths, 0, n.block, n.top_n, scale},
            &indices)
            .ok());
    EXPECT_EQ(ToInts(*ctx, indices), Rows(chosen, 2, n.tokens, t, t + 1));
    SelectedAttentionResults selected;
    ASSERT_TRUE(SelectedAttention(*ctx,
                                  {q, k, v, indices, lengths, n.block, scale},
                                  &selected)
                    .ok());
    EXPECT_EQ(ToDoubles(*ctx, selected.o), Rows(slc, 2, n.tokens, t, t + 1));
  }
}

}  // namespace
}  // namespace lt2::kernels
