#include "kernels/sparse_attention/list_attention_testing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_join.h"
#include "kernels/core/philox.h"
#include "kernels/core/testing.h"
#include "kernels/sparse_attention/block_compress.h"
#include "kernels/sparse_attention/selected_attention.h"

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

std::vector<int32_t> RandomIndices(const ListCase& c, uint64_t seed) {
  const ListAttentionShape& s = c.shape;
  const int64_t blocks = (s.keys + c.block_size - 1) / c.block_size;
  Philox rng(seed, 1);
  std::vector<int32_t> order(blocks), result;
  for (int64_t row = 0; row < s.batch * s.queries * c.index_heads; ++row) {
    for (int64_t i = 0; i < blocks; ++i) order[i] = static_cast<int32_t>(i);
    for (int64_t j = 0; j < c.selected; ++j) {
      if (j >= blocks || rng.Next() % 5 == 0) {
        result.push_back(-1);
        continue;
      }
      std::swap(order[j], order[j + rng.Next() % (blocks - j)]);
      result.push_back(order[j]);
    }
  }
  return result;
}

SelectedAttentionArgs SelectedArgs(Context& ctx, const ListCase& c, DType dtype,
                                   const ListInputs& in) {
  const ListAttentionShape& s = c.shape;
  SelectedAttentionArgs args;
  args.q = ToTensor(ctx, dtype, {s.batch, s.queries, s.heads, s.dim}, in.q);
  args.k = ToTensor(ctx, dtype, {s.batch, s.keys, s.kv_heads, s.dim}, in.k);
  args.v =
      ToTensor(ctx, dtype, {s.batch, s.keys, s.kv_heads, s.value_dim}, in.v);
  args.indices = IndexTensor(
      ctx, {s.batch, s.queries, c.index_heads, c.selected}, in.indices);
  args.lengths = LengthsTensor(ctx, c.lengths);
  args.block_size = c.block_size;
  args.scale = static_cast<float>(s.scale);
  return args;
}

CompressedAttentionArgs CompressedArgs(Context& ctx, const ListCase& c,
                                       DType dtype, const ListInputs& in) {
  const ListAttentionShape& s = c.shape;
  CompressedAttentionArgs args;
  args.q = ToTensor(ctx, dtype, {s.batch, s.queries, s.heads, s.dim}, in.q);
  args.kc = ToTensor(ctx, dtype, {s.batch, s.keys, s.kv_heads, s.dim}, in.k);
  args.vc =
      ToTensor(ctx, dtype, {s.batch, s.keys, s.kv_heads, s.value_dim}, in.v);
  args.lengths = LengthsTensor(ctx, c.lengths);
  args.tokens = c.lengths.empty() ? c.tokens : 0;
  args.block_size = c.block_size;
  args.scale = static_cast<float>(s.scale);
  return args;
}

}  // namespace

Tensor LengthsTensor(Context& ctx, const std::vector<int32_t>& lengths) {
  if (lengths.empty()) return Tensor();
  return IndexTensor(ctx, {static_cast<int64_t>(lengths.size())}, lengths);
}

Tensor IndexTensor(Context& ctx, const Shape& shape,
                   const std::vector<int32_t>& indices) {
  return ToTensor(ctx, DType::kI32, shape,
                  std::vector<double>(indices.begin(), indices.end()));
}

std::vector<int32_t> ToInts(Context& ctx, const Tensor& t) {
  const std::vector<double> values = ToDoubles(ctx, t);
  return std::vector<int32_t>(values.begin(), values.end());
}

std::string ListCase::ToString() const {
  return absl::StrCat(
      kind == kSelected ? "selected" : "compressed", " batch ", shape.batch,
      " queries ", shape.queries, " keys ", shape.keys, " heads ", shape.heads,
      "/", shape.kv_heads, " dims ", shape.dim, ",", shape.value_dim, " block ",
      block_size, " index_heads ", index_heads, " n ", selected, " tokens ",
      tokens, " lengths [", absl::StrJoin(lengths, ","), "]");
}

