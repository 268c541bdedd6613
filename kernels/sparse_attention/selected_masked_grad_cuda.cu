// Gradient of selected attention by way of all visible pairs, bf16.
//
// The tiles of dense attention (attention_grad_tile.cuh) with the lists as a
// mask of one bit for each query and key. Pairs outside the lists are computed
// and thrown away, but a row of k and v is read once for 64 queries, a warp's
// products are full, and dk and dv need no inverted lists.

#include "kernels/attention/attention_grad_tile.cuh"
#include "kernels/sparse_attention/selected_cuda.cuh"

namespace lt2::kernels::sparse {
namespace {

constexpr int kMaskThreads = 128;  // a warp for each list
constexpr int64_t kMostKeys = 1 << 16;
// Most keys for each token that a list may name, of lists of tokens and of
// blocks: gathered blocks fill tiles and are found at once, tokens are not.
// Measured faster (bench/results/nvidia-h200): tokens at 4 and 16 keys each
// with 16 heads to a key head, at 16 with one; blocks at 4 with one. The limits
// go a little beyond.
constexpr int64_t kKeysPerToken = 24, kKeysPerBlockToken = 5;

// A row of the mask is `words` long.
__global__ __launch_bounds__(kMaskThreads) void MaskKernel(ListSizes z,
                                                           int64_t lists,
                                                           int words,
                                                           uint32_t* mask) {
  extern __shared__ uint32_t rows[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t n = blockIdx.x * int64_t{kMaskThreads / 32} + warp;
  if (n >= lists) return;  // the whole warp
  const int head = static_cast<int>(n / z.queries % z.list_heads);
  const int64_t i = n % z.queries, b = n / z.queries / z.list_heads;
  uint32_t* row = rows + warp * words;
  for (int w = lane; w < words; w += 32) row[w] = 0;
  __syncwarp();
  const int32_t* list = z.List(b, i, head);
  const int limit = z.Limit(b, i);
  const int blocks = (limit + z.block_size - 1) / z.block_size;
  for (int e = lane; e < z.entries; e += 32) {
    const int index = list[e];
    if (index < 0 || index >= blocks) continue;
    const int begin = index * z.block_size;
    const int end = min(begin + z.block_size, limit);
    for (int s = begin; s < end;) {
      const int next = min(end, (s / 32 + 1) * 32);
      const uint32_t ones = 0xffffffffu >> (32 - (next - s));
      atomicOr(&row[s / 32], ones << s % 32);
      s = next;
    }
  }
  __syncwarp();
  for (int w = lane; w < words; w += 32) mask[n * words + w] = row[w];
}

}  // namespace

bool UsesMaskedGrad(const ListSizes& z) {
  const int64_t most = z.block_size == 1 ? kKeysPerToken : kKeysPerBlockToken;
  return !z.prefix && z.positions.lengths == nullptr && z.dim == z.value_dim &&
         z.dim <= 128 && z.keys <= kMostKeys &&
         z.keys <= most * z.entries * z.block_size;
}

absl::Status MaskedGrad(Context& ctx, const ListSizes& z, const GradArgs& args,
                        const Tensor& delta) {
  const int tiles = static_cast<int>(cuda::CeilDiv(z.keys, grad::kRows));
  const int words = 2 * tiles;
  const int64_t lists = z.batch * z.list_heads * z.queries;
  const int64_t blocks = cuda::CeilDiv(lists, kMaskThreads / 32);
  LT2_RETURN_IF_ERROR(CheckListSizes(z, blocks));
  LT2_ASSIGN_OR_RETURN(Tensor mask, ctx.Empty(DType::kI32, {lists, words}));
  auto* mask_words = static_cast<uint32_t*>(mask.raw());
  const int bytes = kMaskThreads / 32 * words * int{sizeof(uint32_t)};
  LT2_RETURN_IF_ERROR(cuda::AllowShared(MaskKernel, bytes));
  MaskKernel<<<static_cast<unsigned>(blocks), kMaskThreads, bytes,
               cuda::StreamOf(ctx)>>>(z, lists, words, mask_words);
  LT2_RETURN_LAUNCH_ERROR("mask of selected tokens");

  const GradParams params{TileSizes({args.q, args.k, args.v, z.scale}),
                          cuda::Data<BFloat16>(args.q),
                          cuda::Data<BFloat16>(args.k),
                          cuda::Data<BFloat16>(args.v),
                          cuda::Data<BFloat16>(args.dout),
                          cuda::Data<float>(args.lse),
                          cuda::Data<float>(delta),
                          cuda::Data<BFloat16>(args.dq),
                          cuda::Data<BFloat16>(args.dk),
                          cuda::Data<BFloat16>(args.dv),
                          {mask_words, z.list_heads, tiles},
                          0};
  return z.dim <= 64 ? LaunchGradTiles<64, true>(ctx, z.batch, params)
                     : LaunchGradTiles<128, true>(ctx, z.batch, params);
}

}  // namespace lt2::kernels::sparse
