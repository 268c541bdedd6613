#include "kernels/sparse_attention/indexer_testing.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_join.h"
#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/indexer.h"

namespace lt2::kernels {
namespace {

using lt2::testing::Rounded;
using lt2::testing::ToDoubles;
using lt2::testing::ToTensor;
using lt2::testing::Uniform;

float Round(DType dtype, float x) {
  return dtype == DType::kBF16 ? ToFloat(ToBFloat16(x)) : x;
}

std::vector<float> Floats(const std::vector<double>& x) {
  return std::vector<float>(x.begin(), x.end());
}

float Dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
  for (int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
  return sum;
}

ListAttentionShape TargetShape(const IndexerCase& c) {
  ListAttentionShape s;
  s.batch = c.shape.batch;
  s.queries = c.shape.queries;
  s.keys = c.shape.keys;
  s.heads = c.heads;
  s.kv_heads = c.kv_heads;
  s.dim = s.value_dim = c.dim;
  s.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(c.dim)));
  return s;
}

std::vector<int32_t> RandomSets(const IndexerCase& c, uint64_t seed) {
  const ListCase lists = SelectedCase(TargetShape(c), 1, 1, c.top_k);
  return MakeListInputs(lists, DType::kF32, seed).indices;
}

IndexerArgs MakeArgs(Context& ctx, const IndexerCase& c, DType dtype,
                     const IndexerInputs& in) {
  const IndexerShape& s = c.shape;
  IndexerArgs args;
  args.q =
      ToTensor(ctx, dtype, {s.batch, s.queries, s.heads, s.dim}, in.values.q);
  args.k = ToTensor(ctx, dtype, {s.batch, s.keys, s.dim}, in.values.k);
  if (c.weighted) {
    args.w =
        ToTensor(ctx, DType::kF32, {s.batch, s.queries, s.heads}, in.values.w);
  }
  args.lengths = LengthsTensor(ctx, s.lengths);
  args.scale = static_cast<float>(s.scale);
  args.relu = s.relu;
  return args;
}

// p of the set in float, normalised.
std::vector<float> PlainTarget(const IndexerTarget& target,
                               const std::vector<float>& q,
                               const std::vector<float>& k,
                               const std::vector<int64_t>& set, int64_t b,
                               int64_t t) {
  const ListAttentionShape& s = target.shape;
  std::vector<float> p(set.size());
  float sum = 0;
  for (size_t e = 0; e < set.size(); ++e) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const float x =
          static_cast<float>(s.scale) *
          Dot(&q[s.QueryRow(b, t, h)], &k[s.KeyRow(b, set[e], h)], s.dim);
      p[e] += std::exp(x - static_cast<float>(target.lse[s.LseIndex(b, t, h)]));
    }
    p[e] /= static_cast<float>(s.heads);
    sum += p[e];
  }
  for (float& x : p) x = sum > 0 ? x / sum : 0;
  return p;
}

}  // namespace

std::string IndexerCase::ToString() const {
  return absl::StrCat("batch ", shape.batch, " queries ", shape.queries,
                      " keys ", shape.keys, " heads ", shape.heads, " dim ",
                      shape.dim, " relu ", shape.relu, " weighted ", weighted,
                      " dense ", dense, " top_k ", top_k, " main ", heads, "/",
                      kv_heads, " dim ", dim, " lengths [",
                      absl::StrJoin(shape.lengths, ","), "]");
}

IndexerInputs MakeIndexerInputs(const IndexerCase& c, DType dtype,
                                uint64_t seed) {
  const IndexerShape& s = c.shape;
  IndexerInputs in;
  in.values.q = Rounded(dtype, Uniform(8 * seed, s.q_numel(), -2, 2));
  in.values.k = Rounded(dtype, Uniform(8 * seed + 1, s.k_numel(), -2, 2));
  if (c.weighted) {
    in.values.w =
        Rounded(DType::kF32, Uniform(8 * seed + 2, s.w_numel(), -0.5, 1));
  }
  if (!c.dense) in.indices = RandomSets(c, seed);
  in.target.shape = TargetShape(c);
  const ListAttentionShape& t = in.target.shape;
  in.target.q = Rounded(dtype, Uniform(8 * seed + 3, t.q_numel(), -2, 2));
  in.target.k = Rounded(dtype, Uniform(8 * seed + 4, t.k_numel(), -2, 2));
  RowLists lists;
  for (const auto& set : IndexerSets(s, in.indices, c.dense)) {
    for (int64_t h = 0; h < t.kv_heads; ++h) lists.push_back(set);
  }
  in.target.lse = Rounded(
      DType::kF32,
      ListAttentionReference(t, lists, in.target.q, in.target.k, in.target.k)
          .lse);
  return in;
}

IndexerInputs MakeIntegerInputs(const IndexerCase& c, uint64_t seed) {
  Philox rng(seed, 2);
  auto integers = [&](int64_t n, int low, int count) {
    std::vector<double> values(n);
    for (double& x : values) x = low + static_cast<int>(rng.Next() % count);
    return values;
  };
  IndexerInputs in;
  in.values.q = integers(c.shape.q_numel(), -2, 5);
  in.values.k = integers(c.shape.k_numel(), -2, 5);
  if (c.weighted) in.values.w = integers(c.shape.w_numel(), -1, 4);
  return in;
}

