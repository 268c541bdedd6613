// The operands of a chunk whose decay is per channel.

#include "kernels/linear_attention/chunk_channel.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = kChannelWarps;
constexpr int kThreads = kChannelThreads;
// Pairs i >= j of a sub-chunk, and how many of them a lane computes.
constexpr int kPairs = kTile * (kTile + 1) / 2;
constexpr int kPairsPerLane = (kPairs + 31) / 32;
// 16x16 tiles below the diagonal.
constexpr int kLowTiles = kRowTiles * (kRowTiles - 1) / 2;

struct Outputs {
  bf16 *qe, *kd, *p;
  float* end;
  bf16* ke;   // only with kKeys
  float* kk;  // only with kKeys
};

template <bool kKeys>
struct PrepareShared {
  __host__ __device__ explicit PrepareShared(unsigned char* base)
      : PrepareShared(Carver(base)) {}
  __host__ __device__ explicit PrepareShared(Carver carver) : slice(carver) {
    near_q = carver.Take<bf16>(kChunk * kSliceLd);
    near_k = kKeys ? carver.Take<bf16>(kChunk * kSliceLd) : nullptr;
    earlier = carver.Take<bf16>(kEarlierRows * kSliceLd);
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  ChannelSlice slice;
  bf16 *near_q, *near_k;  // e^{G_i - R_I} times q and k
  bf16* earlier;          // StoreEarlier's rows
  float* patches;
  int bytes;
};

// Row and column of the t-th pair j <= i, counted row by row.
struct Pair {
  int i, j;
};
__device__ __forceinline__ Pair PairAt(int t) {
  int i = 0;
  while ((i + 1) * (i + 2) / 2 <= t) ++i;
  return {i, t - i * (i + 1) / 2};
}
// The same for tiles below the diagonal.
__device__ __forceinline__ Pair LowTileAt(int t) {
  const Pair p = PairAt(t);
  return {p.i + 1, p.j};
}

// Everything of the slice that is elementwise: near_q, near_k and earlier in
// shared memory, qe, kd and ke in the workspace.
template <bool kKeys>
__device__ void DecayRows(const PrepareShared<kKeys>& s, const Layout& l,
                          float scale, int64_t n, int first, int width,
                          const Outputs& out) {
  const int vectors = width / 8;
  for (int e = threadIdx.x; e < kChunk * vectors; e += kThreads) {
    const int row = e / vectors, column = e % vectors * 8, own = row / kTile;
    const Share local = s.slice.Local(row, column);
    const Share query = LoadShare(s.slice.q + row * kSliceLd + column);
    const Share key = LoadShare(s.slice.k + row * kSliceLd + column);
    Share from_start, to_end;
    for (int x = 0; x < 8; ++x) {
      const float* base = s.slice.base + column + x;
      from_start.x[x] = base[own * kSlice] + local.x[x];
      to_end.x[x] = base[kRowTiles * kSlice] - base[own * kSlice] - local.x[x];
    }
    StoreShare(s.near_q + row * kSliceLd + column, Decayed(query, local));
    StoreEarlier(s.slice, key, local, row, column, s.earlier);

    const int64_t at = (n * kChunk + row) * l.d_k + first + column;
    Share qe = Decayed(query, from_start);
    for (int x = 0; x < 8; ++x) qe.x[x] *= scale;
    StoreShare(out.qe + at, qe);
    StoreShare(out.kd + at, Decayed(key, to_end));
    if constexpr (kKeys) {
      StoreShare(s.near_k + row * kSliceLd + column, Decayed(key, local));
      StoreShare(out.ke + at, Decayed(key, from_start));
    }
  }
  if (threadIdx.x < width) {
    out.end[n * l.d_k + first + threadIdx.x] =
        __expf(s.slice.base[kRowTiles * kSlice + threadIdx.x]);
  }
}

// grid (chunks, v_heads, batch). Sums over channels stay in registers from
// slice to slice.
template <bool kKeys>
__global__ void __launch_bounds__(kThreads)
    PrepareChannelKernel(Layout l, PrepareInputs in, Outputs out) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const PrepareShared<kKeys> s(shared_bytes);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int64_t n = l.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  // Tiles below the diagonal: those of Q K', then those of K K'.
  constexpr int kTiles = kKeys ? 2 * kLowTiles : kLowTiles;
  constexpr int kTilesPerWarp = (kTiles + kWarps - 1) / kWarps;
  Acc acc[kTilesPerWarp];
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) acc[x] = Acc{};
  // The warp's sub-chunk itself.
  int row_i[kPairsPerLane], row_j[kPairsPerLane];
  float qk[kPairsPerLane], kk[kPairsPerLane];