ListCase SelectedCase(const ListAttentionShape& shape, int64_t block_size,
                      int64_t index_heads, int64_t selected,
                      const std::vector<int32_t>& lengths) {
  ListCase c;
  c.shape = shape;
  c.block_size = block_size;
  c.index_heads = index_heads;
  c.selected = selected;
  c.lengths = lengths;
  return c;
}

ListCase CompressedCase(ListAttentionShape shape, int64_t tokens,
                        int64_t block_size,
                        const std::vector<int32_t>& lengths) {
  shape.keys = tokens / block_size;
  ListCase c;
  c.kind = ListCase::kCompressed;
  c.shape = shape;
  c.block_size = block_size;
  c.tokens = tokens;
  c.lengths = lengths;
  return c;
}

ListInputs MakeListInputs(const ListCase& c, DType dtype, uint64_t seed,
                          double magnitude) {
  const ListAttentionShape& s = c.shape;
  ListInputs in;
  in.q = Rounded(dtype, Uniform(4 * seed, s.q_numel(), -magnitude, magnitude));
  in.k =
      Rounded(dtype, Uniform(4 * seed + 1, s.k_numel(), -magnitude, magnitude));
  in.v = Rounded(dtype, Uniform(4 * seed + 2, s.v_numel()));
  in.dout = Rounded(dtype, Uniform(4 * seed + 3, s.o_numel()));
  if (c.kind == ListCase::kSelected) in.indices = RandomIndices(c, seed);
  return in;
}

RowLists ListsOf(const ListCase& c, const ListInputs& in) {
  if (c.kind == ListCase::kCompressed) {
    return CompressedLists(c.shape, c.tokens, c.block_size, c.lengths);
  }
  return SelectedLists(c.shape, in.indices, c.index_heads, c.block_size,
                       c.lengths);
}

ListAttentionValues PlainListAttention(const ListCase& c, DType dtype,
                                       const ListInputs& in) {
  const ListAttentionShape& s = c.shape;
  const RowLists lists = ListsOf(c, in);
  const std::vector<float> q = Floats(in.q), k = Floats(in.k), v = Floats(in.v);
  const float scale = static_cast<float>(s.scale);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  ListAttentionValues result;
  result.o.assign(s.o_numel(), 0.0);
  result.lse.assign(s.lse_numel(), -kInfinity);
  std::vector<float> p, o(s.value_dim);
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t i = 0; i < s.queries; ++i) {
        const std::vector<int64_t>& list = ListOf(s, lists, b, i, h);
        if (list.empty()) continue;
        p.resize(list.size());
        float max = -kInfinity, sum = 0;
        for (size_t j = 0; j < list.size(); ++j) {
          p[j] = scale * Dot(&q[s.QueryRow(b, i, h)],
                             &k[s.KeyRow(b, list[j], h)], s.dim);
          max = std::max(max, p[j]);
        }
        for (float& x : p) sum += x = std::exp(x - max);
        std::fill(o.begin(), o.end(), 0.0f);
        for (size_t j = 0; j < list.size(); ++j) {
          const float weight = Round(dtype, p[j] / sum);
          const float* value = &v[s.ValueRow(b, list[j], h)];
          for (int64_t d = 0; d < s.value_dim; ++d) o[d] += weight * value[d];
        }
        for (int64_t d = 0; d < s.value_dim; ++d) {
          result.o[s.OutputRow(b, i, h) + d] = Round(dtype, o[d]);
        }
        result.lse[s.LseIndex(b, i, h)] = max + std::log(sum);
      }
    }
  }
  return result;
}

