// CPU: the chunked form and the single step in f32 (README.md). One task per
// batch row and value head.

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/delta_rule/delta_rule_cpu_chunk.h"

namespace lt2::kernels {
namespace {

using delta_rule_cpu::Axpy;
using delta_rule_cpu::ChunkFor;
using delta_rule_cpu::ChunkView;
using delta_rule_cpu::HeadView;
using delta_rule_cpu::kMaxChunk;
using delta_rule_cpu::MulAdd;
using delta_rule_cpu::Workspace;

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
