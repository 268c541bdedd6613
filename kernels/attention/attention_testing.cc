#include "kernels/attention/attention_testing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "kernels/core/testing.h"

namespace lt2::kernels {
namespace {

using lt2::testing::MeetsContract;
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

AttentionArgs MakeArgs(Context& ctx, const AttentionShape& s, DType dtype,
                       const AttentionInputs& in) {
  const Shape kv{s.batch, s.keys, s.kv_heads, s.dim};
  AttentionArgs args;
  args.q = ToTensor(ctx, dtype, {s.batch, s.queries, s.heads, s.dim}, in.q);
  args.k = ToTensor(ctx, dtype, kv, in.k);
  args.v = ToTensor(ctx, dtype, kv, in.v);
  args.scale = static_cast<float>(s.scale);
  args.window = s.window;
  return args;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const AttentionShape& s) {
  return out << "batch " << s.batch << " queries " << s.queries << " keys "
             << s.keys << " heads " << s.heads << "/" << s.kv_heads << " dim "
             << s.dim << " scale " << s.scale << " window " << s.window;
}

AttentionInputs MakeAttentionInputs(const AttentionShape& shape, DType dtype,
                                    uint64_t seed, double magnitude) {
  AttentionInputs in;
  in.q =
      Rounded(dtype, Uniform(4 * seed, shape.q_numel(), -magnitude, magnitude));
  in.k = Rounded(dtype,
                 Uniform(4 * seed + 1, shape.k_numel(), -magnitude, magnitude));
  in.v = Rounded(dtype, Uniform(4 * seed + 2, shape.k_numel()));
  in.dout = Rounded(dtype, Uniform(4 * seed + 3, shape.q_numel()));
  return in;
}

AttentionInputs ExtremeInputs(DType dtype, AttentionShape* shape) {
  *shape = AttentionShape();
  shape->queries = shape->keys = 140;
  shape->heads = shape->kv_heads = 4;
  shape->dim = 32;
  AttentionInputs in = MakeAttentionInputs(*shape, dtype, 7);
  for (size_t row = 0; row < in.q.size() / 32; ++row) {
    in.q[row * 32] = 100;
    in.k[row * 32] = row / 4 % 2 == 0 ? 100 : -100;
  }
  return in;
}

AttentionValues PlainAttention(const AttentionShape& shape, DType dtype,
                               const AttentionInputs& in) {
  const std::vector<float> q = Floats(in.q), k = Floats(in.k), v = Floats(in.v);
  const float scale = static_cast<float>(shape.scale);
  AttentionValues result;
  result.o.resize(shape.q_numel());
  result.lse.resize(shape.batch * shape.heads * shape.queries);
  std::vector<float> p, o(shape.dim);
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < shape.queries; ++i) {
        const int64_t row = shape.QueryRow(b, i, h);
        const int64_t begin = shape.Begin(i), end = shape.End(i);
        p.resize(end - begin);
        float max = -std::numeric_limits<float>::infinity(), sum = 0;
        for (int64_t s = begin; s < end; ++s) {
          p[s - begin] =
              scale * Dot(&q[row], &k[shape.KeyRow(b, s, h)], shape.dim);
          max = std::max(max, p[s - begin]);
        }
        for (float& x : p) sum += x = std::exp(x - max);
        std::fill(o.begin(), o.end(), 0.0f);
        for (int64_t s = begin; s < end; ++s) {
          const float weight = Round(dtype, p[s - begin] / sum);
          const float* value = &v[shape.KeyRow(b, s, h)];
          for (int64_t d = 0; d < shape.dim; ++d) o[d] += weight * value[d];
        }
        for (int64_t d = 0; d < shape.dim; ++d) {
          result.o[row + d] = Round(dtype, o[d]);
        }
        result.lse[shape.LseIndex(b, i, h)] = max + std::log(sum);
      }
    }
  }
  return result;
}