#pragma unroll
  for (int x = 0; x < kPairsPerLane; ++x) {
    // The last pairs of some lanes are one pair too many: computed, not stored.
    const Pair pair = PairAt(min(lane + 32 * x, kPairs - 1));
    row_i[x] = warp * kTile + pair.i;
    row_j[x] = warp * kTile + pair.j;
    qk[x] = kk[x] = 0;
  }

  for (int first = 0; first < l.d_k; first += kSlice) {
    const int width = min(kSlice, l.d_k - first);
    s.slice.Load(l, in, b, h, c, first, width);
    DecayRows<kKeys>(s, l, in.scale, n, first, width, out);
    __syncthreads();
#pragma unroll
    for (int x = 0; x < kTilesPerWarp; ++x) {
      const int task = warp + x * kWarps;
      if (task >= kTiles) continue;
      const Pair tile = LowTileAt(task % kLowTiles);
      const bf16* rows = task < kLowTiles ? s.near_q : s.near_k;
      MmaAdd<false, true>(acc[x], rows, kSliceLd, tile.i,
                          s.earlier + EarlierRow(tile.i) * kSliceLd, kSliceLd,
                          tile.j, 0, width / kTile);
    }
#pragma unroll
    for (int x = 0; x < kPairsPerLane; ++x) {
      for (int column = 0; column < width; column += 8) {
        const Share gi = s.slice.Local(row_i[x], column);
        const Share gj = s.slice.Local(row_j[x], column);
        const Share kj = LoadShare(s.slice.k + row_j[x] * kSliceLd + column);
        const Share qi = LoadShare(s.slice.q + row_i[x] * kSliceLd + column);
        Share decayed;
        for (int e = 0; e < 8; ++e) {
          decayed.x[e] = kj.x[e] * __expf(gi.x[e] - gj.x[e]);
        }
        qk[x] += Dot(qi, decayed);
        if constexpr (kKeys) {
          kk[x] +=
              Dot(LoadShare(s.slice.k + row_i[x] * kSliceLd + column), decayed);
        }
      }
    }
  }

  bf16* p = out.p + n * kChunk * kChunk;
  float* keys = kKeys ? out.kk + n * kChunk * kChunk : nullptr;
#pragma unroll
  for (int x = 0; x < kTilesPerWarp; ++x) {
    const int task = warp + x * kWarps;
    if (task >= kTiles) continue;
    const Pair tile = LowTileAt(task % kLowTiles);
    if (task < kLowTiles) {
      Scale(acc[x], in.scale);
      const Share share = ReadTile(acc[x], patch);
      StoreShare(p + (tile.i * kTile + ShareRow()) * kChunk + tile.j * kTile +
                     ShareColumn(),
                 share);
    } else {
      StoreAcc(keys + (tile.i * kChunk + tile.j) * kTile, acc[x], kChunk);
    }
  }
#pragma unroll
  for (int x = 0; x < kPairsPerLane; ++x) {
    if (lane + 32 * x >= kPairs) continue;
    const int i = row_i[x], j = row_j[x];
    if (i != j) p[j * kChunk + i] = __float2bfloat16(0.0f);
    p[i * kChunk + j] = __float2bfloat16(in.scale * qk[x]);
    if constexpr (kKeys) keys[i * kChunk + j] = kk[x];
  }
}

template <bool kKeys>
absl::Status Launch(Context& ctx, const Layout& l, const PrepareInputs& inputs,
                    const Outputs& outputs) {
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = PrepareShared<kKeys>(nullptr).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(PrepareChannelKernel<kKeys>, bytes));
  PrepareChannelKernel<kKeys>
      <<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(l, inputs, outputs);
  LT2_RETURN_LAUNCH_ERROR("chunk prepare per channel");
  return absl::OkStatus();
}

}  // namespace

absl::Status PrepareChannel(Context& ctx, const Layout& l,
                            const PrepareInputs& inputs,
                            const Operands& operands, const Tensor& ke,
                            const Tensor& kk) {
  Outputs out;
  out.qe = cuda::Data<BFloat16>(operands.qe);
  out.kd = cuda::Data<BFloat16>(operands.kd);
  out.p = cuda::Data<BFloat16>(operands.p);
  out.end = cuda::Data<float>(operands.end);
  out.ke = cuda::Data<BFloat16>(ke);
  out.kk = cuda::Data<float>(kk);
  return ke.defined() ? Launch<true>(ctx, l, inputs, out)
                      : Launch<false>(ctx, l, inputs, out);
}

}  // namespace lt2::kernels::chunked
