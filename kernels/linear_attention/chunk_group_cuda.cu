// dq and dk of a query head that several value heads use.

#include "kernels/linear_attention/chunk_group.cuh"

namespace lt2::kernels::chunked {
namespace {

// whole[row, head, d] = sum over the head's group of partial, in order.
__global__ void GroupSumKernel(const float* partial, int64_t elements,
                               int group, int d_k, bf16* whole) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (e >= elements) return;
  const int64_t row = e / d_k, d = e % d_k;  // row = token * heads + head
  float sum = 0;
  for (int r = 0; r < group; ++r) sum += partial[(row * group + r) * d_k + d];
  whole[e] = __float2bfloat16(sum);
}

}  // namespace

absl::Status SumGroups(Context& ctx, const Layout& l, const Tensor& partial,
                       const Tensor& whole) {
  const int64_t elements = whole.numel();
  const unsigned int blocks =
      static_cast<unsigned int>(cuda::CeilDiv(elements, 256));
  GroupSumKernel<<<blocks, 256, 0, cuda::StreamOf(ctx)>>>(
      cuda::Data<float>(partial), elements, l.v_heads / l.heads, l.d_k,
      cuda::Data<BFloat16>(whole));
  LT2_RETURN_LAUNCH_ERROR("sum over a group of heads");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::chunked