std::vector<std::vector<double>> PlainIndexerScores(const IndexerShape& shape,
                                                    const IndexerValues& in) {
  const std::vector<float> q = Floats(in.q), k = Floats(in.k), w = Floats(in.w);
  std::vector<std::vector<double>> result;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t t = 0; t < shape.queries; ++t) {
      std::vector<double> scores;
      const int64_t position =
          PositionOf(shape.lengths, shape.keys, shape.queries, b, t);
      for (int64_t s = 0; s <= position; ++s) {
        float sum = 0;
        for (int64_t j = 0; j < shape.heads; ++j) {
          const int64_t row = (b * shape.queries + t) * shape.heads + j;
          float x = static_cast<float>(shape.scale) *
                    Dot(&q[row * shape.dim],
                        &k[(b * shape.keys + s) * shape.dim], shape.dim);
          if (shape.relu && x < 0) x = 0;
          sum += (w.empty() ? 1 / static_cast<float>(shape.heads) : w[row]) * x;
        }
        scores.push_back(sum);
      }
      result.push_back(scores);
    }
  }
  return result;
}

IndexerLossValues PlainIndexerLoss(const IndexerCase& c, DType dtype,
                                   const IndexerInputs& in) {
  const IndexerShape& shape = c.shape;
  const RowLists sets = IndexerSets(shape, in.indices, c.dense);
  const auto scores = PlainIndexerScores(shape, in.values);
  const std::vector<float> q = Floats(in.values.q), k = Floats(in.values.k),
                           w = Floats(in.values.w);
  const std::vector<float> tq = Floats(in.target.q), tk = Floats(in.target.k);
  const float scale = static_cast<float>(shape.scale);
  const float rows = static_cast<float>(shape.batch * shape.queries);
  std::vector<float> dq(q.size()), dk(k.size()), dw(w.size());
  float loss = 0;
  for (size_t n = 0; n < sets.size(); ++n) {
    const std::vector<int64_t>& set = sets[n];
    const int64_t b = static_cast<int64_t>(n) / shape.queries;
    const int64_t t = static_cast<int64_t>(n) % shape.queries;
    const std::vector<float> p = PlainTarget(in.target, tq, tk, set, b, t);
    if (std::none_of(p.begin(), p.end(), [](float x) { return x > 0; })) {
      continue;
    }
    float max = -INFINITY, sum = 0, row_loss = 0;
    for (int64_t s : set) max = std::max(max, float(scores[n][s]));
    for (int64_t s : set) sum += std::exp(float(scores[n][s]) - max);
    const float lse = max + std::log(sum);
    for (size_t e = 0; e < set.size(); ++e) {
      const float log_softmax = static_cast<float>(scores[n][set[e]]) - lse;
      if (p[e] > 0) row_loss += p[e] * (std::log(p[e]) - log_softmax);
      const float dscore = (std::exp(log_softmax) - p[e]) / rows;
      for (int64_t j = 0; j < shape.heads; ++j) {
        const int64_t row = static_cast<int64_t>(n) * shape.heads + j;
        const float* key = &k[(b * shape.keys + set[e]) * shape.dim];
        const float x = scale * Dot(&q[row * shape.dim], key, shape.dim);
        if (shape.relu && x <= 0) continue;
        const float weight =
            w.empty() ? 1 / static_cast<float>(shape.heads) : w[row];
        const float coefficient = Round(dtype, dscore * weight * scale);
        for (int64_t d = 0; d < shape.dim; ++d) {
          dq[row * shape.dim + d] += coefficient * key[d];
          dk[(b * shape.keys + set[e]) * shape.dim + d] +=
              coefficient * q[row * shape.dim + d];
        }
        if (!w.empty()) dw[row] += dscore * x;
      }
    }
    loss += row_loss;
  }
  IndexerLossValues result;
  result.loss = loss / rows;
  for (float x : dq) result.dq.push_back(Round(dtype, x));
  for (float x : dk) result.dk.push_back(Round(dtype, x));
  for (float x : dw) result.dw.push_back(x);
  return result;
}

std::vector<int32_t> RunIndexerTopK(Context& ctx, const IndexerCase& c,
                                    DType dtype, const IndexerInputs& in) {
  Tensor indices;
  LT2_CHECK_OK(
      IndexerTopK(ctx, MakeArgs(ctx, c, dtype, in), c.top_k, &indices));
  return ToInts(ctx, indices);
}

IndexerLossValues RunIndexerLoss(Context& ctx, const IndexerCase& c,
                                 DType dtype, const IndexerInputs& in,
                                 double dloss) {
  const IndexerShape& s = c.shape;
  const ListAttentionShape& t = in.target.shape;
  IndexerLossGradArgs args;
  IndexerLossArgs& forward = args.forward;
  forward.indexer = MakeArgs(ctx, c, dtype, in);
  if (!c.dense) {
    forward.indices =
        IndexTensor(ctx, {s.batch, s.queries, 1, c.top_k}, in.indices);
  }
  forward.attention_q =
      ToTensor(ctx, dtype, {t.batch, t.queries, t.heads, t.dim}, in.target.q);
  forward.attention_k =
      ToTensor(ctx, dtype, {t.batch, t.keys, t.kv_heads, t.dim}, in.target.k);
  forward.attention_lse =
      ToTensor(ctx, DType::kF32, {t.batch, t.heads, t.queries}, in.target.lse);
  forward.attention_scale = static_cast<float>(t.scale);
  Tensor loss;
  LT2_CHECK_OK(IndexerLoss(ctx, forward, &loss));
  if (dloss != 1.0) args.dloss = ToTensor(ctx, DType::kF32, {1}, {dloss});
  IndexerLossGradResults grads;
  LT2_CHECK_OK(IndexerLossGrad(ctx, args, &grads));
  IndexerLossValues result;
  result.loss = ToDoubles(ctx, loss)[0];
  result.dq = ToDoubles(ctx, grads.dq);
  result.dk = ToDoubles(ctx, grads.dk);
  if (c.weighted) result.dw = ToDoubles(ctx, grads.dw);
  return result;
}

}  // namespace lt2::kernels
