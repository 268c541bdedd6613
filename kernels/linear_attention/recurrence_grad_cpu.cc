// The gradient of the chunked form (README.md), chunks in reverse. One task per
// batch row and query head; the value heads of its group follow one another, so
// that their sums into dq and dk have a fixed order.

#include <algorithm>
#include <vector>

#include "kernels/linear_attention/chunk_cpu.h"
#include "kernels/linear_attention/small_matrix.h"

namespace lt2::kernels {
namespace {

class BackwardHead {
 public:
  BackwardHead(const HeadView& head, const Tensor& dfinal_state,
               const RecurrenceGradients& results)
      : head_(head),
        dfinal_state_(dfinal_state),
        results_(results),
        w_(head_),
        d_k_(w_.d_k),
        d_v_(w_.d_v),
        ds_(d_k_ * d_v_),
        transposed_(d_k_ * d_v_),
        dvn_(w_.capacity() * d_v_),
        vn_t_(w_.capacity() * d_v_),
        dq_(w_.capacity() * d_k_),
        dk_(w_.capacity() * d_k_),
        dkd_(w_.capacity() * d_k_),
        dg_(w_.capacity() * (w_.channel ? d_k_ : 1)),
        dp_(w_.capacity() * w_.capacity()),
        da_(w_.delta ? dp_.size() : 0),
        decayed_(w_.channel ? w_.capacity() * d_k_ : 0),
        dend_(d_k_) {}

  void Run() {
    const int64_t size = d_k_ * d_v_, seq = head_.sizes.seq;
    const int64_t chunk = w_.capacity(), chunks = (seq + chunk - 1) / chunk;
    std::vector<float> states(chunks * size);  // at the start of each chunk
    const Tensor& initial = head_.args.initial_state;
    if (initial.defined()) {
      std::copy_n(initial.data<float>() + head_.state, size, states.begin());
    }
    for (int64_t i = 0; i + 1 < chunks; ++i) {
      const ChunkRows c = head_.Rows(i * chunk, (i + 1) * chunk);
      float* next = &states[(i + 1) * size];
      w_.Prepare(c, /*queries=*/false);
      w_.Correct(c, &states[i * size]);
      std::copy_n(&states[i * size], size, next);
      w_.Advance(c, next);
    }
    if (dfinal_state_.defined()) {
      std::copy_n(dfinal_state_.data<float>() + head_.state, size, ds_.begin());
    }
    for (int64_t i = chunks - 1; i >= 0; --i) {
      const int64_t t = i * chunk;
      Backward(t, head_.Rows(t, std::min(t + chunk, seq)), &states[i * size]);
    }
    if (initial.defined()) {
      std::copy(ds_.begin(), ds_.end(),
                results_.dinitial_state.data<float>() + head_.state);
    }
  }

 private:
  void Backward(int64_t t, const ChunkRows& c, const float* state) {
    w_.Prepare(c, /*queries=*/true);
    w_.Correct(c, state);
    Values(c);
    Scores(t, c);
    StateRows(c, state);
    if (w_.channel) {
      ChannelDecay(c);
    } else {
      ScalarDecay(c);
    }
    Write(t, c);
    StateGradient(c);
  }

  // dvn_ = dVn = P' dO + Kd dS; for the delta rule then (I + diag(beta) A)'^-1
  // of it, which is dR.
  void Values(const ChunkRows& c) {
    std::fill_n(dvn_.begin(), c.n * d_v_, 0.0f);
    MulAdd(c.n, d_v_, d_k_, w_.kd.data(), d_k_, 1, ds_.data(), d_v_,
           dvn_.data(), d_v_);
    MulAdd(c.n, d_v_, c.n, w_.p.data(), 1, c.n, c.dout, head_.v_row,
           dvn_.data(), d_v_);
    for (int64_t i = c.n - 1; i >= 0 && w_.delta; --i) {
      for (int64_t j = i + 1; j < c.n; ++j) {
        const float b = c.beta[j * head_.beta_row] * w_.a[j * c.n + i];
        Axpy(d_v_, -b, &dvn_[j * d_v_], &dvn_[i * d_v_]);
      }
    }
  }

