// CPU: the chunked form in f32 (README.md). One task per batch row and query
// head; the value heads of its group follow one another, so that their sums
// into dq and dk have a fixed order.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kMaxChunk = 32;

// Longer chunks mean longer matrix products, but more work in the [chunk,
// chunk] parts, which pays once the heads are wide.
int64_t ChunkFor(int64_t d_k) { return d_k <= 32 ? 16 : kMaxChunk; }

// c[m, n] += a[m, k] b[k, n]. Element (i, p) of a is a[i * a_row + p * a_col],
// rows of b and c are contiguous. Two rows and four products at a time, so that
// a loaded value of b or c is used more than once.
void MulAdd(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
            int64_t a_col, const float* b, int64_t b_row, float* c,
            int64_t c_row) {
  for (int64_t i = 0; i < m; i += 2) {
    const int64_t next = i + 1 < m ? 1 : 0;
    float spare[256];  // the second row's target where there is none
    const float* a0 = a + i * a_row;
    const float* a1 = a0 + next * a_row;
    for (int64_t begin = 0; begin < n; begin += 256) {
      const int64_t width = std::min<int64_t>(n - begin, 256);
      float* __restrict c0 = c + i * c_row + begin;
      float* __restrict c1 = next ? c0 + c_row : spare;
      if (!next) std::fill_n(spare, width, 0.0f);
      int64_t p = 0;
      for (; p + 4 <= k; p += 4) {
        const float* __restrict b0 = b + p * b_row + begin;
        const float* __restrict b1 = b0 + b_row;
        const float* __restrict b2 = b1 + b_row;
        const float* __restrict b3 = b2 + b_row;
        const float x0 = a0[p * a_col], y0 = a1[p * a_col];
        const float x1 = a0[(p + 1) * a_col], y1 = a1[(p + 1) * a_col];
        const float x2 = a0[(p + 2) * a_col], y2 = a1[(p + 2) * a_col];
        const float x3 = a0[(p + 3) * a_col], y3 = a1[(p + 3) * a_col];
        for (int64_t j = 0; j < width; ++j) {
          float s = std::fma(x0, b0[j], c0[j]);
          float t = std::fma(y0, b0[j], c1[j]);
          s = std::fma(x1, b1[j], s);
          t = std::fma(y1, b1[j], t);
          s = std::fma(x2, b2[j], s);
          t = std::fma(y2, b2[j], t);
          c0[j] = std::fma(x3, b3[j], s);
          c1[j] = std::fma(y3, b3[j], t);
        }
      }
      for (; p < k; ++p) {
        const float* __restrict b0 = b + p * b_row + begin;
        const float x0 = a0[p * a_col], y0 = a1[p * a_col];
        for (int64_t j = 0; j < width; ++j) {
          c0[j] = std::fma(x0, b0[j], c0[j]);
          c1[j] = std::fma(y0, b0[j], c1[j]);
        }
      }
    }
  }
}

// y += a x
void Axpy(int64_t n, float a, const float* __restrict x, float* __restrict y) {
  for (int64_t j = 0; j < n; ++j) y[j] = std::fma(a, x[j], y[j]);
}

float Dot(int64_t n, const float* x, const float* y) {
  float sum[8] = {};
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) {
    for (int l = 0; l < 8; ++l) sum[l] = std::fma(x[j + l], y[j + l], sum[l]);
  }
  for (; j < n; ++j) sum[0] = std::fma(x[j], y[j], sum[0]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
         ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

void Transpose(int64_t rows, int64_t columns, const float* x, int64_t x_row,
               float* y) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * x_row + j];
  }
}

// Rows of one chunk of one value head; null where the tensor is absent.
struct ChunkView {
  int64_t n;  // tokens in the chunk
  const float *q, *k, *v, *beta, *g, *dout;
};

