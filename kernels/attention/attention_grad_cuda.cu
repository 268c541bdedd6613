// Gradient on a GPU: delta, a warp for each query and head, then the tiles of
// attention_grad_tile.cuh.

#include "kernels/attention/attention_grad_tile.cuh"

namespace lt2::kernels {
namespace {

__global__ void DeltaKernel(TileSizes z, int64_t rows, const Bf16* o,
                            const Bf16* dout, float* delta) {
  const int64_t row = blockIdx.x * int64_t{8} + threadIdx.x / 32;
  if (row >= rows) return;  // the whole warp
  const int column = static_cast<int>(threadIdx.x) % 32 * 4;
  float sum = 0;
  if (column < z.dim) {
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int64_t i = row * z.dim + column + e;
      sum += cuda::AsFloat(o[i]) * cuda::AsFloat(dout[i]);
    }
  }
  sum = cuda::WarpSum(sum);
  if (threadIdx.x % 32 == 0) {
    const int h = static_cast<int>(row % z.heads);
    const int64_t i = row / z.heads % z.queries;
    const int64_t b = row / z.heads / z.queries;
    delta[(b * z.heads + h) * z.queries + i] = sum;
  }
}

}  // namespace

absl::Status AttentionGradCuda(Context& ctx, const AttentionGradArgs& args,
                               AttentionGradResults* results) {
  const AttentionSizes z(args.forward);
  LT2_RETURN_IF_ERROR(CheckTileSizes(z));
  const TileSizes sizes(args.forward);
  LT2_ASSIGN_OR_RETURN(Tensor delta,
                       ctx.Empty(DType::kF32, {z.batch, z.heads, z.queries}));
  const int64_t rows = z.batch * z.heads * z.queries;
  if (rows > 0) {
    LT2_RETURN_IF_ERROR(grad::CheckGrid(cuda::CeilDiv(rows, 8)));
    const auto grid = static_cast<unsigned>(cuda::CeilDiv(rows, 8));
    DeltaKernel<<<grid, 256, 0, cuda::StreamOf(ctx)>>>(
        sizes, rows, cuda::Data<BFloat16>(args.o),
        cuda::Data<BFloat16>(args.dout), cuda::Data<float>(delta));
    LT2_RETURN_LAUNCH_ERROR("attention delta");
  }
  const GradParams params{sizes,
                          cuda::Data<BFloat16>(args.forward.q),
                          cuda::Data<BFloat16>(args.forward.k),
                          cuda::Data<BFloat16>(args.forward.v),
                          cuda::Data<BFloat16>(args.dout),
                          cuda::Data<float>(args.lse),
                          cuda::Data<float>(delta),
                          cuda::Data<BFloat16>(results->dq),
                          cuda::Data<BFloat16>(results->dk),
                          cuda::Data<BFloat16>(results->dv),
                          {},
                          0};
  return z.dim <= 64 ? LaunchGradTiles<64, false>(ctx, z.batch, params)
                     : LaunchGradTiles<128, false>(ctx, z.batch, params);
}

}  // namespace lt2::kernels