  // dP and dA, lower and strictly lower; dbeta; dvn_ becomes dV.
  void Scores(int64_t t, const ChunkRows& c) {
    Transpose(c.n, d_v_, w_.vn.data(), d_v_, vn_t_.data());
    std::fill_n(dp_.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_v_, c.dout, head_.v_row, 1, vn_t_.data(), c.n,
           dp_.data(), c.n);
    for (int64_t i = 0; i < c.n; ++i) {
      std::fill_n(&dp_[i * c.n] + i + 1, c.n - i - 1, 0.0f);
    }
    if (!w_.delta) return;
    std::fill_n(da_.begin(), c.n * c.n, 0.0f);
    MulAdd(c.n, c.n, d_v_, dvn_.data(), d_v_, 1, vn_t_.data(), c.n, da_.data(),
           c.n);
    for (int64_t i = 0; i < c.n; ++i) {
      const float beta = c.beta[i * head_.beta_row];
      float* row = &da_[i * c.n];
      float dbeta = Dot(d_v_, &dvn_[i * d_v_], &w_.rest[i * d_v_]);
      for (int64_t j = 0; j < i; ++j) {
        dbeta -= row[j] * w_.a[i * c.n + j];
        row[j] *= -beta;
      }
      std::fill(row + i, row + c.n, 0.0f);
      for (int64_t j = 0; j < d_v_; ++j) dvn_[i * d_v_ + j] *= beta;
      results_.dbeta.data<float>()[head_.beta + (t + i) * head_.beta_row] =
          dbeta;
    }
  }

  // What passes through the chunk's first and last state: dq_ = dQe,
  // dk_ = dKe, dkd_ = dKd, and dend_.
  void StateRows(const ChunkRows& c, const float* state) {
    Transpose(d_k_, d_v_, state, d_v_, transposed_.data());
    std::fill_n(dq_.begin(), c.n * d_k_, 0.0f);
    MulAdd(c.n, d_k_, d_v_, c.dout, head_.v_row, 1, transposed_.data(), d_k_,
           dq_.data(), d_k_);
    std::fill_n(dk_.begin(), c.n * d_k_, 0.0f);
    if (w_.delta) {
      MulAdd(c.n, d_k_, d_v_, dvn_.data(), d_v_, 1, transposed_.data(), d_k_,
             dk_.data(), d_k_);
      for (int64_t i = 0; i < c.n * d_k_; ++i) dk_[i] = -dk_[i];
    }
    Transpose(d_k_, d_v_, ds_.data(), d_v_, transposed_.data());
    std::fill_n(dkd_.begin(), c.n * d_k_, 0.0f);
    MulAdd(c.n, d_k_, d_v_, w_.vn.data(), d_v_, 1, transposed_.data(), d_k_,
           dkd_.data(), d_k_);
    for (int64_t i = 0; i < d_k_; ++i) {
      dend_[i] = Dot(d_v_, state + i * d_v_, &ds_[i * d_v_]);
    }
  }

