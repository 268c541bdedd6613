#include "kernels/linear_attention/chunk_cpu.h"

#include <algorithm>

#include "kernels/core/vector_math.h"
#include "kernels/linear_attention/small_matrix.h"

namespace lt2::kernels {
namespace {

int64_t GateRow(Decay decay, const RecurrenceSizes& n) {
  switch (decay) {
    case Decay::kToken:
      return n.v_heads;
    case Decay::kChannel:
      return n.v_heads * n.d_k;
    default:
      return 0;  // the same for every token
  }
}

int64_t GateStart(Decay decay, const RecurrenceSizes& n, int64_t b, int64_t h) {
  if (decay == Decay::kHead) return h;
  const int64_t width = decay == Decay::kChannel ? n.d_k : 1;
  return (b * n.seq * n.v_heads + h) * width;
}

const float* DataOrNull(const Tensor& t, int64_t offset) {
  return t.defined() ? t.data<float>() + offset : nullptr;
}

// y = a x
void Multiply(int64_t n, float a, const float* __restrict x,
              float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] = a * x[j];
}

// y *= a
void Scale(int64_t n, float a, float* y) {
  for (int64_t j = 0; j < n; ++j) y[j] *= a;
}

// y *= x
void MultiplyBy(int64_t n, const float* __restrict x, float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] *= x[j];
}

// y = a e x
void Multiply(int64_t n, float a, const float* __restrict e,
              const float* __restrict x, float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] = a * e[j] * x[j];
}

}  // namespace

HeadView::HeadView(const RecurrenceArgs& recurrence, const Tensor& output_grad,
                   int64_t b, int64_t h)
    : args(recurrence),
      dout(output_grad),
      sizes(recurrence),
      decay(DecayOf(recurrence.g)),
      qk_row(sizes.heads * sizes.d_k),
      v_row(sizes.v_heads * sizes.d_v),
      beta_row(sizes.v_heads),
      g_row(GateRow(decay, sizes)),
      qk(b * sizes.seq * qk_row + h / sizes.group() * sizes.d_k),
      v(b * sizes.seq * v_row + h * sizes.d_v),
      beta(b * sizes.seq * beta_row + h),
      g(GateStart(decay, sizes, b, h)),
      state((b * sizes.v_heads + h) * sizes.d_k * sizes.d_v) {}

ChunkRows HeadView::Rows(int64_t begin, int64_t end) const {
  return {end - begin,
          args.q.data<float>() + qk + begin * qk_row,
          args.k.data<float>() + qk + begin * qk_row,
          args.v.data<float>() + v + begin * v_row,
          DataOrNull(args.beta, beta + begin * beta_row),
          DataOrNull(args.g, g + begin * g_row),
          DataOrNull(dout, v + begin * v_row)};
}

Chunk::Chunk(const HeadView& view)
    : head(view),
      delta(view.args.beta.defined()),
      channel(view.decay == Decay::kChannel),
      d_k(view.sizes.d_k),
      d_v(view.sizes.d_v),
      scale(view.args.scale),
      capacity_(channel || d_k <= 32 ? 16 : kMaxChunk) {
  const int64_t n = capacity_;
  for (auto* x : {&qe, &kd}) x->resize(n * d_k);
  p.resize(n * n);
  end.resize(d_k);
  vn.resize(n * d_v);
  if (delta) {
    ke.resize(n * d_k);
    a.resize(n * n);
    rest.resize(n * d_v);
  }
  if (channel) {
    for (auto* x : {&alpha, &product}) x->resize(n * d_k);
  } else {
    for (auto* x : {&from_start, &to_end}) x->resize(n);
    lm.resize(n * n);
    key_t_.resize(n * d_k);
  }
}

void Chunk::Prepare(const ChunkRows& c, bool queries) {
  if (channel) {
    PrepareChannel(c, queries);
  } else {
    PrepareScalar(c, queries);
  }
}