ListAttentionGradients PlainListAttentionGrad(const ListCase& c, DType dtype,
                                              const ListInputs& in) {
  const ListAttentionShape& s = c.shape;
  const RowLists lists = ListsOf(c, in);
  const ListAttentionValues forward = PlainListAttention(c, dtype, in);
  const std::vector<float> q = Floats(in.q), k = Floats(in.k), v = Floats(in.v);
  const std::vector<float> dout = Floats(in.dout), o = Floats(forward.o);
  const float scale = static_cast<float>(s.scale);
  std::vector<float> dq(q.size()), dk(k.size()), dv(v.size());
  for (int64_t b = 0; b < s.batch; ++b) {
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t i = 0; i < s.queries; ++i) {
        const int64_t row = s.QueryRow(b, i, h), out = s.OutputRow(b, i, h);
        const float lse = static_cast<float>(forward.lse[s.LseIndex(b, i, h)]);
        const float delta = Dot(&o[out], &dout[out], s.value_dim);
        for (int64_t key_row : ListOf(s, lists, b, i, h)) {
          const int64_t key = s.KeyRow(b, key_row, h);
          const int64_t value = s.ValueRow(b, key_row, h);
          const float p = std::exp(scale * Dot(&q[row], &k[key], s.dim) - lse);
          const float dp = Dot(&dout[out], &v[value], s.value_dim);
          const float weight = Round(dtype, p);
          const float ds = Round(dtype, p * (dp - delta));
          for (int64_t d = 0; d < s.value_dim; ++d) {
            dv[value + d] += weight * dout[out + d];
          }
          for (int64_t d = 0; d < s.dim; ++d) {
            dq[row + d] += ds * k[key + d];
            dk[key + d] += ds * q[row + d];
          }
        }
      }
    }
  }
  ListAttentionGradients result;
  for (float x : dq) result.dq.push_back(Round(dtype, scale * x));
  for (float x : dk) result.dk.push_back(Round(dtype, scale * x));
  for (float x : dv) result.dv.push_back(Round(dtype, x));
  return result;
}

ListAttentionValues RunListAttention(Context& ctx, const ListCase& c,
                                     DType dtype, const ListInputs& in) {
  if (c.kind == ListCase::kCompressed) {
    CompressedAttentionResults results;
    LT2_CHECK_OK(
        CompressedAttention(ctx, CompressedArgs(ctx, c, dtype, in), &results));
    return {ToDoubles(ctx, results.o), ToDoubles(ctx, results.lse)};
  }
  SelectedAttentionResults results;
  LT2_CHECK_OK(
      SelectedAttention(ctx, SelectedArgs(ctx, c, dtype, in), &results));
  return {ToDoubles(ctx, results.o), ToDoubles(ctx, results.lse)};
}

ListAttentionGradients RunListAttentionGrad(Context& ctx, const ListCase& c,
                                            DType dtype, const ListInputs& in) {
  if (c.kind == ListCase::kCompressed) {
    CompressedAttentionGradArgs args;
    args.forward = CompressedArgs(ctx, c, dtype, in);
    CompressedAttentionResults results;
    LT2_CHECK_OK(CompressedAttention(ctx, args.forward, &results));
    args.o = results.o;
    args.lse = results.lse;
    args.dout = ToTensor(ctx, dtype, args.o.shape(), in.dout);
    CompressedAttentionGradResults grads;
    LT2_CHECK_OK(CompressedAttentionGrad(ctx, args, &grads));
    return {ToDoubles(ctx, grads.dq), ToDoubles(ctx, grads.dkc),
            ToDoubles(ctx, grads.dvc)};
  }
  SelectedAttentionGradArgs args;
  args.forward = SelectedArgs(ctx, c, dtype, in);
  SelectedAttentionResults results;
  LT2_CHECK_OK(SelectedAttention(ctx, args.forward, &results));
  args.o = results.o;
  args.lse = results.lse;
  args.dout = ToTensor(ctx, dtype, args.o.shape(), in.dout);
  SelectedAttentionGradResults grads;
  LT2_CHECK_OK(SelectedAttentionGrad(ctx, args, &grads));
  return {ToDoubles(ctx, grads.dq), ToDoubles(ctx, grads.dk),
          ToDoubles(ctx, grads.dv)};
}

}  // namespace lt2::kernels
