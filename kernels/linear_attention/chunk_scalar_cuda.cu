// The operands of a chunk whose decay is per token, per head, or none.

#include "kernels/linear_attention/chunk_scalar.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

struct PrepareShared {
  __host__ __device__ PrepareShared(unsigned char* base, int d_k) {
    Carver carver(base);
    q = carver.Take<bf16>(kChunk * (d_k + kPad));
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    patches = carver.Take<float>(kWarps * kPatch);
    total = carver.Take<float>(kChunk);
    scratch = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *q, *k;
  float *patches, *total, *scratch;
  int bytes;
};

// grid (chunks, v_heads, batch).
__global__ void __launch_bounds__(kThreads)
    PrepareScalarKernel(Layout l, PrepareInputs in, bf16* qe, bf16* kd, bf16* p,
                        float* end) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const PrepareShared s(shared_bytes, l.d_k);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, valid = l.valid(c), wide = l.d_k + kPad;
  const int64_t n = l.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  const int64_t qk = l.qk_start(b, h, c);
  LoadRows(s.q, wide, in.q + qk, l.qk_row(), l.d_k, valid);
  LoadRows(s.k, wide, in.k + qk, l.qk_row(), l.d_k, valid);
  __pipeline_commit();
  LoadDecay(l, in, b, h, c, s.total, s.scratch);
  __pipeline_wait_prior(0);
  __syncthreads();

  // P = scale lower(Q K') . e^{G_i - G_j}
  for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
    const int i = tile / kRowTiles, j = tile % kRowTiles;
    if (j > i) continue;
    Acc acc;
    MmaAdd<false, true>(acc, s.q, wide, i, s.k, wide, j, 0, l.d_k / kTile);
    Share share = ReadTile(acc, patch);
    const int row = i * kTile + ShareRow();
    const int column = j * kTile + ShareColumn();
    for (int e = 0; e < 8; ++e) {
      share.x[e] = column + e <= row
                       ? in.scale * share.x[e] *
                             __expf(s.total[row] - s.total[column + e])
                       : 0.0f;
    }
    StoreShare(p + (n * kChunk + row) * kChunk + column, share);
  }

  const float whole = s.total[kChunk - 1];
  const int vectors = l.d_k / 8;
  for (int e = threadIdx.x; e < kChunk * vectors; e += kThreads) {
    const int i = e / vectors, j = e % vectors * 8;
    const float from_start = in.scale * __expf(s.total[i]);
    const float to_end = __expf(whole - s.total[i]);
    Share query = LoadShare(s.q + i * wide + j);
    Share key = LoadShare(s.k + i * wide + j);
    for (int x = 0; x < 8; ++x) {
      query.x[x] *= from_start;
      key.x[x] *= to_end;
    }
    const int64_t at = (n * kChunk + i) * l.d_k + j;
    StoreShare(qe + at, query);
    StoreShare(kd + at, key);
  }
  if (threadIdx.x < l.d_k) end[n * l.d_k + threadIdx.x] = __expf(whole);
}

}  // namespace

absl::Status PrepareScalar(Context& ctx, const Layout& l,
                           const PrepareInputs& inputs,
                           const Operands& operands) {
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = PrepareShared(nullptr, l.d_k).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(PrepareScalarKernel, bytes));
  PrepareScalarKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(
      l, inputs, cuda::Data<BFloat16>(operands.qe),
      cuda::Data<BFloat16>(operands.kd), cuda::Data<BFloat16>(operands.p),
      cuda::Data<float>(operands.end));
  LT2_RETURN_LAUNCH_ERROR("chunk prepare");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::chunked
