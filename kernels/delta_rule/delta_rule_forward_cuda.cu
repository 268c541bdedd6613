// CUDA forward in three kernels: (1) per chunk U, W; (2) along the sequence the
// chunk-start states and Vn; (3) per chunk O. README.md has the formulas.

#include "kernels/delta_rule/delta_rule_cuda_internal.cuh"
#include "kernels/delta_rule/delta_rule_transform.cuh"

namespace lt2::kernels::delta_rule {
namespace {

constexpr int kWarps = kTransformWarps;
constexpr int kThreads = 32 * kWarps;

struct PrepareShared {
  __host__ __device__ PrepareShared(unsigned char* base, int d_k, int d_v) {
    Carver carver(base);
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    v = carver.Take<bf16>(kChunk * (d_v + kPad));
    // b is not needed any more once for_u and for_w are written.
    constexpr int kPair = kChunk * kSquare;
    static_assert(kChunk * kSquareF32 <= kPair, "b fits into for_u and for_w");
    for_u = carver.Take<bf16>(2 * kPair);
    for_w = for_u + kPair;
    b = reinterpret_cast<float*>(for_u);
    t = carver.Take<float>(kChunk * kSquareF32);
    patches = carver.Take<float>(kWarps * kPatch);
    beta = carver.Take<float>(kChunk);
    total = carver.Take<float>(kChunk);
    scratch = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *k, *v, *for_u, *for_w;
  float *b, *t, *patches, *beta, *total, *scratch;
  int bytes;
};

// grid (chunks, v_heads, batch). U = (T diag(beta)) V, W = (T diag(beta E)) K:
// the factors go into T, so that V and K stay the exact bf16 inputs.
__global__ void __launch_bounds__(kThreads)
    PrepareKernel(Problem p, float* total, bf16* t_out, bf16* u, bf16* w) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const PrepareShared s(shared_bytes, p.d_k, p.d_v);
  const int c = blockIdx.x, h = blockIdx.y, batch = blockIdx.z;
  const int warp = threadIdx.x / 32, valid = p.valid(c);
  const int64_t n = p.chunk_index(batch, h, c);
  float* patch = s.patches + warp * kPatch;

  LoadRows(s.k, p.d_k + kPad, p.k + p.qk_start(batch, h, c), p.qk_row(), p.d_k,
           valid);
  LoadRows(s.v, p.d_v + kPad, p.v + p.v_start(batch, h, c), p.v_row(), p.d_v,
           valid);
  __pipeline_commit();
  LoadGates(p, batch, h, c, s.beta, s.total, s.scratch);
  if (threadIdx.x < kChunk) {
    total[n * kChunk + threadIdx.x] = s.total[threadIdx.x];
  }
  __pipeline_wait_prior(0);
  __syncthreads();

  for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
    const int i = tile / kRowTiles, j = tile % kRowTiles;
    if (j > i) continue;
    Acc acc;
    MmaAdd<false, true>(acc, s.k, p.d_k + kPad, i, s.k, p.d_k + kPad, j, 0,
                        p.d_k / kTile);
    StoreAcc(s.b + (i * kSquareF32 + j) * kTile, acc, kSquareF32);
  }
  __syncthreads();
  for (int e = threadIdx.x; e < kChunk * kChunk; e += kThreads) {
    const int i = e / kChunk, j = e % kChunk;
    float* b = s.b + i * kSquareF32 + j;
    *b = j < i ? s.beta[i] * *b * __expf(s.total[i] - s.total[j]) : 0.0f;
    s.t[i * kSquareF32 + j] = 0.0f;
  }
  __syncthreads();
  Invert(s.b, s.t, s.patches);

