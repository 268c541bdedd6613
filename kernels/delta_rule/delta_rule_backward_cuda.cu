// CUDA backward: the forward's chunk states again, then (4) per chunk P' dO;
// (5) against the sequence the gradients of chunk-end states and of Vn; the
// rest per chunk is in delta_rule_gradient_cuda.cu. README.md has the formulas.

#include "kernels/delta_rule/delta_rule_backward_cuda.cuh"

namespace lt2::kernels::delta_rule {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

struct LocalShared {
  __host__ __device__ LocalShared(unsigned char* base, int d_k, int d_v) {
    Carver carver(base);
    q = carver.Take<bf16>(kChunk * (d_k + kPad));
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    dout = carver.Take<bf16>(kChunk * (d_v + kPad));
    scores = carver.Take<bf16>(kChunk * kSquare);
    patches = carver.Take<float>(kWarps * kPatch);
    total = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *q, *k, *dout, *scores;
  float *patches, *total;
  int bytes;
};

// grid (chunks, v_heads, batch). local[n, 64, d_v] = P' dO, the part of the
// gradient of Vn that stays inside the chunk.
__global__ void __launch_bounds__(kThreads)
    LocalKernel(Problem p, const float* total, const bf16* dout, bf16* local) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const LocalShared s(shared_bytes, p.d_k, p.d_v);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, valid = p.valid(c);
  const int wide = p.d_k + kPad, narrow = p.d_v + kPad;
  const int64_t n = p.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  const int64_t qk = p.qk_start(b, h, c);
  LoadRows(s.q, wide, p.q + qk, p.qk_row(), p.d_k, valid);
  LoadRows(s.k, wide, p.k + qk, p.qk_row(), p.d_k, valid);
  LoadRows(s.dout, narrow, dout + p.v_start(b, h, c), p.v_row(), p.d_v, valid);
  __pipeline_commit();
  if (threadIdx.x < kChunk) {
    s.total[threadIdx.x] = total[n * kChunk + threadIdx.x];
  }
  __pipeline_wait_prior(0);
  __syncthreads();

  for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
    const int i = tile / kRowTiles, j = tile % kRowTiles;
    if (j > i) continue;
    Acc acc;
    MmaAdd<false, true>(acc, s.q, wide, i, s.k, wide, j, 0, p.d_k / kTile);
    Share share = ReadTile(acc, patch);
    const int row = i * kTile + ShareRow();
    const int column = j * kTile + ShareColumn();
    for (int e = 0; e < 8; ++e) {
      share.x[e] = column + e <= row
                       ? p.scale * share.x[e] *
                             __expf(s.total[row] - s.total[column + e])
                       : 0.0f;
    }
    StoreShare(s.scores + row * kSquare + column, share);
  }
  __syncthreads();

  for (int j = warp; j < p.d_v / kTile; j += kWarps) {
    for (int i = 0; i < kRowTiles; ++i) {
      Acc acc;
      MmaAdd<true, false>(acc, s.scores, kSquare, i, s.dout, narrow, j, i,
                          kRowTiles);
      const Share share = ReadTile(acc, patch);
      StoreShare(local + (n * kChunk + i * kTile + ShareRow()) * p.d_v +
                     j * kTile + ShareColumn(),
                 share);
    }
  }
}

