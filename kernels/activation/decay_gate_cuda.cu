#include <algorithm>

#include "kernels/activation/activation_internal.h"
#include "kernels/core/column_sum.cuh"
#include "kernels/core/math.cuh"

namespace lt2::kernels {
namespace {

constexpr int kThreads = 256;
constexpr int kRowThreads = 8;
constexpr int64_t kMaxSlabs = 512;

template <typename T>
__global__ void __launch_bounds__(kThreads)
    DecayGateKernel(const T* a, const float* a_log, const float* dt_bias,
                    float* g, int64_t n, int64_t heads) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t h = i % heads;
  g[i] = -expf(a_log[h]) * cuda::Softplus(cuda::AsFloat(a[i]) + dt_bias[h]);
}

// A block of 32 x 8 threads does 32 heads and a slab of rows; thread (x, y)
// takes every eighth row. Partials are [slabs, heads] each.
template <typename T>
__global__ void __launch_bounds__(32 * kRowThreads)
    DecayGateGradKernel(const T* a, const float* a_log, const float* dt_bias,
                        const float* dg, T* da, float* da_log_partials,
                        float* ddt_bias_partials, int64_t rows, int64_t heads,
                        int64_t rows_per_slab) {
  __shared__ float log_sums[kRowThreads][33], bias_sums[kRowThreads][33];
  const int64_t h = int64_t{blockIdx.x} * 32 + threadIdx.x;
  const int64_t first = int64_t{blockIdx.y} * rows_per_slab;
  const int64_t last = min(rows, first + rows_per_slab);
  float log_sum = 0.0f, bias_sum = 0.0f;
  if (h < heads) {
    const float rate = expf(a_log[h]);
    for (int64_t row = first + threadIdx.y; row < last; row += kRowThreads) {
      const int64_t i = row * heads + h;
      const float z = cuda::AsFloat(a[i]) + dt_bias[h];
      const float d = -dg[i] * rate;
      const float slope = d * cuda::Sigmoid(z);
      log_sum += d * cuda::Softplus(z);
      bias_sum += slope;
      da[i] = cuda::FromFloat<T>(slope);
    }
  }
  log_sums[threadIdx.y][threadIdx.x] = log_sum;
  bias_sums[threadIdx.y][threadIdx.x] = bias_sum;
  __syncthreads();
  if (threadIdx.y != 0 || h >= heads) return;
  log_sum = bias_sum = 0.0f;
  for (int y = 0; y < kRowThreads; ++y) {
    log_sum += log_sums[y][threadIdx.x];
    bias_sum += bias_sums[y][threadIdx.x];
  }
  da_log_partials[blockIdx.y * heads + h] = log_sum;
  ddt_bias_partials[blockIdx.y * heads + h] = bias_sum;
}

template <typename H>
absl::Status Forward(Context& ctx, const DecayGateArgs& args, const Tensor& g) {
  using T = typename cuda::DeviceType<H>::type;
  const int64_t n = g.numel();
  DecayGateKernel<T><<<static_cast<unsigned>(cuda::CeilDiv(n, kThreads)),
                       kThreads, 0, cuda::StreamOf(ctx)>>>(
      cuda::Data<H>(args.a), cuda::Data<float>(args.a_log),
      cuda::Data<float>(args.dt_bias), cuda::Data<float>(g), n, args.a.dim(-1));
  LT2_RETURN_LAUNCH_ERROR("DecayGateKernel");
  return absl::OkStatus();
}

template <typename H>
absl::Status Backward(Context& ctx, const DecayGateGradArgs& args,
                      const DecayGateGradResults& results) {
  using T = typename cuda::DeviceType<H>::type;
  const int64_t rows = args.a.rows(), heads = args.a.dim(-1);
  int64_t slabs = std::min(kMaxSlabs, cuda::CeilDiv(rows, kRowThreads));
  const int64_t rows_per_slab = cuda::CeilDiv(rows, slabs);
  slabs = cuda::CeilDiv(rows, rows_per_slab);
  const Shape shape({slabs, heads});
  LT2_ASSIGN_OR_RETURN(Tensor log_partials, ctx.Empty(DType::kF32, shape));
  LT2_ASSIGN_OR_RETURN(Tensor bias_partials, ctx.Empty(DType::kF32, shape));
  float* const log_sums = cuda::Data<float>(log_partials);
  float* const bias_sums = cuda::Data<float>(bias_partials);
  const dim3 grid(static_cast<unsigned>(cuda::CeilDiv(heads, 32)),
                  static_cast<unsigned>(slabs));
  DecayGateGradKernel<T>
      <<<grid, dim3(32, kRowThreads), 0, cuda::StreamOf(ctx)>>>(
          cuda::Data<H>(args.a), cuda::Data<float>(args.a_log),
          cuda::Data<float>(args.dt_bias), cuda::Data<float>(args.dg),
          cuda::Data<H>(results.da), log_sums, bias_sums, rows, heads,
          rows_per_slab);
  LT2_RETURN_LAUNCH_ERROR("DecayGateGradKernel");
  LT2_RETURN_IF_ERROR(cuda::ColumnSum(ctx, log_sums, slabs, heads,
                                      cuda::Data<float>(results.da_log)));
  return cuda::ColumnSum(ctx, bias_sums, slabs, heads,
                         cuda::Data<float>(results.ddt_bias));
}

}  // namespace

absl::Status DecayGateCuda(Context& ctx, const DecayGateArgs& args,
                           const Tensor& g) {
  return args.a.dtype() == DType::kBF16 ? Forward<BFloat16>(ctx, args, g)
                                        : Forward<float>(ctx, args, g);
}

absl::Status DecayGateGradCuda(Context& ctx, const DecayGateGradArgs& args,
                               const DecayGateGradResults& results) {
  return args.a.dtype() == DType::kBF16 ? Backward<BFloat16>(ctx, args, results)
                                        : Backward<float>(ctx, args, results);
}

}  // namespace lt2::kernels