// The tensors of one value head of one batch row.
struct HeadView {
  HeadView(const DeltaRuleArgs& args, const Tensor& dout, int64_t b, int64_t h)
      : sizes(args),
        qk_row(sizes.heads * sizes.d_k),
        v_row(sizes.v_heads * sizes.d_v),
        gate_row(sizes.v_heads),
        qk(b * sizes.seq * qk_row + h / sizes.group() * sizes.d_k),
        v(b * sizes.seq * v_row + h * sizes.d_v),
        gate(b * sizes.seq * gate_row + h),
        state((b * sizes.v_heads + h) * sizes.d_k * sizes.d_v),
        args_(args),
        dout_(dout) {}

  ChunkView Chunk(int64_t begin, int64_t end) const {
    const int64_t x = qk + begin * qk_row, y = v + begin * v_row;
    const int64_t z = gate + begin * gate_row;
    return {end - begin,
            args_.q.data<float>() + x,
            args_.k.data<float>() + x,
            args_.v.data<float>() + y,
            args_.beta.data<float>() + z,
            args_.g.defined() ? args_.g.data<float>() + z : nullptr,
            dout_.defined() ? dout_.data<float>() + y : nullptr};
  }

  const DeltaRuleSizes sizes;
  const int64_t qk_row, v_row, gate_row;  // elements from token to token
  const int64_t qk, v, gate, state;       // first elements

 private:
  const DeltaRuleArgs& args_;
  const Tensor& dout_;
};

// Scratch and the steps that the forward and the backward pass share. Names
// are those of README.md; matrices are [chunk, ..] row-major.
class Workspace {
 public:
  Workspace(const HeadView& head, float query_scale)
      : d_k(head.sizes.d_k),
        d_v(head.sizes.d_v),
        qk_row(head.qk_row),
        v_row(head.v_row),
        gate_row(head.gate_row),
        scale(query_scale),
        key_t(kMaxChunk * d_k),
        kk(kMaxChunk * kMaxChunk),
        lm(kMaxChunk * kMaxChunk),
        qk(kMaxChunk * kMaxChunk),
        rest(kMaxChunk * d_v),
        vn(kMaxChunk * d_v) {}

  // Decays, K K', and Vn = (I + B)^-1 diag(beta) (V - diag(E) K S).
  void Correct(const ChunkView& c, const float* state) {
    double total[kMaxChunk];
    double sum = 0;  // f64: differences of long sums of decays must stay exact
    for (int64_t i = 0; i < c.n; ++i) {
      sum += c.g == nullptr ? 0.0 : c.g[i * gate_row];
      total[i] = sum;
    }
    for (int64_t i = 0; i < c.n; ++i) {
      from_start[i] = std::exp(static_cast<float>(total[i]));
      to_end[i] = std::exp(static_cast<float>(sum - total[i]));
      for (int64_t j = 0; j <= i; ++j) {
        lm[i * c.n + j] = std::exp(static_cast<float>(total[i] - total[j]));
      }
      beta[i] = c.beta[i * gate_row];
    }
    end = from_start[c.n - 1];

    Transpose(c.n, d_k, c.k, qk_row, key_t.data());
    std::fill_n(kk.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_k, c.k, qk_row, 1, key_t.data(), c.n, kk.data(), c.n);

    std::fill_n(vn.begin(), c.n * d_v, 0.0f);
    MulAdd(c.n, d_v, d_k, c.k, qk_row, 1, state, d_v, vn.data(), d_v);
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v; ++j) {
        const float x =
            std::fma(-from_start[i], vn[i * d_v + j], c.v[i * v_row + j]);
        rest[i * d_v + j] = x;
        vn[i * d_v + j] = beta[i] * x;
      }
      for (int64_t j = 0; j < i; ++j) {
        Axpy(d_v, -B(c, i, j), &vn[j * d_v], &vn[i * d_v]);
      }
    }
  }

  float B(const ChunkView& c, int64_t i, int64_t j) const {
    return beta[i] * kk[i * c.n + j] * lm[i * c.n + j];
  }

  // scale * Q K', all of it.
  void Scores(const ChunkView& c) {
    std::fill_n(qk.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_k, c.q, qk_row, 1, key_t.data(), c.n, qk.data(), c.n);
    for (int64_t i = 0; i < c.n * c.n; ++i) qk[i] *= scale;
  }

  // state = e^{G_C} state + (diag(d) K)' Vn. Uses up vn.
  void Advance(const ChunkView& c, float* state) {
    for (int64_t i = 0; i < d_k * d_v; ++i) state[i] *= end;
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v; ++j) vn[i * d_v + j] *= to_end[i];
    }
    MulAdd(d_k, d_v, c.n, c.k, 1, qk_row, vn.data(), d_v, state, d_v);
  }

  const int64_t d_k, d_v, qk_row, v_row, gate_row;
  const float scale;
  // E, d, beta, and E of the last token
  float from_start[kMaxChunk], to_end[kMaxChunk], beta[kMaxChunk], end = 1;
  std::vector<float> key_t, kk, lm, qk, rest, vn;
};