  // From the gradients of Qe, Ke, Kd, P, A and end to those of q, k and g.
  void ScalarDecay(const ChunkRows& c) {
    float from_state[kMaxChunk], to_state[kMaxChunk], through = 0;
    for (int64_t i = 0; i < c.n; ++i) {
      const float *q = c.q + i * head_.qk_row, *k = c.k + i * head_.qk_row;
      float *dq = &dq_[i * d_k_], *dk = &dk_[i * d_k_], *dkd = &dkd_[i * d_k_];
      const float e = w_.from_start[i], d = w_.to_end[i];
      for (int64_t j = 0; j < d_k_; ++j) {
        dq[j] *= w_.scale * e;
        dk[j] *= e;
        dkd[j] *= d;
      }
      from_state[i] = Dot(d_k_, q, dq) + Dot(d_k_, k, dk);
      to_state[i] = Dot(d_k_, k, dkd);
      Axpy(d_k_, 1.0f, dkd, dk);
    }
    for (int64_t i = 0; i < d_k_; ++i) through += w_.end[i] * dend_[i];

    // g_t scales every path that crosses from before token t to t or later:
    // pairs i >= t > j, what tokens from t on take from the chunk's first
    // state, what tokens before t leave in its last state, and state to state.
    float pairs[kMaxChunk] = {};  // sum over j < t of what passes from j to i
    float before = through;
    for (int64_t s = 0; s < c.n; ++s) {
      float dg = before;
      for (int64_t i = s; i < c.n; ++i) dg += from_state[i] + pairs[i];
      dg_[s] = dg;
      before += to_state[s];
      for (int64_t i = s + 1; i < c.n; ++i) {
        const int64_t e = i * c.n + s;
        pairs[i] += dp_[e] * w_.p[e] + (w_.delta ? da_[e] * w_.a[e] : 0.0f);
      }
    }

    const auto add = [&](const std::vector<float>& pair, bool transposed,
                         const float* rows, std::vector<float>& sum) {
      MulAdd(c.n, d_k_, c.n, pair.data(), transposed ? 1 : c.n,
             transposed ? c.n : 1, rows, head_.qk_row, sum.data(), d_k_);
    };
    for (int64_t e = 0; e < c.n * c.n; ++e) dp_[e] *= w_.scale * w_.lm[e];
    add(dp_, false, c.k, dq_);
    add(dp_, true, c.q, dk_);
    if (!w_.delta) return;
    for (int64_t e = 0; e < c.n * c.n; ++e) da_[e] *= w_.lm[e];
    add(da_, false, c.k, dk_);
    add(da_, true, c.k, dk_);
  }

  // The same for decay per channel: back through the products of e^{g} that
  // made Qe, Ke, Kd, P and A (Chunk::PrepareChannel).
  void ChannelDecay(const ChunkRows& c) {
    // dg_t gets what passes from the first state to tokens from t on, and what
    // passes through.
    std::vector<float>& later = dend_;
    for (int64_t x = 0; x < d_k_; ++x) later[x] *= w_.end[x];
    for (int64_t i = c.n - 1; i >= 0; --i) {
      const float *q = c.q + i * head_.qk_row, *k = c.k + i * head_.qk_row;
      const float* e = &w_.product[i * d_k_];
      float *dq = &dq_[i * d_k_], *dk = &dk_[i * d_k_], *dg = &dg_[i * d_k_];
      for (int64_t x = 0; x < d_k_; ++x) {
        dq[x] *= w_.scale * e[x];
        dk[x] *= e[x];
        dg[x] = later[x] += q[x] * dq[x] + k[x] * dk[x];
      }
    }
    // And what passes from token j to tokens from t on, and to the last state.
    for (int64_t j = 0; j < c.n; ++j) {
      float* w = decayed_.data();
      std::copy_n(c.k + j * head_.qk_row, d_k_, w + j * d_k_);
      for (int64_t i = j + 1; i < c.n; ++i) {
        for (int64_t x = 0; x < d_k_; ++x) {
          w[i * d_k_ + x] = w[(i - 1) * d_k_ + x] * w_.alpha[i * d_k_ + x];
        }
      }
      float* dw = &dkd_[j * d_k_];
      for (int64_t i = c.n - 1; i >= j; --i) {
        PairGradient(c.q + i * head_.qk_row, c.k + i * head_.qk_row,
                     w_.scale * dp_[i * c.n + j],
                     w_.delta ? da_[i * c.n + j] : 0.0f, i, w + i * d_k_, dw);
        if (i == j) break;
        const float* f = &w_.alpha[i * d_k_];
        float* dg = &dg_[i * d_k_];
        for (int64_t x = 0; x < d_k_; ++x) {
          dg[x] += w[i * d_k_ + x] * dw[x];
          dw[x] *= f[x];
        }
      }
      Axpy(d_k_, 1.0f, dw, &dk_[j * d_k_]);
    }
  }