AttentionGradients PlainAttentionGrad(const AttentionShape& shape, DType dtype,
                                      const AttentionInputs& in) {
  const AttentionValues forward = PlainAttention(shape, dtype, in);
  const std::vector<float> q = Floats(in.q), k = Floats(in.k), v = Floats(in.v);
  const std::vector<float> dout = Floats(in.dout), o = Floats(forward.o);
  const float scale = static_cast<float>(shape.scale);
  std::vector<float> dq(q.size()), dk(k.size()), dv(v.size());
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.heads; ++h) {
      for (int64_t i = 0; i < shape.queries; ++i) {
        const int64_t row = shape.QueryRow(b, i, h);
        const float lse =
            static_cast<float>(forward.lse[shape.LseIndex(b, i, h)]);
        const float delta = Dot(&o[row], &dout[row], shape.dim);
        for (int64_t s = shape.Begin(i); s < shape.End(i); ++s) {
          const int64_t key = shape.KeyRow(b, s, h);
          const float p =
              std::exp(scale * Dot(&q[row], &k[key], shape.dim) - lse);
          const float dp = Dot(&dout[row], &v[key], shape.dim);
          const float weight = Round(dtype, p);
          const float ds = Round(dtype, p * (dp - delta));
          for (int64_t d = 0; d < shape.dim; ++d) {
            dv[key + d] += weight * dout[row + d];
            dq[row + d] += ds * k[key + d];
            dk[key + d] += ds * q[row + d];
          }
        }
      }
    }
  }
  AttentionGradients result;
  for (float x : dq) result.dq.push_back(Round(dtype, scale * x));
  for (float x : dk) result.dk.push_back(Round(dtype, scale * x));
  for (float x : dv) result.dv.push_back(Round(dtype, x));
  return result;
}

AttentionValues RunAttention(Context& ctx, const AttentionShape& shape,
                             DType dtype, const AttentionInputs& in) {
  AttentionResults results;
  LT2_CHECK_OK(Attention(ctx, MakeArgs(ctx, shape, dtype, in), &results));
  return {ToDoubles(ctx, results.o), ToDoubles(ctx, results.lse)};
}

AttentionGradients RunAttentionGrad(Context& ctx, const AttentionShape& shape,
                                    DType dtype, const AttentionInputs& in) {
  AttentionGradArgs args;
  args.forward = MakeArgs(ctx, shape, dtype, in);
  AttentionResults results;
  LT2_CHECK_OK(Attention(ctx, args.forward, &results));
  args.o = results.o;
  args.lse = results.lse;
  args.dout = ToTensor(ctx, dtype, args.o.shape(), in.dout);
  AttentionGradResults grads;
  LT2_CHECK_OK(AttentionGrad(ctx, args, &grads));
  return {ToDoubles(ctx, grads.dq), ToDoubles(ctx, grads.dk),
          ToDoubles(ctx, grads.dv)};
}

std::vector<double> RunDecode(Context& ctx, const AttentionShape& shape,
                              DType dtype, const AttentionInputs& in,
                              const std::vector<int32_t>& lengths) {
  const AttentionArgs inputs = MakeArgs(ctx, shape, dtype, in);
  AttentionDecodeArgs args;
  args.q = inputs.q;
  args.k_cache = inputs.k;
  args.v_cache = inputs.v;
  args.scale = inputs.scale;
  args.lengths = ToTensor(ctx, DType::kI32, {shape.batch},
                          std::vector<double>(lengths.begin(), lengths.end()));
  Tensor o;
  LT2_CHECK_OK(AttentionDecode(ctx, args, &o));
  return ToDoubles(ctx, o);
}

std::vector<double> Segment(const std::vector<double>& x, int64_t batch,
                            int64_t n, int64_t begin, int64_t end) {
  const int64_t row = static_cast<int64_t>(x.size()) / (batch * n);
  std::vector<double> result;
  for (int64_t b = 0; b < batch; ++b) {
    result.insert(result.end(), x.begin() + (b * n + begin) * row,
                  x.begin() + (b * n + end) * row);
  }
  return result;
}

void ExpectSegmentsMatchWhole(Context& ctx, const AttentionShape& whole,
                              DType dtype, const AttentionInputs& in,
                              const std::vector<int64_t>& cuts) {
  const auto exact = AttentionReference(whole, in.q, in.k, in.v).o;
  const auto plain = PlainAttention(whole, dtype, in).o;
  for (size_t c = 0; c + 1 < cuts.size(); ++c) {
    const int64_t begin = cuts[c], end = cuts[c + 1];
    auto rows = [&](const std::vector<double>& x, int64_t from) {
      return Segment(x, whole.batch, whole.keys, from, end);
    };
    AttentionShape part = whole;
    part.queries = end - begin;
    part.keys = end;
    AttentionInputs piece;
    piece.q = rows(in.q, begin);
    piece.k = rows(in.k, 0);
    piece.v = rows(in.v, 0);
    EXPECT_TRUE(MeetsContract(RunAttention(ctx, part, dtype, piece).o,
                              rows(plain, begin), rows(exact, begin), dtype))
        << part;
  }
}