  for (int e = threadIdx.x; e < kChunk * kChunk; e += kThreads) {
    const int i = e / kChunk, j = e % kChunk;
    const float t = s.t[i * kSquareF32 + j];
    s.for_u[i * kSquare + j] = __float2bfloat16(t * s.beta[j]);
    s.for_w[i * kSquare + j] =
        __float2bfloat16(t * (s.beta[j] * __expf(s.total[j])));
    if (t_out != nullptr) {
      t_out[n * (kChunk * kChunk) + e] = __float2bfloat16(t);
    }
  }
  __syncthreads();
  TriangularProduct(s.for_u, s.v, p.d_v, patch, u + n * kChunk * p.d_v);
  TriangularProduct(s.for_w, s.k, p.d_k, patch, w + n * kChunk * p.d_k);
}

struct StateShared {
  __host__ __device__ StateShared(unsigned char* base, int d_k, int slice) {
    Carver carver(base);
    // Two of each: one is filled while the other is used.
    w = carver.Take<bf16>(2 * kChunk * (d_k + kPad));
    k = carver.Take<bf16>(2 * kChunk * (d_k + kPad));
    u = carver.Take<bf16>(2 * kChunk * (slice + kPad));
    total = carver.Take<float>(2 * kChunk);
    state = carver.Take<bf16>(d_k * (slice + kPad));
    vn = carver.Take<bf16>(kChunk * (slice + kPad));
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  bf16 *w, *k, *u, *state, *vn;
  float *total, *patches;
  int bytes;
};

// d_k <= 128 and slices of at most 32 columns: at most 16 tiles.
constexpr int kTilesPerWarp = 4;

// grid (d_v / slice, v_heads, batch). Columns of the state do not mix, so each
// block walks along the sequence with its slice in f32 accumulators. Loads of
// the next chunk run during the work on this one.
__global__ void __launch_bounds__(kThreads)
    StateKernel(Problem p, int slice, const float* total, const bf16* u,
                const bf16* w, const float* initial_state, bf16* states,
                bf16* vn, float* final_state) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const StateShared s(shared_bytes, p.d_k, slice);
  const int first = blockIdx.x * slice, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32;
  const int columns = slice / kTile, tiles = p.d_k / kTile * columns;
  const int wide = p.d_k + kPad, narrow = slice + kPad;
  const int64_t state_at =
      (static_cast<int64_t>(b) * p.v_heads + h) * p.d_k * p.d_v + first;
  float* patch = s.patches + warp * kPatch;

  const auto load = [&](int c) {
    const int64_t n = p.chunk_index(b, h, c);
    const int to = c % 2;
    LoadRows(s.w + to * kChunk * wide, wide, w + n * kChunk * p.d_k, p.d_k,
             p.d_k, kChunk);
    LoadRows(s.k + to * kChunk * wide, wide, p.k + p.qk_start(b, h, c),
             p.qk_row(), p.d_k, p.valid(c));
    LoadRows(s.u + to * kChunk * narrow, narrow, u + n * kChunk * p.d_v + first,
             p.d_v, slice, kChunk);
    if (threadIdx.x < kChunk) {
      s.total[to * kChunk + threadIdx.x] = total[n * kChunk + threadIdx.x];
    }
    __pipeline_commit();
  };

  Acc state[kTilesPerWarp];
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    state[x] = Acc{};
    if (tile < tiles && initial_state != nullptr) {
      LoadAcc(state[x],
              initial_state + state_at + tile / columns * kTile * p.d_v +
                  tile % columns * kTile,
              p.d_v);
    }
  }
  load(0);
  for (int c = 0; c < p.chunks; ++c) {
    const int64_t n = p.chunk_index(b, h, c);
    const int at = c % 2 * kChunk;  // first row of what is loaded
    const float* sums = s.total + at;
    __pipeline_wait_prior(0);
    __syncthreads();  // this chunk is here; the other buffers are free
    if (c + 1 < p.chunks) load(c + 1);

#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      const Share share = ReadTile(state[x], patch);
      const int row = tile / columns * kTile + ShareRow();
      const int column = tile % columns * kTile + ShareColumn();
      StoreShare(s.state + row * narrow + column, share);
      StoreShare(states + (n * p.d_k + row) * p.d_v + first + column, share);
    }
    __syncthreads();

    // Vn = U - W S; what goes into the state is diag(d) Vn.
    const int row = warp * kTile + ShareRow();
    const float to_end = __expf(sums[kChunk - 1] - sums[row]);
    for (int j = 0; j < columns; ++j) {
      const int column = j * kTile + ShareColumn();
      Acc acc;
      MmaAdd<false, false>(acc, s.w + at * wide, wide, warp, s.state, narrow, j,
                           0, p.d_k / kTile);
      Share share = ReadTile(acc, patch);
      const Share values = LoadShare(s.u + (at + row) * narrow + column);
      for (int e = 0; e < 8; ++e) share.x[e] = values.x[e] - share.x[e];
      StoreShare(vn + (n * kChunk + row) * p.d_v + first + column, share);
      for (int e = 0; e < 8; ++e) share.x[e] *= to_end;
      StoreShare(s.vn + row * narrow + column, share);
    }
    __syncthreads();

