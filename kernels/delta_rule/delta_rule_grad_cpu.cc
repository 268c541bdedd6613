// CPU: the gradient of the chunked form in f32 (README.md). One task per batch
// row and query head; the value heads of its group follow one another, so that
// their sums into dq and dk have a fixed order.

#include <algorithm>
#include <vector>

#include "kernels/delta_rule/delta_rule_cpu_chunk.h"

namespace lt2::kernels {
namespace {

using delta_rule_cpu::Axpy;
using delta_rule_cpu::ChunkFor;
using delta_rule_cpu::ChunkView;
using delta_rule_cpu::Dot;
using delta_rule_cpu::HeadView;
using delta_rule_cpu::kMaxChunk;
using delta_rule_cpu::MulAdd;
using delta_rule_cpu::Transpose;
using delta_rule_cpu::Workspace;

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

}  // namespace lt2::kernels