void ExpectRingDecodingEqualsWindow(Context& ctx, DType dtype, uint64_t seed) {
  AttentionShape whole;
  whole.batch = 2;
  whole.queries = whole.keys = 60;
  whole.heads = 4;
  whole.kv_heads = 2;
  whole.dim = 8;
  whole.scale = 0.35;
  whole.window = 13;
  const AttentionInputs in = MakeAttentionInputs(whole, dtype, seed);
  const auto exact = AttentionReference(whole, in.q, in.k, in.v).o;
  const auto plain = PlainAttention(whole, dtype, in).o;
  Tensor k_cache = *ctx.Empty(dtype, {2, 13, 2, 8});
  Tensor v_cache = *ctx.Empty(dtype, {2, 13, 2, 8});
  Tensor lengths = *ctx.Zeros(DType::kI32, {2});
  auto part = [&](const std::vector<double>& x, int64_t heads, int64_t begin,
                  int64_t end) {
    return ToTensor(ctx, dtype, {2, end - begin, heads, 8},
                    Segment(x, 2, 60, begin, end));
  };
  for (int64_t t = 0; t < 60;) {
    const int64_t n = t == 0 ? 5 : 1;
    const CacheAppendArgs append{part(in.k, 2, t, t + n),
                                 part(in.v, 2, t, t + n), lengths};
    ASSERT_TRUE(CacheAppend(ctx, append, &k_cache, &v_cache).ok());
    ASSERT_TRUE(AdvanceLengths(ctx, n, &lengths).ok());
    t += n;
    Tensor o;
    const AttentionDecodeArgs decode{part(in.q, 4, t - 1, t), k_cache, v_cache,
                                     lengths, 0.35f};
    ASSERT_TRUE(AttentionDecode(ctx, decode, &o).ok());
    EXPECT_TRUE(MeetsContract(ToDoubles(ctx, o),
                              Segment(plain, 2, 60, t - 1, t),
                              Segment(exact, 2, 60, t - 1, t), dtype))
        << Name(dtype) << " " << t;
  }
  EXPECT_EQ(ToDoubles(ctx, lengths), std::vector<double>({60, 60}));
}

std::vector<AttentionShape> EdgeShapes(const std::vector<int64_t>& dims) {
  struct Extent {
    int64_t batch, queries, keys, heads, kv_heads, window;
  };
  const Extent extents[] = {
      {1, 1, 1, 1, 1, 0},      {2, 1, 67, 2, 1, 0},
      {1, 2, 2, 1, 1, 1},      {1, 63, 63, 1, 1, 0},
      {1, 64, 64, 2, 2, 0},    {2, 65, 65, 2, 1, 0},
      {1, 127, 127, 1, 1, 33}, {1, 128, 128, 1, 1, 0},
      {1, 129, 129, 3, 1, 0},  {1, 37, 200, 2, 1, 0},
      {1, 37, 200, 4, 2, 50},  {1, 131, 259, 1, 1, 64},
      {1, 193, 193, 1, 1, 1},  {1, 193, 193, 1, 1, 17},
      {1, 97, 97, 2, 2, 97},   {1, 97, 97, 2, 2, 500},
      {1, 200, 200, 2, 1, 63}, {1, 200, 263, 1, 1, 129},
  };
  std::vector<AttentionShape> shapes;
  for (int64_t dim : dims) {
    for (const Extent& e : extents) {
      AttentionShape shape;
      shape.batch = e.batch;
      shape.queries = e.queries;
      shape.keys = e.keys;
      shape.heads = e.heads;
      shape.kv_heads = e.kv_heads;
      shape.dim = dim;
      shape.scale = 1 / std::sqrt(static_cast<double>(dim));
      shape.window = e.window;
      shapes.push_back(shape);
    }
  }
  return shapes;
}

}  // namespace lt2::kernels
