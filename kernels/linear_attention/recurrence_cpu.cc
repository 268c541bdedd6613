// Forward: one task per batch row and value head.

#include "kernels/linear_attention/recurrence_cpu.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/linear_attention/chunk_cpu.h"
#include "kernels/linear_attention/small_matrix.h"

namespace lt2::kernels {
namespace {

void ForwardHead(const RecurrenceArgs& args, const Tensor& o,
                 const Tensor& final_state, int64_t b, int64_t h) {
  const Tensor none;
  const HeadView head(args, none, b, h);
  const RecurrenceSizes& n = head.sizes;
  Chunk chunk(head);
  std::vector<float> state(n.d_k * n.d_v);
  if (args.initial_state.defined()) {
    std::copy_n(args.initial_state.data<float>() + head.state, state.size(),
                state.begin());
  }
  for (int64_t t = 0; t < n.seq; t += chunk.capacity()) {
    const ChunkRows c = head.Rows(t, std::min(t + chunk.capacity(), n.seq));
    chunk.Prepare(c, /*queries=*/true);
    chunk.Correct(c, state.data());
    chunk.ReadOut(c, state.data(), o.data<float>() + head.v + t * head.v_row);
    chunk.Advance(c, state.data());
  }
  std::copy(state.begin(), state.end(), final_state.data<float>() + head.state);
}

// The recurrence itself. `after` may be `before`.
void StepHead(const RecurrenceArgs& args, const Tensor& o,
              const Tensor& final_state, int64_t b, int64_t h) {
  const Tensor none;
  const HeadView head(args, none, b, h);
  const ChunkRows token = head.Rows(0, 1);
  const int64_t d_k = head.sizes.d_k, d_v = head.sizes.d_v;
  float* state = final_state.data<float>() + head.state;
  if (args.initial_state.defined()) {
    const float* before = args.initial_state.data<float>() + head.state;
    const bool channel = head.decay == Decay::kChannel;
    float alpha = 1;
    for (int64_t i = 0; i < d_k; ++i) {
      if (token.g != nullptr && (channel || i == 0)) {
        alpha = std::exp(token.g[i]);
      }
      for (int64_t j = 0; j < d_v; ++j) {
        state[i * d_v + j] = alpha * before[i * d_v + j];
      }
    }
  } else {
    std::fill_n(state, d_k * d_v, 0.0f);
  }
  std::vector<float> u(token.v, token.v + d_v);
  if (token.beta != nullptr) {
    for (int64_t i = 0; i < d_k; ++i) {
      Axpy(d_v, -token.k[i], state + i * d_v, u.data());
    }
    for (float& x : u) x *= *token.beta;
  }
  float* out = o.data<float>() + head.v;
  std::fill_n(out, d_v, 0.0f);
  for (int64_t i = 0; i < d_k; ++i) {
    Axpy(d_v, token.k[i], u.data(), state + i * d_v);
    Axpy(d_v, args.scale * token.q[i], state + i * d_v, out);
  }
}

using HeadFunction = void (*)(const RecurrenceArgs&, const Tensor&,
                              const Tensor&, int64_t, int64_t);

void ForEachHead(Context& ctx, const RecurrenceArgs& args, const Tensor& o,
                 const Tensor& final_state, HeadFunction run) {
  const RecurrenceSizes n(args);
  ctx.ParallelFor(n.batch * n.v_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      run(args, o, final_state, i / n.v_heads, i % n.v_heads);
    }
  });
}

}  // namespace

void RecurrenceCpu(Context& ctx, const RecurrenceArgs& args, const Tensor& o,
                   const Tensor& final_state) {
  ForEachHead(ctx, args, o, final_state, ForwardHead);
}

void RecurrenceStepCpu(Context& ctx, const RecurrenceArgs& args,
                       const Tensor& o, const Tensor& final_state) {
  ForEachHead(ctx, args, o, final_state, StepHead);
}

}  // namespace lt2::kernels