// o = scale diag(E) Q S + (lower(scale Q K') . Lm) Vn
void ReadOut(const ChunkView& c, Workspace& w, const float* state,
             std::vector<float>& p, float* o) {
  w.Scores(c);
  for (int64_t i = 0; i < c.n; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      p[i * c.n + j] = j <= i ? w.qk[i * c.n + j] * w.lm[i * c.n + j] : 0.0f;
    }
  }
  for (int64_t i = 0; i < c.n; ++i) {
    std::fill_n(o + i * w.v_row, w.d_v, 0.0f);
  }
  MulAdd(c.n, w.d_v, w.d_k, c.q, w.qk_row, 1, state, w.d_v, o, w.v_row);
  for (int64_t i = 0; i < c.n; ++i) {
    for (int64_t j = 0; j < w.d_v; ++j) {
      o[i * w.v_row + j] *= w.scale * w.from_start[i];
    }
  }
  MulAdd(c.n, w.d_v, c.n, p.data(), c.n, 1, w.vn.data(), w.d_v, o, w.v_row);
}

void ForwardHead(const DeltaRuleArgs& args, DeltaRuleResults* results,
                 int64_t b, int64_t h) {
  const Tensor none;
  const HeadView head(args, none, b, h);
  const DeltaRuleSizes& n = head.sizes;
  const int64_t chunk = ChunkFor(n.d_k), state_size = n.d_k * n.d_v;
  Workspace w(head, args.scale);
  std::vector<float> state(state_size), p(kMaxChunk * kMaxChunk);
  if (args.initial_state.defined()) {
    std::copy_n(args.initial_state.data<float>() + head.state, state_size,
                state.begin());
  }
  for (int64_t t = 0; t < n.seq; t += chunk) {
    const ChunkView c = head.Chunk(t, std::min(t + chunk, n.seq));
    w.Correct(c, state.data());
    ReadOut(c, w, state.data(), p,
            results->o.data<float>() + head.v + t * head.v_row);
    w.Advance(c, state.data());
  }
  std::copy(state.begin(), state.end(),
            results->final_state.data<float>() + head.state);
}

// The gradient of one value head, chunks in reverse.
class BackwardHead {
 public:
  BackwardHead(const DeltaRuleGradArgs& args, DeltaRuleGradResults* results,
               int64_t b, int64_t h)
      : args_(args),
        results_(results),
        head_(args.forward, args.dout, b, h),
        w_(head_, args.forward.scale),
        d_k_(w_.d_k),
        d_v_(w_.d_v),
        ds_(d_k_ * d_v_),
        transposed_(d_k_ * d_v_),
        dvn_(kMaxChunk * d_v_),
        vn_t_(kMaxChunk * d_v_),
        scaled_(kMaxChunk * d_v_),
        wide_(kMaxChunk * d_k_),
        dq_(kMaxChunk * d_k_),
        dk_(kMaxChunk * d_k_),
        p_(kMaxChunk * kMaxChunk),
        db_(p_),
        z_(p_),
        x_(p_),
        m_(p_) {}