// The decay comes out of the sums over channels: P = (scale Q K') . Lm.
void Chunk::PrepareScalar(const ChunkRows& c, bool queries) {
  double total[kMaxChunk];
  double sum = 0;  // f64: differences of long sums of decays must stay exact
  for (int64_t i = 0; i < c.n; ++i) {
    sum += c.g == nullptr ? 0.0 : c.g[i * head.g_row];
    total[i] = sum;
  }
  for (int64_t i = 0; i < c.n; ++i) {
    from_start[i] = Exp(static_cast<float>(total[i]));
    to_end[i] = Exp(static_cast<float>(sum - total[i]));
    // Whole rows make SIMD loops; pairs j > i are then cleared.
    float* row = &lm[i * c.n];
    for (int64_t j = 0; j < c.n; ++j) {
      row[j] = Exp(static_cast<float>(std::min(total[i] - total[j], 0.0)));
    }
    std::fill(row + i + 1, row + c.n, 0.0f);
  }
  std::fill(end.begin(), end.end(), from_start[c.n - 1]);

  // result = (factor x K') . Lm
  const auto scores = [&](const float* x, float factor, float* result) {
    std::fill_n(result, c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_k, x, head.qk_row, 1, key_t_.data(), c.n, result, c.n);
    for (int64_t i = 0; i < c.n * c.n; ++i) result[i] *= factor * lm[i];
  };
  if (queries || delta) Transpose(c.n, d_k, c.k, head.qk_row, key_t_.data());
  if (queries) scores(c.q, scale, p.data());
  if (delta) {
    scores(c.k, 1.0f, a.data());
    for (int64_t i = 0; i < c.n; ++i) a[i * c.n + i] = 0;
  }
  for (int64_t i = 0; i < c.n; ++i) {
    const float *q = c.q + i * head.qk_row, *k = c.k + i * head.qk_row;
    const float e = from_start[i], d = to_end[i];
    Multiply(d_k, d, k, &kd[i * d_k]);
    if (queries) Multiply(d_k, scale * e, q, &qe[i * d_k]);
    if (delta) Multiply(d_k, e, k, &ke[i * d_k]);
  }
}

// A key's decay from its own token j on is the product of the factors e^{g} of
// the tokens that follow: one multiplication per token and channel, no factor
// above 1, and at the chunk's end it has become the row of Kd.
void Chunk::PrepareChannel(const ChunkRows& c, bool queries) {
  std::fill(end.begin(), end.end(), 1.0f);
  for (int64_t i = 0; i < c.n; ++i) {
    const float* g = c.g + i * head.g_row;
    const float *q = c.q + i * head.qk_row, *k = c.k + i * head.qk_row;
    float *f = &alpha[i * d_k], *e = &product[i * d_k];
    for (int64_t j = 0; j < d_k; ++j) f[j] = Exp(g[j]);
    MultiplyBy(d_k, f, end.data());
    std::copy_n(end.begin(), d_k, e);
    if (queries) Multiply(d_k, scale, e, q, &qe[i * d_k]);
    if (delta) Multiply(d_k, 1.0f, e, k, &ke[i * d_k]);
  }
  std::fill_n(p.begin(), c.n * c.n, 0.0f);
  std::fill_n(a.begin(), delta ? c.n * c.n : 0, 0.0f);
  for (int64_t j = 0; j < c.n; ++j) {
    float* w = &kd[j * d_k];
    std::copy_n(c.k + j * head.qk_row, d_k, w);
    for (int64_t i = j; i < c.n; ++i) {
      if (i > j) MultiplyBy(d_k, &alpha[i * d_k], w);
      if (queries) {
        p[i * c.n + j] = scale * Dot(d_k, c.q + i * head.qk_row, w);
      }
      if (delta && i > j) a[i * c.n + j] = Dot(d_k, c.k + i * head.qk_row, w);
    }
  }
}

void Chunk::Correct(const ChunkRows& c, const float* state_before) {
  if (!delta) {
    for (int64_t i = 0; i < c.n; ++i) {
      std::copy_n(c.v + i * head.v_row, d_v, &vn[i * d_v]);
    }
    return;
  }
  std::fill_n(vn.begin(), c.n * d_v, 0.0f);
  MulAdd(c.n, d_v, d_k, ke.data(), d_k, 1, state_before, d_v, vn.data(), d_v);
  for (int64_t i = 0; i < c.n; ++i) {
    const float beta = c.beta[i * head.beta_row];
    const float* __restrict v = c.v + i * head.v_row;
    float* __restrict r = &rest[i * d_v];
    float* __restrict u = &vn[i * d_v];
    for (int64_t j = 0; j < d_v; ++j) {
      r[j] = v[j] - u[j];
      u[j] = beta * r[j];
    }
    for (int64_t j = 0; j < i; ++j) {
      Axpy(d_v, -beta * a[i * c.n + j], &vn[j * d_v], u);
    }
  }
}

void Chunk::ReadOut(const ChunkRows& c, const float* state_before,
                    float* o) const {
  for (int64_t i = 0; i < c.n; ++i) std::fill_n(o + i * head.v_row, d_v, 0.0f);
  MulAdd(c.n, d_v, d_k, qe.data(), d_k, 1, state_before, d_v, o, head.v_row);
  MulAdd(c.n, d_v, c.n, p.data(), c.n, 1, vn.data(), d_v, o, head.v_row);
}

void Chunk::Advance(const ChunkRows& c, float* state_io) const {
  for (int64_t i = 0; i < d_k; ++i) {
    Scale(d_v, end[i], state_io + i * d_v);
  }
  MulAdd(d_k, d_v, c.n, kd.data(), 1, d_k, vn.data(), d_v, state_io, d_v);
}

}  // namespace lt2::kernels
