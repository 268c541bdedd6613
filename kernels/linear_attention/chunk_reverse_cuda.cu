// The chunk engine backward, first part: the gradient of the state against the
// sequence, and for the delta rule the gradient of Vn with it.

#include "kernels/linear_attention/chunk_engine.cuh"
#include "kernels/linear_attention/chunk_walk.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

struct LocalShared {
  __host__ __device__ LocalShared(unsigned char* base, int d_v) {
    Carver carver(base);
    p = carver.Take<bf16>(kChunk * kSquare);
    dout = carver.Take<bf16>(kChunk * (d_v + kPad));
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  bf16 *p, *dout;
  float* patches;
  int bytes;
};

// grid (chunks, v_heads, batch). local[n, 64, d_v] = P' dO, the part of the
// gradient of Vn that stays inside the chunk.
__global__ void __launch_bounds__(kThreads)
    LocalKernel(Layout l, const bf16* p, ValueRows dout, bf16* local) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const LocalShared s(shared_bytes, l.d_v);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, narrow = l.d_v + kPad;
  const int64_t n = l.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  LoadRows(s.p, kSquare, p + n * kChunk * kChunk, kChunk, kChunk, kChunk);
  LoadRows(s.dout, narrow, dout.chunk(l, b, h, c), dout.row(l), l.d_v,
           dout.valid(l, c));
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();

  for (int j = warp; j < l.d_v / kTile; j += kWarps) {
    for (int i = 0; i < kRowTiles; ++i) {
      Acc acc;
      MmaAdd<true, false>(acc, s.p, kSquare, i, s.dout, narrow, j, i,
                          kRowTiles);
      const Share share = ReadTile(acc, patch);
      StoreShare(local + (n * kChunk + i * kTile + ShareRow()) * l.d_v +
                     j * kTile + ShareColumn(),
                 share);
    }
  }
}

// Arguments of ReverseKernel; names of chunk_engine.cuh.
struct Reverse {
  Layout layout;
  int slice;
  const bf16 *qe, *kd, *w, *local;
  const float* end;
  ValueRows dout;
  const float* dfinal_state;  // may be null
  bf16 *dstates, *dvn;
  float* dinitial_state;  // may be null
};

// qe to end hold two chunks, the one at hand and the next.
struct ReverseShared {
  __host__ __device__ ReverseShared(unsigned char* base, int d_k, int slice)
      : wide(kChunk * (d_k + kPad)), narrow(kChunk * (slice + kPad)) {
    Carver carver(base);
    qe = carver.Take<bf16>(2 * wide);
    kd = carver.Take<bf16>(2 * wide);
    w = carver.Take<bf16>(2 * wide);
    local = carver.Take<bf16>(2 * narrow);
    dout = carver.Take<bf16>(2 * narrow);
    end = carver.Take<float>(2 * d_k);
    dstate = carver.Take<bf16>(d_k * (slice + kPad));
    dvn = carver.Take<bf16>(narrow);
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  int wide, narrow;  // elements of a buffer
  bf16 *qe, *kd, *w, *local, *dout, *dstate, *dvn;
  float *end, *patches;
  int bytes;
};

// d_k <= 128 and slices of at most 32 columns: at most 16 tiles.
constexpr int kTilesPerWarp = 4;

// grid (d_v / slice, v_heads, batch). Chunks last to first; the gradient of the
// state stays in f32 accumulators.
__global__ void __launch_bounds__(kThreads) ReverseKernel(Reverse k) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const Layout& l = k.layout;
  const ReverseShared s(shared_bytes, l.d_k, k.slice);
  const int first = blockIdx.x * k.slice, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32;
  const int columns = k.slice / kTile, tiles = l.d_k / kTile * columns;
  const int wide = l.d_k + kPad, narrow = k.slice + kPad;
  const int64_t state_at =
      (static_cast<int64_t>(b) * l.v_heads + h) * l.d_k * l.d_v + first;
  float* patch = s.patches + warp * kPatch;

  const auto load = [&](int c) {
    const int64_t n = l.chunk_index(b, h, c), keys = n * kChunk * l.d_k;
    const int to = c % 2;
    LoadRows(s.qe + to * s.wide, wide, k.qe + keys, l.d_k, l.d_k, kChunk);
    LoadRows(s.kd + to * s.wide, wide, k.kd + keys, l.d_k, l.d_k, kChunk);
    LoadRows(s.w + to * s.wide, wide, k.w + keys, l.d_k, l.d_k, kChunk);
    LoadRows(s.local + to * s.narrow, narrow,
             k.local + n * kChunk * l.d_v + first, l.d_v, k.slice, kChunk);
    LoadRows(s.dout + to * s.narrow, narrow, k.dout.chunk(l, b, h, c) + first,
             k.dout.row(l), k.slice, k.dout.valid(l, c));
    if (threadIdx.x < l.d_k) {
      s.end[to * l.d_k + threadIdx.x] = k.end[n * l.d_k + threadIdx.x];
    }
    __pipeline_commit();
  };