  void Run() {
    const DeltaRuleSizes& n = head_.sizes;
    const DeltaRuleArgs& forward = args_.forward;
    const int64_t chunk = ChunkFor(d_k_), size = d_k_ * d_v_;
    const int64_t chunks = (n.seq + chunk - 1) / chunk;
    std::vector<float> states(chunks * size);  // at the start of each chunk
    if (forward.initial_state.defined()) {
      std::copy_n(forward.initial_state.data<float>() + head_.state, size,
                  states.begin());
    }
    for (int64_t i = 0; i + 1 < chunks; ++i) {
      const ChunkView c = head_.Chunk(i * chunk, (i + 1) * chunk);
      float* next = &states[(i + 1) * size];
      w_.Correct(c, &states[i * size]);
      std::copy_n(&states[i * size], size, next);
      w_.Advance(c, next);
    }
    if (args_.dfinal_state.defined()) {
      std::copy_n(args_.dfinal_state.data<float>() + head_.state, size,
                  ds_.begin());
    }
    for (int64_t i = chunks - 1; i >= 0; --i) {
      const int64_t t = i * chunk;
      Chunk(t, head_.Chunk(t, std::min(t + chunk, n.seq)), &states[i * size]);
    }
    if (forward.initial_state.defined()) {
      std::copy(ds_.begin(), ds_.end(),
                results_->dinitial_state.data<float>() + head_.state);
    }
  }

 private:
  void Chunk(int64_t t, const ChunkView& c, const float* state) {
    w_.Correct(c, state);
    w_.Scores(c);
    Corrections(c);
    Matrices(c);
    KeysAndQueries(c, state);
    Write(t, c);
    StateGradient(c);
  }

