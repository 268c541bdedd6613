// CUDA, one token: the recurrence with a column of the state spread over eight
// threads' registers, so that the state is read once and written once.

#include "kernels/core/cuda_util.cuh"
#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kColumns = 32;
constexpr int kSplit = 8;     // threads per column
constexpr int kMaxKey = 128;  // d_k
constexpr int kRowsPerThread = kMaxKey / kSplit;

// Sum of the column's kSplit values, in order; every thread gets it.
__device__ float ColumnSum(float x, float (*sums)[kColumns]) {
  __syncthreads();
  sums[threadIdx.y][threadIdx.x] = x;
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < kSplit; ++i) sum += sums[i][threadIdx.x];
  return sum;
}

// grid (d_v / 32 rounded up, v_heads, batch), block (32, 8). final_state may be
// initial_state: each element is read and written by the same thread.
template <typename T>
__global__ void StepKernel(const T* q, const T* k, const T* v,
                           const float* beta, const float* g,
                           const float* initial_state, int heads, int d_k,
                           int d_v, float scale, T* o, float* final_state) {
  __shared__ float query[kMaxKey], key[kMaxKey];
  __shared__ float sums[kSplit][kColumns];
  const int v_heads = gridDim.y, h = blockIdx.y, b = blockIdx.z;
  const int64_t row = static_cast<int64_t>(b) * v_heads + h;
  const int64_t qk =
      (static_cast<int64_t>(b) * heads + h / (v_heads / heads)) * d_k;
  const int thread = threadIdx.y * kColumns + threadIdx.x;
  for (int i = thread; i < d_k; i += kSplit * kColumns) {
    query[i] = scale * cuda::AsFloat(q[qk + i]);
    key[i] = cuda::AsFloat(k[qk + i]);
  }
  __syncthreads();
  const int column = blockIdx.x * kColumns + threadIdx.x;
  const bool in = column < d_v;  // threads beyond stay for the barriers
  const int64_t state_at = row * d_k * d_v + column;
  const float alpha = g != nullptr ? expf(g[row]) : 1.0f;

  float state[kRowsPerThread];
  float sum = 0;
#pragma unroll
  for (int x = 0; x < kRowsPerThread; ++x) {
    const int i = threadIdx.y + x * kSplit;
    state[x] = 0;
    if (!in || i >= d_k) continue;
    if (initial_state != nullptr) {
      state[x] =
          alpha * initial_state[state_at + static_cast<int64_t>(i) * d_v];
    }
    sum += key[i] * state[x];
  }
  sum = ColumnSum(sum, sums);
  const float u =
      in ? beta[row] * (cuda::AsFloat(v[row * d_v + column]) - sum) : 0.0f;
  sum = 0;
#pragma unroll
  for (int x = 0; x < kRowsPerThread; ++x) {
    const int i = threadIdx.y + x * kSplit;
    if (!in || i >= d_k) continue;
    state[x] += key[i] * u;
    sum += query[i] * state[x];
    final_state[state_at + static_cast<int64_t>(i) * d_v] = state[x];
  }
  sum = ColumnSum(sum, sums);
  if (in && threadIdx.y == 0) {
    o[row * d_v + column] = cuda::FromFloat<T>(sum);
  }
}

}  // namespace

absl::Status DeltaRuleStepCuda(Context& ctx, const DeltaRuleArgs& args,
                               DeltaRuleResults* results) {
  const DeltaRuleSizes n(args);
  const dim3 grid(cuda::CeilDiv(n.d_v, kColumns), n.v_heads, n.batch);
  const dim3 block(kColumns, kSplit);
  return cuda::VisitFloat(args.q.dtype(), [&](auto zero) {
    using T = decltype(zero);
    StepKernel<<<grid, block, 0, cuda::StreamOf(ctx)>>>(
        cuda::Data<T>(args.q), cuda::Data<T>(args.k), cuda::Data<T>(args.v),
        cuda::Data<float>(args.beta), cuda::Data<float>(args.g),
        cuda::Data<float>(args.initial_state), static_cast<int>(n.heads),
        static_cast<int>(n.d_k), static_cast<int>(n.d_v), args.scale,
        cuda::Data<T>(results->o), cuda::Data<float>(results->final_state));
    LT2_RETURN_LAUNCH_ERROR("delta rule step");
    return absl::OkStatus();
  });
}

}  // namespace lt2::kernels
