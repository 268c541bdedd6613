// Forward pass over lists in f32, without tensor cores: for checks and small
// models. A thread block has one query head; each thread scores one list
// position of a tile of 128, then the threads share the columns of o.

#include <cmath>

#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

constexpr int kMaxColumns = (kMaxCudaDim + kThreads - 1) / kThreads;

struct PlainParams {
  ListSizes z;
  const float *q, *k, *v;
  float *o, *lse;
};

__global__ __launch_bounds__(kThreads) void PlainForwardKernel(PlainParams p) {
  const ListSizes& z = p.z;
  __shared__ float q[kMaxCudaDim], weights[kThreads], sums[32];
  __shared__ float maxima[kThreads / 32];
  __shared__ int tokens[kThreads];
  __shared__ int scratch[kThreads / 32];
  const int thread = threadIdx.x;
  int64_t block = blockIdx.x;
  const int h = static_cast<int>(block % z.heads);
  block /= z.heads;
  const int64_t i = block % z.queries, b = block / z.queries;
  const int kv_head = h / z.group;
  const TokenList list(z, b, i, kv_head, scratch);
  for (int d = thread; d < z.dim; d += kThreads)
    q[d] = p.q[z.Query(b, i, h) + d];

  float o[kMaxColumns] = {};
  float max = -INFINITY, sum = 0;
  for (int first = 0; first < list.count(); first += kThreads) {
    __syncthreads();  // q is here; all have read the last weights
    const int token = list.At(first + thread);
    float score = -INFINITY;
    if (token >= 0) {
      const auto* k =
          reinterpret_cast<const float4*>(p.k + z.Key(b, token, kv_head));
      float dot = 0;
      for (int d = 0; d < z.dim; d += 4) {
        const float4 x = k[d / 4];
        dot = fmaf(q[d], x.x, dot);
        dot = fmaf(q[d + 1], x.y, dot);
        dot = fmaf(q[d + 2], x.z, dot);
        dot = fmaf(q[d + 3], x.w, dot);
      }
      score = dot * z.scale;
    }
    const float warp_max = cuda::WarpMax(score);
    if (thread % 32 == 0) maxima[thread / 32] = warp_max;
    tokens[thread] = token;
    __syncthreads();
    float m = max;
    for (int w = 0; w < kThreads / 32; ++w) m = fmaxf(m, maxima[w]);
    const float base = m == -INFINITY ? 0.0f : m;
    const float factor = expf(max - base), weight = expf(score - base);
    max = m;
    sum = sum * factor + weight;
    weights[thread] = weight;
    __syncthreads();
#pragma unroll
    for (int c = 0; c < kMaxColumns; ++c) o[c] *= factor;
    for (int r = 0; r < kThreads; ++r) {
      if (tokens[r] < 0) continue;
      const float* v = p.v + z.Value(b, tokens[r], kv_head);
#pragma unroll
      for (int c = 0; c < kMaxColumns; ++c) {
        const int d = c * kThreads + thread;
        if (d < z.value_dim) o[c] = fmaf(weights[r], v[d], o[c]);
      }
    }
  }
  const float total = cuda::BlockSum(sum, sums);
  if (thread == 0) p.lse[z.Lse(b, i, h)] = max + logf(total);
#pragma unroll
  for (int c = 0; c < kMaxColumns; ++c) {
    const int d = c * kThreads + thread;
    if (d < z.value_dim) {
      p.o[z.Output(b, i, h) + d] = total == 0 ? 0.0f : o[c] / total;
    }
  }
}

}  // namespace

absl::Status PlainForward(Context& ctx, const ListSizes& z,
                          const ForwardArgs& args) {
  const int64_t blocks = z.batch * z.queries * z.heads;
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  const PlainParams params{z,
                           cuda::Data<float>(args.q),
                           cuda::Data<float>(args.k),
                           cuda::Data<float>(args.v),
                           cuda::Data<float>(args.o),
                           cuda::Data<float>(args.lse)};
  PlainForwardKernel<<<static_cast<unsigned>(blocks), kThreads, 0,
                       cuda::StreamOf(ctx)>>>(params);
  LT2_RETURN_LAUNCH_ERROR("sparse attention forward in f32");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::sparse