  // dvn_ = dR: the gradient of diag(beta) (V - diag(E) K S).
  void Corrections(const ChunkView& c) {
    std::fill_n(dvn_.begin(), c.n * d_v_, 0.0f);
    MulAdd(c.n, d_v_, d_k_, c.k, w_.qk_row, 1, ds_.data(), d_v_, dvn_.data(),
           d_v_);
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v_; ++j) dvn_[i * d_v_ + j] *= w_.to_end[i];
      for (int64_t j = 0; j < c.n; ++j) {
        p_[i * c.n + j] =
            j <= i ? w_.qk[i * c.n + j] * w_.lm[i * c.n + j] : 0.0f;
      }
    }
    MulAdd(c.n, d_v_, c.n, p_.data(), 1, c.n, c.dout, w_.v_row, dvn_.data(),
           d_v_);
    for (int64_t i = c.n - 1; i >= 0; --i) {
      for (int64_t j = i + 1; j < c.n; ++j) {
        Axpy(d_v_, -w_.B(c, j, i), &dvn_[j * d_v_], &dvn_[i * d_v_]);
      }
    }
  }

  // Gradients of the [chunk, chunk] matrices.
  void Matrices(const ChunkView& c) {
    Transpose(c.n, d_v_, w_.vn.data(), d_v_, vn_t_.data());
    std::fill_n(p_.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_v_, c.dout, w_.v_row, 1, vn_t_.data(), c.n, p_.data(),
           c.n);
    std::fill_n(db_.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_v_, dvn_.data(), d_v_, 1, vn_t_.data(), c.n, db_.data(),
           c.n);
    for (int64_t i = 0; i < c.n; ++i) {
      float dbeta = Dot(d_v_, &dvn_[i * d_v_], &w_.rest[i * d_v_]);
      for (int64_t j = 0; j < c.n; ++j) {
        const int64_t e = i * c.n + j;
        if (j > i) {
          z_[e] = x_[e] = m_[e] = 0;
          continue;
        }
        const float dp = p_[e] * w_.lm[e];
        const float db = j < i ? -db_[e] * w_.lm[e] : 0.0f;
        z_[e] = w_.scale * dp;
        x_[e] = w_.beta[i] * db;
        m_[e] = j < i ? dp * w_.qk[e] + x_[e] * w_.kk[e] : 0.0f;
        dbeta += db * w_.kk[e];
      }
      dbeta_[i] = dbeta;
    }
  }

  // dq_, dk_, and the parts of dg that pass through the chunk's boundary.
  void KeysAndQueries(const ChunkView& c, const float* state) {
    Transpose(d_k_, d_v_, state, d_v_, transposed_.data());
    std::fill_n(dq_.begin(), c.n * d_k_, 0.0f);
    MulAdd(c.n, d_k_, d_v_, c.dout, w_.v_row, 1, transposed_.data(), d_k_,
           dq_.data(), d_k_);
    std::fill_n(dk_.begin(), c.n * d_k_, 0.0f);
    MulAdd(c.n, d_k_, d_v_, dvn_.data(), d_v_, 1, transposed_.data(), d_k_,
           dk_.data(), d_k_);
    Transpose(d_k_, d_v_, ds_.data(), d_v_, transposed_.data());
    std::fill_n(wide_.begin(), c.n * d_k_, 0.0f);
    MulAdd(c.n, d_k_, d_v_, w_.vn.data(), d_v_, 1, transposed_.data(), d_k_,
           wide_.data(), d_k_);
    for (int64_t i = 0; i < c.n; ++i) {
      const float* q = c.q + i * w_.qk_row;
      const float* k = c.k + i * w_.qk_row;
      float *dq = &dq_[i * d_k_], *dk = &dk_[i * d_k_],
            *wide = &wide_[i * d_k_];
      for (int64_t j = 0; j < d_k_; ++j) {
        dq[j] *= w_.scale * w_.from_start[i];
        dk[j] *= -w_.beta[i] * w_.from_start[i];
        wide[j] *= w_.to_end[i];
      }
      from_state_[i] = Dot(d_k_, q, dq) + Dot(d_k_, k, dk);
      to_state_[i] = Dot(d_k_, k, wide);
      Axpy(d_k_, 1.0f, wide, dk);
    }
    through_ = w_.end * Dot(d_k_ * d_v_, state, ds_.data());

    MulAdd(c.n, d_k_, c.n, z_.data(), c.n, 1, c.k, w_.qk_row, dq_.data(), d_k_);
    MulAdd(c.n, d_k_, c.n, z_.data(), 1, c.n, c.q, w_.qk_row, dk_.data(), d_k_);
    MulAdd(c.n, d_k_, c.n, x_.data(), c.n, 1, c.k, w_.qk_row, dk_.data(), d_k_);
    MulAdd(c.n, d_k_, c.n, x_.data(), 1, c.n, c.k, w_.qk_row, dk_.data(), d_k_);
  }

  void Write(int64_t t, const ChunkView& c) {
    const int64_t qk = head_.qk + t * w_.qk_row, v = head_.v + t * w_.v_row;
    const int64_t gate = head_.gate + t * w_.gate_row;
    for (int64_t i = 0; i < c.n; ++i) {
      // The group's heads add to the same rows, which the caller zeroed.
      Axpy(d_k_, 1.0f, &dq_[i * d_k_],
           results_->dq.data<float>() + qk + i * w_.qk_row);
      Axpy(d_k_, 1.0f, &dk_[i * d_k_],
           results_->dk.data<float>() + qk + i * w_.qk_row);
      float* dv = results_->dv.data<float>() + v + i * w_.v_row;
      for (int64_t j = 0; j < d_v_; ++j) {
        dv[j] = w_.beta[i] * dvn_[i * d_v_ + j];
      }
      results_->dbeta.data<float>()[gate + i * w_.gate_row] = dbeta_[i];
    }
    if (!args_.forward.g.defined()) return;
    // g_t scales every path that crosses from before token t to t or later:
    // pairs i >= t > j, what tokens from t on take from the chunk's first
    // state, what tokens before t leave in its last state, and state to state.
    float prefix[kMaxChunk] = {};  // sum over j < t of m[i][j]
    float before = 0;
    for (int64_t s = 0; s < c.n; ++s) {
      float dg = through_ + before;
      for (int64_t i = s; i < c.n; ++i) dg += from_state_[i] + prefix[i];
      for (int64_t i = s + 1; i < c.n; ++i) prefix[i] += m_[i * c.n + s];
      before += to_state_[s];
      results_->dg.data<float>()[gate + s * w_.gate_row] = dg;
    }
  }

  // ds_ becomes the gradient of the chunk's first state:
  // e^{G_C} dS + (scale diag(E) Q)' dO - (diag(beta E) K)' dR.
  void StateGradient(const ChunkView& c) {
    for (float& x : ds_) x *= w_.end;
    for (int64_t i = 0; i < c.n; ++i) {
      for (int64_t j = 0; j < d_v_; ++j) {
        scaled_[i * d_v_ + j] =
            w_.scale * w_.from_start[i] * c.dout[i * w_.v_row + j];
        dvn_[i * d_v_ + j] *= -w_.beta[i] * w_.from_start[i];
      }
    }
    MulAdd(d_k_, d_v_, c.n, c.q, 1, w_.qk_row, scaled_.data(), d_v_, ds_.data(),
           d_v_);
    MulAdd(d_k_, d_v_, c.n, c.k, 1, w_.qk_row, dvn_.data(), d_v_, ds_.data(),
           d_v_);
  }

  const DeltaRuleGradArgs& args_;
  DeltaRuleGradResults* results_;
  const HeadView head_;
  Workspace w_;
  const int64_t d_k_, d_v_;
  std::vector<float> ds_, transposed_, dvn_, vn_t_, scaled_, wide_, dq_, dk_;
  std::vector<float> p_, db_, z_, x_, m_;
  float dbeta_[kMaxChunk], from_state_[kMaxChunk], to_state_[kMaxChunk];
  float through_ = 0;
};

}  // namespace