  // Of p q_i.w + a k_i.w, with w the decayed key of token j.
  void PairGradient(const float* __restrict q, const float* __restrict k,
                    float p, float a, int64_t i, const float* __restrict w,
                    float* __restrict dw) {
    float* __restrict dq = &dq_[i * d_k_];
    for (int64_t x = 0; x < d_k_; ++x) {
      dw[x] = std::fma(p, q[x], dw[x]);
      dq[x] = std::fma(p, w[x], dq[x]);
    }
    if (!w_.delta) return;
    float* __restrict dk = &dk_[i * d_k_];
    for (int64_t x = 0; x < d_k_; ++x) {
      dw[x] = std::fma(a, k[x], dw[x]);
      dk[x] = std::fma(a, w[x], dk[x]);
    }
  }

  void Write(int64_t t, const ChunkRows& c) {
    for (int64_t i = 0; i < c.n; ++i) {
      // The group's heads add to the same rows, which the caller zeroed.
      const int64_t qk = head_.qk + (t + i) * head_.qk_row;
      Axpy(d_k_, 1.0f, &dq_[i * d_k_], results_.dq.data<float>() + qk);
      Axpy(d_k_, 1.0f, &dk_[i * d_k_], results_.dk.data<float>() + qk);
      std::copy_n(&dvn_[i * d_v_], d_v_,
                  results_.dv.data<float>() + head_.v + (t + i) * head_.v_row);
      if (!results_.dg.defined()) continue;
      const int64_t width = w_.channel ? d_k_ : 1;
      std::copy_n(&dg_[i * width], width,
                  results_.dg.data<float>() + head_.g + (t + i) * head_.g_row);
    }
  }

  // ds_ becomes the gradient of the chunk's first state:
  // diag(end) dS + Qe' dO - Ke' diag(beta) dR.
  void StateGradient(const ChunkRows& c) {
    for (int64_t i = 0; i < d_k_; ++i) {
      for (int64_t j = 0; j < d_v_; ++j) ds_[i * d_v_ + j] *= w_.end[i];
    }
    MulAdd(d_k_, d_v_, c.n, w_.qe.data(), 1, d_k_, c.dout, head_.v_row,
           ds_.data(), d_v_);
    if (!w_.delta) return;
    for (int64_t i = 0; i < c.n * d_v_; ++i) dvn_[i] = -dvn_[i];
    MulAdd(d_k_, d_v_, c.n, w_.ke.data(), 1, d_k_, dvn_.data(), d_v_,
           ds_.data(), d_v_);
  }

  const HeadView& head_;
  const Tensor& dfinal_state_;
  const RecurrenceGradients& results_;
  Chunk w_;
  const int64_t d_k_, d_v_;
  std::vector<float> ds_, transposed_, dvn_, vn_t_, dq_, dk_, dkd_, dg_;
  std::vector<float> dp_, da_, decayed_, dend_;
};

}  // namespace

absl::Status RecurrenceGradCpu(Context& ctx, const RecurrenceArgs& args,
                               const Tensor& dout, const Tensor& dfinal_state,
                               RecurrenceGradients results) {
  const RecurrenceSizes n(args);
  LT2_RETURN_IF_ERROR(ctx.Zero(&results.dq));
  LT2_RETURN_IF_ERROR(ctx.Zero(&results.dk));
  ctx.ParallelFor(n.batch * n.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % n.heads * n.group();
      for (int64_t h = first; h < first + n.group(); ++h) {
        const HeadView head(args, dout, i / n.heads, h);
        BackwardHead(head, dfinal_state, results).Run();
      }
    }
  });
  return absl::OkStatus();
}

}  // namespace lt2::kernels
