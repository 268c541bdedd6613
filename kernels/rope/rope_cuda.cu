// A thread owns a (token, pair): it computes one cosine and sine in fp64 and
// rotates that pair in several heads. Neighbouring threads have neighbouring
// pairs, so loads and stores coalesce in both layouts.

#include <algorithm>
#include <cmath>

#include "kernels/core/cuda_util.cuh"
#include "kernels/rope/rope_internal.h"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kHeadsAtOnce = 4;

template <typename T>
struct Params {
  const T* x;
  T* y;
  const int32_t* positions;
  int64_t tokens, seq, heads, pairs, heads_per_thread, position;
  double log2_theta;
  bool interleaved, inverse;
};

template <typename T>
__global__ void __launch_bounds__(kThreads) RopeKernel(const Params<T> p) {
  const int64_t index = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= p.tokens * p.pairs) return;
  const int64_t token = index / p.pairs, pair = index % p.pairs;
  const int64_t first =
      p.positions != nullptr ? p.positions[token / p.seq] : p.position;
  const double position = static_cast<double>(first + token % p.seq);
  const double frequency = exp2(-p.log2_theta * static_cast<double>(pair) /
                                static_cast<double>(p.pairs));
  double angle = position * frequency;
  // To [-pi, pi] by a two-word 2 pi: keeps sincos off its slow path, which is
  // for arguments above 10^5.
  const double turns = rint(angle * 0.15915494309189535);
  angle = fma(turns, -6.283185307179586, angle);
  angle = fma(turns, -2.4492935982947064e-16, angle);
  double sine_wide, cosine_wide;
  sincos(angle, &sine_wide, &cosine_wide);
  const float cosine = static_cast<float>(cosine_wide);
  const float sine = static_cast<float>(p.inverse ? -sine_wide : sine_wide);

  const int64_t offset1 = p.interleaved ? 2 * pair : pair;
  const int64_t offset2 = p.interleaved ? 2 * pair + 1 : pair + p.pairs;
  const int64_t head_begin = int64_t{blockIdx.y} * p.heads_per_thread;
  const int64_t head_end = min(p.heads, head_begin + p.heads_per_thread);
  // Loads go before the stores of earlier heads, which they could not pass
  // otherwise: y may be x.
  for (int64_t head = head_begin; head < head_end; head += kHeadsAtOnce) {
    const int64_t row = (token * p.heads + head) * 2 * p.pairs;
    float x1[kHeadsAtOnce], x2[kHeadsAtOnce];
#pragma unroll
    for (int u = 0; u < kHeadsAtOnce; ++u) {
      if (head + u >= head_end) break;
      const T* x = p.x + row + u * 2 * p.pairs;
      x1[u] = cuda::AsFloat(x[offset1]);
      x2[u] = cuda::AsFloat(x[offset2]);
    }
#pragma unroll
    for (int u = 0; u < kHeadsAtOnce; ++u) {
      if (head + u >= head_end) break;
      T* y = p.y + row + u * 2 * p.pairs;
      y[offset1] = cuda::FromFloat<T>(x1[u] * cosine - x2[u] * sine);
      y[offset2] = cuda::FromFloat<T>(x1[u] * sine + x2[u] * cosine);
    }
  }
}

template <typename H>
absl::Status Launch(Context& ctx, const RopeArgs& args, const Tensor& y) {
  using T = typename cuda::DeviceType<H>::type;
  Params<T> p;
  p.x = cuda::Data<H>(args.x);
  p.y = cuda::Data<H>(y);
  p.positions = cuda::Data<int32_t>(args.positions);
  p.tokens = args.x.dim(0) * args.x.dim(1);
  p.seq = args.x.dim(1);
  p.heads = args.x.dim(2);
  p.pairs = args.x.dim(3) / 2;
  p.position = args.position;
  p.log2_theta = std::log2(static_cast<double>(args.theta));
  p.interleaved = args.layout == RopeLayout::kInterleaved;
  p.inverse = args.inverse;
  // Many tokens share each sine among 16 heads; few (decoding) spread the
  // heads over threads instead.
  const bool many = p.tokens * p.pairs >= 1 << 16;
  p.heads_per_thread = many ? 16 : 1;
  // The grid's second dimension ends at 65535.
  p.heads_per_thread =
      std::max(p.heads_per_thread, cuda::CeilDiv(p.heads, 65535));
  const dim3 grid(
      static_cast<unsigned>(cuda::CeilDiv(p.tokens * p.pairs, kThreads)),
      static_cast<unsigned>(cuda::CeilDiv(p.heads, p.heads_per_thread)));
  RopeKernel<T><<<grid, kThreads, 0, cuda::StreamOf(ctx)>>>(p);
  LT2_RETURN_LAUNCH_ERROR("RopeKernel");
  return absl::OkStatus();
}

}  // namespace

absl::Status RopeCuda(Context& ctx, const RopeArgs& args, const Tensor& y) {
  return args.x.dtype() == DType::kBF16 ? Launch<BFloat16>(ctx, args, y)
                                        : Launch<float>(ctx, args, y);
}

}  // namespace lt2::kernels