absl::Status DeltaRuleCpu(Context& ctx, const DeltaRuleArgs& args,
                          DeltaRuleResults* results) {
  const DeltaRuleSizes n(args);
  ctx.ParallelFor(n.batch * n.v_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      ForwardHead(args, results, i / n.v_heads, i % n.v_heads);
    }
  });
  return absl::OkStatus();
}

absl::Status DeltaRuleGradCpu(Context& ctx, const DeltaRuleGradArgs& args,
                              DeltaRuleGradResults* results) {
  const DeltaRuleSizes n(args.forward);
  LT2_RETURN_IF_ERROR(ctx.Zero(&results->dq));
  LT2_RETURN_IF_ERROR(ctx.Zero(&results->dk));
  ctx.ParallelFor(n.batch * n.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % n.heads * n.group();
      for (int64_t h = first; h < first + n.group(); ++h) {
        BackwardHead(args, results, i / n.heads, h).Run();
      }
    }
  });
  return absl::OkStatus();
}

absl::Status DeltaRuleStepCpu(Context& ctx, const DeltaRuleArgs& args,
                              DeltaRuleResults* results) {
  const DeltaRuleSizes n(args);
  const int64_t size = n.d_k * n.d_v;
  ctx.ParallelFor(n.batch * n.v_heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> u(n.d_v);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / n.v_heads, h = row % n.v_heads;
      const int64_t qk = (b * n.heads + h / n.group()) * n.d_k;
      const float* q = args.q.data<float>() + qk;
      const float* k = args.k.data<float>() + qk;
      const float* v = args.v.data<float>() + row * n.d_v;
      float* o = results->o.data<float>() + row * n.d_v;
      float* state = results->final_state.data<float>() + row * size;
      const float alpha =
          args.g.defined() ? std::exp(args.g.data<float>()[row]) : 1.0f;
      if (args.initial_state.defined()) {
        const float* source = args.initial_state.data<float>() + row * size;
        for (int64_t i = 0; i < size; ++i) state[i] = alpha * source[i];
      } else {
        std::fill_n(state, size, 0.0f);
      }
      std::copy_n(v, n.d_v, u.begin());
      for (int64_t i = 0; i < n.d_k; ++i) {
        Axpy(n.d_v, -k[i], state + i * n.d_v, u.data());
      }
      const float beta = args.beta.data<float>()[row];
      for (float& x : u) x *= beta;
      std::fill_n(o, n.d_v, 0.0f);
      for (int64_t i = 0; i < n.d_k; ++i) {
        Axpy(n.d_v, k[i], u.data(), state + i * n.d_v);
        Axpy(n.d_v, args.scale * q[i], state + i * n.d_v, o);
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
