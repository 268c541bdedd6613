// The walk of chunk_walk.cuh.

#include "kernels/linear_attention/chunk_walk.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
// d_k <= 128 and slices of at most 32 columns: at most 16 tiles.
constexpr int kTilesPerWarp = 4;

// a, x, end and w hold two chunks, the one at hand and the next.
template <bool kCorrect>
struct WalkShared {
  __host__ __device__ WalkShared(unsigned char* base, int d_k, int slice)
      : wide(kChunk * (d_k + kPad)), narrow(kChunk * (slice + kPad)) {
    Carver carver(base);
    a = carver.Take<bf16>(2 * wide);
    x = carver.Take<bf16>(2 * narrow);
    end = carver.Take<float>(2 * d_k);
    if (kCorrect) {
      w = carver.Take<bf16>(2 * wide);
      state = carver.Take<bf16>(d_k * (slice + kPad));
      corrected = carver.Take<bf16>(narrow);
    }
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  int wide, narrow;  // elements of a buffer
  bf16 *a, *x, *w, *state, *corrected;
  float *end, *patches;
  int bytes;
};

// grid (d_v / slice, v_heads, batch). Columns of S do not mix, so each block
// walks with its slice in f32 accumulators. Loads of the next chunk run during
// the work on this one.
template <bool kCorrect>
__global__ void __launch_bounds__(kThreads) WalkKernel(Walk k) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const Layout& l = k.layout;
  const WalkShared<kCorrect> s(shared_bytes, l.d_k, k.slice);
  const int first = blockIdx.x * k.slice, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32;
  const int columns = k.slice / kTile, tiles = l.d_k / kTile * columns;
  const int wide = l.d_k + kPad, narrow = k.slice + kPad;
  const int64_t state_at =
      (static_cast<int64_t>(b) * l.v_heads + h) * l.d_k * l.d_v + first;
  float* patch = s.patches + warp * kPatch;

  // Loads the chunk of this step into its buffers.
  const auto chunk_of = [&](int step) {
    return k.reverse ? l.chunks - 1 - step : step;
  };
  const auto load = [&](int step) {
    const int c = chunk_of(step), to = step % 2;
    const int64_t n = l.chunk_index(b, h, c);
    LoadRows(s.a + to * s.wide, wide, k.a + n * kChunk * l.d_k, l.d_k, l.d_k,
             kChunk);
    LoadRows(s.x + to * s.narrow, narrow, k.x.chunk(l, b, h, c) + first,
             k.x.row(l), k.slice, k.x.valid(l, c));
    if constexpr (kCorrect) {
      LoadRows(s.w + to * s.wide, wide, k.w + n * kChunk * l.d_k, l.d_k, l.d_k,
               kChunk);
    }
    if (threadIdx.x < l.d_k) {
      s.end[to * l.d_k + threadIdx.x] = k.end[n * l.d_k + threadIdx.x];
    }
    __pipeline_commit();
  };

  Acc state[kTilesPerWarp];
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    state[x] = Acc{};
    if (tile < tiles && k.first != nullptr) {
      LoadAcc(state[x],
              k.first + state_at + tile / columns * kTile * l.d_v +
                  tile % columns * kTile,
              l.d_v);
    }
  }
  load(0);
  for (int step = 0; step < l.chunks; ++step) {
    const int64_t n = l.chunk_index(b, h, chunk_of(step));
    const int at = step % 2;
    __pipeline_wait_prior(0);
    __syncthreads();  // this chunk is here; the other buffers are free
    if (step + 1 < l.chunks) load(step + 1);

#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      const Share share = ReadTile(state[x], patch);
      const int row = tile / columns * kTile + ShareRow();
      const int column = tile % columns * kTile + ShareColumn();
      StoreShare(k.states + (n * l.d_k + row) * l.d_v + first + column, share);
      if constexpr (kCorrect) {
        StoreShare(s.state + row * narrow + column, share);
      }
    }

    const bf16* news = s.x + at * s.narrow;
    if constexpr (kCorrect) {
      __syncthreads();
      const int row = warp * kTile + ShareRow();
      for (int j = 0; j < columns; ++j) {
        const int column = j * kTile + ShareColumn();
        Acc acc;
        MmaAdd<false, false>(acc, s.w + at * s.wide, wide, warp, s.state,
                             narrow, j, 0, l.d_k / kTile);
        Share share = ReadTile(acc, patch);
        const Share values =
            LoadShare(s.x + at * s.narrow + row * narrow + column);
        for (int e = 0; e < 8; ++e) share.x[e] = values.x[e] - share.x[e];
        StoreShare(k.corrected + (n * kChunk + row) * l.d_v + first + column,
                   share);
        StoreShare(s.corrected + row * narrow + column, share);
      }
      __syncthreads();
      news = s.corrected;
    }

#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int tile = warp + x * kWarps;
      if (tile >= tiles) continue;
      ScaleRows(state[x], s.end + at * l.d_k + tile / columns * kTile);
      MmaAdd<true, false>(state[x], s.a + at * s.wide, wide, tile / columns,
                          news, narrow, tile % columns, 0, kRowTiles);
    }
  }
  if (k.last == nullptr) return;
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int tile = warp + x * kWarps;
    if (tile >= tiles) continue;
    StoreAcc(k.last + state_at + tile / columns * kTile * l.d_v +
                 tile % columns * kTile,
             state[x], l.d_v);
  }
}

template <bool kCorrect>
absl::Status Launch(Context& ctx, const Walk& walk) {
  const Layout& l = walk.layout;
  const dim3 grid(l.d_v / walk.slice, l.v_heads, l.batch);
  const int bytes = WalkShared<kCorrect>(nullptr, l.d_k, walk.slice).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(WalkKernel<kCorrect>, bytes));
  WalkKernel<kCorrect><<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(walk);
  LT2_RETURN_LAUNCH_ERROR("chunk walk");
  return absl::OkStatus();
}

}  // namespace

absl::Status RunWalk(Context& ctx, const Walk& walk) {
  return walk.w != nullptr ? Launch<true>(ctx, walk) : Launch<false>(ctx, walk);
}

}  // namespace lt2::kernels::chunked