  Acc dstate[kTilesPerWarp];
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    dstate[x] = Acc{};
    if (tile < tiles && k.dfinal_state != nullptr) {
      LoadAcc(dstate[x],
              k.dfinal_state + state_at + tile / columns * kTile * l.d_v +
                  tile % columns * kTile,
              l.d_v);
    }
  }
  load(l.chunks - 1);
  for (int c = l.chunks - 1; c >= 0; --c) {
    const int64_t n = l.chunk_index(b, h, c);
    const int at = c % 2;
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
      StoreShare(k.dstates + (n * l.d_k + row) * l.d_v + first + column, share);
    }
    __syncthreads();

    // dVn = P' dO + Kd dS, kept negated for the update below.
    const int row = warp * kTile + ShareRow();
    for (int j = 0; j < columns; ++j) {
      const int column = j * kTile + ShareColumn();
      Acc acc;
      MmaAdd<false, false>(acc, s.kd + at * s.wide, wide, warp, s.dstate,
                           narrow, j, 0, l.d_k / kTile);
      Share share = ReadTile(acc, patch);
      const Share inside =
          LoadShare(s.local + at * s.narrow + row * narrow + column);
      for (int e = 0; e < 8; ++e) share.x[e] += inside.x[e];
      StoreShare(k.dvn + (n * kChunk + row) * l.d_v + first + column, share);
      for (int e = 0; e < 8; ++e) share.x[e] = -share.x[e];
      StoreShare(s.dvn + row * narrow + column, share);
    }
    __syncthreads();

    // dS = diag(E) dS + Qe' dO - W' dVn.
#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      ScaleRows(dstate[x], s.end + at * l.d_k + tile / columns * kTile);
      MmaAdd<true, false>(dstate[x], s.qe + at * s.wide, wide, tile / columns,
                          s.dout + at * s.narrow, narrow, tile % columns, 0,
                          kRowTiles);
      MmaAdd<true, false>(dstate[x], s.w + at * s.wide, wide, tile / columns,
                          s.dvn, narrow, tile % columns, 0, kRowTiles);
    }
  }
  if (k.dinitial_state == nullptr) return;
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    if (tile >= tiles) continue;
    StoreAcc(k.dinitial_state + state_at + tile / columns * kTile * l.d_v +
                 tile % columns * kTile,
             dstate[x], l.d_v);
  }
}

// Without W the gradient of the state is a walk from the last chunk.
absl::Status ReverseWalk(Context& ctx, const Layout& l,
                         const Operands& operands, const ValueRows& dout,
                         const float* dfinal_state, const Tensor& dstates,
                         float* dinitial_state) {
  Walk walk;
  walk.layout = l;
  walk.slice = SliceColumns(ctx, l);
  walk.reverse = true;
  walk.a = cuda::Data<BFloat16>(operands.qe);
  walk.x = dout;
  walk.w = nullptr;
  walk.end = cuda::Data<float>(operands.end);
  walk.first = dfinal_state;
  walk.states = cuda::Data<BFloat16>(dstates);
  walk.corrected = nullptr;
  walk.last = dinitial_state;
  return RunWalk(ctx, walk);
}

}  // namespace

absl::Status RunReverse(Context& ctx, const Layout& l, const Operands& operands,
                        const ValueRows& dout, const float* dfinal_state,
                        const Tensor& local, const Tensor& dstates,
                        const Tensor& dvn, float* dinitial_state) {
  if (!operands.w.defined()) {
    return ReverseWalk(ctx, l, operands, dout, dfinal_state, dstates,
                       dinitial_state);
  }
  const cudaStream_t stream = cuda::StreamOf(ctx);
  const dim3 per_chunk(l.chunks, l.v_heads, l.batch);
  const int local_bytes = LocalShared(nullptr, l.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(LocalKernel, local_bytes));
  LocalKernel<<<per_chunk, kThreads, local_bytes, stream>>>(
      l, cuda::Data<BFloat16>(operands.p), dout, cuda::Data<BFloat16>(local));
  LT2_RETURN_LAUNCH_ERROR("chunk local gradient");

  Reverse k;
  k.layout = l;
  k.slice = SliceColumns(ctx, l);
  k.qe = cuda::Data<BFloat16>(operands.qe);
  k.kd = cuda::Data<BFloat16>(operands.kd);
  k.w = cuda::Data<BFloat16>(operands.w);
  k.local = cuda::Data<BFloat16>(local);
  k.end = cuda::Data<float>(operands.end);
  k.dout = dout;
  k.dfinal_state = dfinal_state;
  k.dstates = cuda::Data<BFloat16>(dstates);
  k.dvn = cuda::Data<BFloat16>(dvn);
  k.dinitial_state = dinitial_state;
  const dim3 per_slice(l.d_v / k.slice, l.v_heads, l.batch);
  const int bytes = ReverseShared(nullptr, l.d_k, k.slice).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(ReverseKernel, bytes));
  ReverseKernel<<<per_slice, kThreads, bytes, stream>>>(k);
  LT2_RETURN_LAUNCH_ERROR("chunk reverse states");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::chunked