    const float decay = __expf(sums[kChunk - 1]);
#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      Scale(state[x], decay);
      MmaAdd<true, false>(state[x], s.k + at * wide, wide, tile / columns, s.vn,
                          narrow, tile % columns, 0, kRowTiles);
    }
  }
  if (final_state == nullptr) return;
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    if (tile >= tiles) continue;
    StoreAcc(final_state + state_at + tile / columns * kTile * p.d_v +
                 tile % columns * kTile,
             state[x], p.d_v);
  }
}

struct OutputShared {
  __host__ __device__ OutputShared(unsigned char* base, int d_k, int d_v) {
    Carver carver(base);
    q = carver.Take<bf16>(kChunk * (d_k + kPad));
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    state = carver.Take<bf16>(d_k * (d_v + kPad));
    vn = carver.Take<bf16>(kChunk * (d_v + kPad));
    scores = carver.Take<bf16>(kChunk * kSquare);
    patches = carver.Take<float>(kWarps * kPatch);
    total = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *q, *k, *state, *vn, *scores;
  float *patches, *total;
  int bytes;
};

// grid (chunks, v_heads, batch). O = scale diag(E) Q S + P Vn; S and Vn arrive
// while P is computed.
__global__ void __launch_bounds__(kThreads)
    OutputKernel(Problem p, const float* total, const bf16* states,
                 const bf16* vn, bf16* o) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const OutputShared s(shared_bytes, p.d_k, p.d_v);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, valid = p.valid(c);
  const int wide = p.d_k + kPad, narrow = p.d_v + kPad;
  const int64_t n = p.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  const int64_t qk = p.qk_start(b, h, c);
  LoadRows(s.q, wide, p.q + qk, p.qk_row(), p.d_k, valid);
  LoadRows(s.k, wide, p.k + qk, p.qk_row(), p.d_k, valid);
  __pipeline_commit();
  LoadRows(s.state, narrow, states + n * p.d_k * p.d_v, p.d_v, p.d_v, p.d_k,
           p.d_k);
  LoadRows(s.vn, narrow, vn + n * kChunk * p.d_v, p.d_v, p.d_v, kChunk);
  __pipeline_commit();
  if (threadIdx.x < kChunk) {
    s.total[threadIdx.x] = total[n * kChunk + threadIdx.x];
  }
  __pipeline_wait_prior(1);
  __syncthreads();

  // P = scale lower(Q K') . Lm; tiles above the diagonal are never read.
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
  __pipeline_wait_prior(0);
  __syncthreads();

  for (int j = warp; j < p.d_v / kTile; j += kWarps) {
    Acc old[kRowTiles], fresh[kRowTiles];
    MmaColumn<false>(old, s.q, wide, s.state, narrow, j, p.d_k / kTile);
#pragma unroll
    for (int k = 0; k < kRowTiles; ++k) {
      const Operand y =
          LoadOperand<false, false>(s.vn + (k * narrow + j) * kTile, narrow);
#pragma unroll
      for (int i = k; i < kRowTiles; ++i) {
        Multiply(fresh[i],
                 LoadOperand<true, false>(s.scores + (i * kSquare + k) * kTile,
                                          kSquare),
                 y);
      }
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      Share share = ReadTile(old[i], patch);
      const Share more = ReadTile(fresh[i], patch);
      const int row = i * kTile + ShareRow();
      const float factor = p.scale * __expf(s.total[row]);
      for (int e = 0; e < 8; ++e) {
        share.x[e] = factor * share.x[e] + more.x[e];
      }
      if (row < valid) {
        StoreShare(o + p.v_start(b, h, c) + row * p.v_row() + j * kTile +
                       ShareColumn(),
                   share);
      }
    }
  }
}

}  // namespace

Problem MakeProblem(const DeltaRuleArgs& args) {
  Problem p;
  static_cast<Layout&>(p) = MakeLayout(RecurrenceSizes(args));
  p.q = cuda::Data<BFloat16>(args.q);
  p.k = cuda::Data<BFloat16>(args.k);
  p.v = cuda::Data<BFloat16>(args.v);
  p.beta = cuda::Data<float>(args.beta);
  p.g = cuda::Data<float>(args.g);
  p.scale = args.scale;
  return p;
}