struct ReverseShared {
  __host__ __device__ ReverseShared(unsigned char* base, int d_k, int slice) {
    Carver carver(base);
    // Two of each: one is filled while the other is used.
    w = carver.Take<bf16>(2 * kChunk * (d_k + kPad));
    k = carver.Take<bf16>(2 * kChunk * (d_k + kPad));
    q = carver.Take<bf16>(2 * kChunk * (d_k + kPad));
    local = carver.Take<bf16>(2 * kChunk * (slice + kPad));
    dout = carver.Take<bf16>(2 * kChunk * (slice + kPad));
    total = carver.Take<float>(2 * kChunk);
    dstate = carver.Take<bf16>(d_k * (slice + kPad));
    dvn = carver.Take<bf16>(kChunk * (slice + kPad));
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  bf16 *w, *k, *q, *local, *dout, *dstate, *dvn;
  float *total, *patches;
  int bytes;
};

// d_k <= 128 and slices of at most 32 columns: at most 16 tiles.
constexpr int kTilesPerWarp = 4;

// grid (d_v / slice, v_heads, batch). Chunks last to first; the gradient of the
// state stays in f32 accumulators. Writes for each chunk the gradient of its
// last state and of its Vn.
__global__ void __launch_bounds__(kThreads)
    ReverseKernel(Problem p, int slice, const float* total, const bf16* w,
                  const bf16* local, const bf16* dout,
                  const float* dfinal_state, bf16* dstates, bf16* dvn,
                  float* dinitial_state) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const ReverseShared s(shared_bytes, p.d_k, slice);
  const int first = blockIdx.x * slice, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32;
  const int columns = slice / kTile, tiles = p.d_k / kTile * columns;
  const int wide = p.d_k + kPad, narrow = slice + kPad;
  const int64_t state_at =
      (static_cast<int64_t>(b) * p.v_heads + h) * p.d_k * p.d_v + first;
  float* patch = s.patches + warp * kPatch;

  const auto load = [&](int c) {
    const int64_t n = p.chunk_index(b, h, c), qk = p.qk_start(b, h, c);
    const int to = c % 2, valid = p.valid(c);
    LoadRows(s.w + to * kChunk * wide, wide, w + n * kChunk * p.d_k, p.d_k,
             p.d_k, kChunk);
    LoadRows(s.k + to * kChunk * wide, wide, p.k + qk, p.qk_row(), p.d_k,
             valid);
    LoadRows(s.q + to * kChunk * wide, wide, p.q + qk, p.qk_row(), p.d_k,
             valid);
    LoadRows(s.local + to * kChunk * narrow, narrow,
             local + n * kChunk * p.d_v + first, p.d_v, slice, kChunk);
    LoadRows(s.dout + to * kChunk * narrow, narrow,
             dout + p.v_start(b, h, c) + first, p.v_row(), slice, valid);
    if (threadIdx.x < kChunk) {
      s.total[to * kChunk + threadIdx.x] = total[n * kChunk + threadIdx.x];
    }
    __pipeline_commit();
  };

  Acc dstate[kTilesPerWarp];
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    dstate[x] = Acc{};
    if (tile < tiles && dfinal_state != nullptr) {
      LoadAcc(dstate[x],
              dfinal_state + state_at + tile / columns * kTile * p.d_v +
                  tile % columns * kTile,
              p.d_v);
    }
  }
  load(p.chunks - 1);
  for (int c = p.chunks - 1; c >= 0; --c) {
    const int64_t n = p.chunk_index(b, h, c);
    const int at = c % 2 * kChunk;  // first row of what is loaded
    const float* sums = s.total + at;
    __pipeline_wait_prior(0);
    __syncthreads();  // this chunk is here; the other buffers are free
    if (c > 0) load(c - 1);

#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      const Share share = ReadTile(dstate[x], patch);
      const int row = tile / columns * kTile + ShareRow();
      const int column = tile % columns * kTile + ShareColumn();
      StoreShare(s.dstate + row * narrow + column, share);
      StoreShare(dstates + (n * p.d_k + row) * p.d_v + first + column, share);
    }
    __syncthreads();

    // dVn = P' dO + diag(d) K dS. Kept negated for the update below; dO becomes
    // scale diag(E) dO in place (each lane its own elements).
    const int row = warp * kTile + ShareRow();
    const float to_end = __expf(sums[kChunk - 1] - sums[row]);
    const float from_start = p.scale * __expf(sums[row]);
    for (int j = 0; j < columns; ++j) {
      const int column = j * kTile + ShareColumn();
      Acc acc;
      MmaAdd<false, false>(acc, s.k + at * wide, wide, warp, s.dstate, narrow,
                           j, 0, p.d_k / kTile);
      Share share = ReadTile(acc, patch);
      const Share inside = LoadShare(s.local + (at + row) * narrow + column);
      for (int e = 0; e < 8; ++e) {
        share.x[e] = inside.x[e] + to_end * share.x[e];
      }
      StoreShare(dvn + (n * kChunk + row) * p.d_v + first + column, share);
      for (int e = 0; e < 8; ++e) share.x[e] = -share.x[e];
      StoreShare(s.dvn + row * narrow + column, share);
      share = LoadShare(s.dout + (at + row) * narrow + column);
      for (int e = 0; e < 8; ++e) share.x[e] *= from_start;
      StoreShare(s.dout + (at + row) * narrow + column, share);
    }
    __syncthreads();

    // dS = e^{G_C} dS + (scale diag(E) Q)' dO - W' dVn.
    const float decay = __expf(sums[kChunk - 1]);
