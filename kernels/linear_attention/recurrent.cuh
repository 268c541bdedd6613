// The recurrence itself on the GPU, token after token: linear attention or,
// with kDelta, the delta rule. The state stays in registers, a column spread
// over eight threads, so that a single step reads and writes it once: this is
// how one token is decoded. For whole sequences it is the plain form that f32
// tensors get; every token costs a few barriers.
//
// d_k <= 128; any d_v; f32 or bf16 q, k, v; every kind of decay.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENT_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENT_CUH_

#include "kernels/core/cuda_util.cuh"
#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels::recurrent {

constexpr int kColumns = 32;
constexpr int kSplit = 8;     // threads per column
constexpr int kMaxKey = 128;  // d_k
constexpr int kRowsPerThread = kMaxKey / kSplit;

template <typename T>
struct Problem {
  const T *q, *k, *v;
  const float *beta, *g;       // g may be null; beta only with kDelta
  const float* initial_state;  // may be null
  Decay decay;
  int seq, heads, d_k, d_v;
  float scale;
  T* o;
  float* final_state;
};

// Sum of the column's kSplit values, in order; every thread gets it.
__device__ __forceinline__ float ColumnSum(float x, float (*sums)[kColumns]) {
  __syncthreads();
  sums[threadIdx.y][threadIdx.x] = x;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < kSplit; ++i) sum += sums[i][threadIdx.x];
  return sum;
}

// Decay of row i of the state at a token of value head h; `row` is the token's
// among [batch, seq, v_heads].
template <typename T>
__device__ __forceinline__ float DecayAt(const Problem<T>& p, int64_t row,
                                         int h, int i) {
  switch (p.decay) {
    case Decay::kNone:
      return 1.0f;
    case Decay::kHead:
      // In double: the same rounding error in every step would add up.
      return static_cast<float>(exp(static_cast<double>(p.g[h])));
    case Decay::kToken:
      return expf(p.g[row]);
    default:
      return expf(p.g[row * p.d_k + i]);
  }
}

// grid (d_v / 32 rounded up, v_heads, batch), block (32, 8). final_state may be
// initial_state: each element is read and written by the same thread.
template <typename T, bool kDelta>
__global__ void __launch_bounds__(kColumns* kSplit)
    RecurrentKernel(Problem<T> p) {
  __shared__ float query[kMaxKey], key[kMaxKey], alpha[kMaxKey];
  __shared__ float sums[kSplit][kColumns];
  const int v_heads = gridDim.y, h = blockIdx.y, b = blockIdx.z;
  const int thread = threadIdx.y * kColumns + threadIdx.x;
  const int column = blockIdx.x * kColumns + threadIdx.x;
  const bool in = column < p.d_v;  // threads beyond stay for the barriers
  const int64_t state_at =
      (static_cast<int64_t>(b) * v_heads + h) * p.d_k * p.d_v + column;

  float state[kRowsPerThread];
#pragma unroll
  for (int x = 0; x < kRowsPerThread; ++x) {
    const int i = threadIdx.y + x * kSplit;
    state[x] = in && i < p.d_k && p.initial_state != nullptr
                   ? p.initial_state[state_at + static_cast<int64_t>(i) * p.d_v]
                   : 0.0f;
  }
  for (int t = 0; t < p.seq; ++t) {
    const int64_t token = static_cast<int64_t>(b) * p.seq + t;
    const int64_t row = token * v_heads + h;
    const int64_t qk = (token * p.heads + h / (v_heads / p.heads)) * p.d_k;
    __syncthreads();  // the last token's are no longer in use
    for (int i = thread; i < p.d_k; i += kSplit * kColumns) {
      query[i] = p.scale * cuda::AsFloat(p.q[qk + i]);
      key[i] = cuda::AsFloat(p.k[qk + i]);
      alpha[i] = DecayAt(p, row, h, i);
    }
    __syncthreads();
    float value = in ? cuda::AsFloat(p.v[row * p.d_v + column]) : 0.0f;
    float sum = 0;
#pragma unroll
    for (int x = 0; x < kRowsPerThread; ++x) {
      const int i = threadIdx.y + x * kSplit;
      if (i >= p.d_k) continue;
      state[x] *= alpha[i];
      sum += key[i] * state[x];
    }
    if constexpr (kDelta) {
      value = p.beta[row] * (value - ColumnSum(sum, sums));
    }
    sum = 0;
#pragma unroll
    for (int x = 0; x < kRowsPerThread; ++x) {
      const int i = threadIdx.y + x * kSplit;
      if (i >= p.d_k) continue;
      state[x] += key[i] * value;
      sum += query[i] * state[x];
    }
    sum = ColumnSum(sum, sums);
    if (in && threadIdx.y == 0) {
      p.o[row * p.d_v + column] = cuda::FromFloat<T>(sum);
    }
  }
#pragma unroll
  for (int x = 0; x < kRowsPerThread; ++x) {
    const int i = threadIdx.y + x * kSplit;
    if (in && i < p.d_k) {
      p.final_state[state_at + static_cast<int64_t>(i) * p.d_v] = state[x];
    }
  }
}

// Args and Results are those of linear attention or the delta rule.
template <bool kDelta, typename Args, typename Results>
absl::Status Run(Context& ctx, const Args& args, const float* beta,
                 Results* results) {
  const RecurrenceSizes n(args);
  return cuda::VisitFloat(args.q.dtype(), [&](auto zero) {
    using Host = decltype(zero);
    using T = typename cuda::DeviceType<Host>::type;
    Problem<T> p;
    p.q = cuda::Data<Host>(args.q);
    p.k = cuda::Data<Host>(args.k);
    p.v = cuda::Data<Host>(args.v);
    p.beta = beta;
    p.g = cuda::Data<float>(args.g);
    p.initial_state = cuda::Data<float>(args.initial_state);
    p.decay = DecayOf(args.g);
    p.seq = static_cast<int>(n.seq);
    p.heads = static_cast<int>(n.heads);
    p.d_k = static_cast<int>(n.d_k);
    p.d_v = static_cast<int>(n.d_v);
    p.scale = args.scale;
    p.o = cuda::Data<Host>(results->o);
    p.final_state = cuda::Data<float>(results->final_state);
    const dim3 grid(cuda::CeilDiv(n.d_v, kColumns), n.v_heads, n.batch);
    RecurrentKernel<T, kDelta>
        <<<grid, dim3(kColumns, kSplit), 0, cuda::StreamOf(ctx)>>>(p);
    LT2_RETURN_LAUNCH_ERROR("recurrence");
    return absl::OkStatus();
  });
}

}  // namespace lt2::kernels::recurrent

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENT_CUH_