int SliceColumns(const Context& ctx, const DeltaRuleArgs& args) {
  const DeltaRuleSizes n(args);
  // Wider slices reuse what a block loads; narrower ones make more blocks. The
  // choice does not change a bit of the result.
  const int64_t blocks = n.batch * n.v_heads * (n.d_v / 32);
  return n.d_v % 32 == 0 && blocks >= ctx.info().multiprocessors ? 32 : 16;
}

absl::Status ComputeChunks(Context& ctx, const DeltaRuleArgs& args, bool with_t,
                           float* final_state, ChunkTensors* chunks) {
  const Problem p = MakeProblem(args);
  const DeltaRuleSizes sizes(args);
  const cudaStream_t stream = cuda::StreamOf(ctx);
  const int64_t n = sizes.batch * sizes.v_heads * p.chunks;
  const DType bf = DType::kBF16;
  LT2_ASSIGN_OR_RETURN(chunks->total, ctx.Empty(DType::kF32, {n, kChunk}));
  LT2_ASSIGN_OR_RETURN(chunks->u, ctx.Empty(bf, {n, kChunk, sizes.d_v}));
  LT2_ASSIGN_OR_RETURN(chunks->w, ctx.Empty(bf, {n, kChunk, sizes.d_k}));
  LT2_ASSIGN_OR_RETURN(chunks->vn, ctx.Empty(bf, {n, kChunk, sizes.d_v}));
  LT2_ASSIGN_OR_RETURN(chunks->states,
                       ctx.Empty(bf, {n, sizes.d_k, sizes.d_v}));
  if (with_t) {
    LT2_ASSIGN_OR_RETURN(chunks->t, ctx.Empty(bf, {n, kChunk, kChunk}));
  }
  const dim3 per_chunk(p.chunks, p.v_heads, sizes.batch);
  const int prepare_bytes = PrepareShared(nullptr, p.d_k, p.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(PrepareKernel, prepare_bytes));
  PrepareKernel<<<per_chunk, kThreads, prepare_bytes, stream>>>(
      p, cuda::Data<float>(chunks->total), cuda::Data<BFloat16>(chunks->t),
      cuda::Data<BFloat16>(chunks->u), cuda::Data<BFloat16>(chunks->w));
  LT2_RETURN_LAUNCH_ERROR("delta rule prepare");

  const int slice = SliceColumns(ctx, args);
  const dim3 per_slice(p.d_v / slice, p.v_heads, sizes.batch);
  const int state_bytes = StateShared(nullptr, p.d_k, slice).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(StateKernel, state_bytes));
  StateKernel<<<per_slice, kThreads, state_bytes, stream>>>(
      p, slice, cuda::Data<float>(chunks->total),
      cuda::Data<BFloat16>(chunks->u), cuda::Data<BFloat16>(chunks->w),
      cuda::Data<float>(args.initial_state),
      cuda::Data<BFloat16>(chunks->states), cuda::Data<BFloat16>(chunks->vn),
      final_state);
  LT2_RETURN_LAUNCH_ERROR("delta rule states");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::delta_rule

namespace lt2::kernels {

absl::Status DeltaRuleScalarCuda(Context& ctx, const DeltaRuleArgs& args,
                                 DeltaRuleResults* results) {
  using namespace delta_rule;  // NOLINT
  ChunkTensors chunks;
  LT2_RETURN_IF_ERROR(ComputeChunks(ctx, args, /*with_t=*/false,
                                    cuda::Data<float>(results->final_state),
                                    &chunks));
  const Problem p = MakeProblem(args);
  const dim3 grid(p.chunks, p.v_heads, DeltaRuleSizes(args).batch);
  const int bytes = OutputShared(nullptr, p.d_k, p.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(OutputKernel, bytes));
  OutputKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(
      p, cuda::Data<float>(chunks.total), cuda::Data<BFloat16>(chunks.states),
      cuda::Data<BFloat16>(chunks.vn), cuda::Data<BFloat16>(results->o));
  LT2_RETURN_LAUNCH_ERROR("delta rule output");
  return absl::OkStatus();
}

}  // namespace lt2::kernels