#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      Scale(dstate[x], decay);
      MmaAdd<true, false>(dstate[x], s.q + at * wide, wide, tile / columns,
                          s.dout + at * narrow, narrow, tile % columns, 0,
                          kRowTiles);
      MmaAdd<true, false>(dstate[x], s.w + at * wide, wide, tile / columns,
                          s.dvn, narrow, tile % columns, 0, kRowTiles);
    }
  }
  if (dinitial_state == nullptr) return;
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    if (tile >= tiles) continue;
    StoreAcc(dinitial_state + state_at + tile / columns * kTile * p.d_v +
                 tile % columns * kTile,
             dstate[x], p.d_v);
  }
}

}  // namespace
}  // namespace lt2::kernels::delta_rule

namespace lt2::kernels {

absl::Status DeltaRuleScalarGradCuda(Context& ctx,
                                     const DeltaRuleGradArgs& args,
                                     DeltaRuleGradResults* results) {
  using namespace delta_rule;  // NOLINT
  const DeltaRuleArgs& forward = args.forward;
  const Problem p = MakeProblem(forward);
  const DeltaRuleSizes sizes(forward);
  const cudaStream_t stream = cuda::StreamOf(ctx);
  ChunkTensors chunks;
  LT2_RETURN_IF_ERROR(ComputeChunks(ctx, forward, /*with_t=*/true,
                                    /*final_state=*/nullptr, &chunks));
  const bf16* dout = cuda::Data<BFloat16>(args.dout);

  // U is not needed any more; its memory takes P' dO.
  bf16* local = cuda::Data<BFloat16>(chunks.u);
  const dim3 per_chunk(p.chunks, p.v_heads, sizes.batch);
  const int local_bytes = LocalShared(nullptr, p.d_k, p.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(LocalKernel, local_bytes));
  LocalKernel<<<per_chunk, kThreads, local_bytes, stream>>>(
      p, cuda::Data<float>(chunks.total), dout, local);
  LT2_RETURN_LAUNCH_ERROR("delta rule local gradient");

  ChunkGradients gradients;
  LT2_ASSIGN_OR_RETURN(gradients.dvn,
                       ctx.Empty(DType::kBF16, chunks.vn.shape()));
  LT2_ASSIGN_OR_RETURN(gradients.dstates,
                       ctx.Empty(DType::kBF16, chunks.states.shape()));
  const int slice = SliceColumns(ctx, forward);
  const dim3 per_slice(p.d_v / slice, p.v_heads, sizes.batch);
  const int reverse_bytes = ReverseShared(nullptr, p.d_k, slice).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(ReverseKernel, reverse_bytes));
  ReverseKernel<<<per_slice, kThreads, reverse_bytes, stream>>>(
      p, slice, cuda::Data<float>(chunks.total), cuda::Data<BFloat16>(chunks.w),
      local, dout, cuda::Data<float>(args.dfinal_state),
      cuda::Data<BFloat16>(gradients.dstates),
      cuda::Data<BFloat16>(gradients.dvn),
      cuda::Data<float>(results->dinitial_state));
  LT2_RETURN_LAUNCH_ERROR("delta rule reverse states");
  return ComputeGradients(ctx, args, chunks, gradients, results);
}

}  // namespace lt2::kernels
