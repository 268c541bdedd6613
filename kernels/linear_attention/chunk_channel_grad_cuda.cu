// From the operands' gradients to those of q, k, g and beta, for a decay per
// channel. Pairs i, j of a chunk have, per channel c and with e =
// e^{G_ic-G_jc},
//
//   dq_i += Z_ij k_j e    dk_j += Z_ij q_i e        Z = scale dP, j <= i
//   dk_i += X_ij k_j e    dk_j += X_ij k_i e        X = diag(beta) dB, j < i
//
// (X only in the delta rule). Pairs of different sub-chunks are matrix
// products, pairs of one sub-chunk are added up one by one. Outside the chunk
//
//   dq_i += scale e^{G_i} dQe_i    dk_i += e^{G_C-G_i} dKd_i + beta_i e^{G_i}
//   dKe_i
//
// Token t's decay scales every path that crosses from before t to t or later:
// with M_ij = (Z_ij q_i + X_ij k_i) k_j e, per channel,
//
//   dg_t = sum_{i >= t > j} M_ij + e^{G_C} dE
//        + sum_{i >= t} (q_i scale e^{G_i} dQe_i + k_i beta_i e^{G_i} dKe_i)
//        + sum_{i < t} k_i e^{G_C-G_i} dKd_i
//
// Only terms that belong to dg_t are ever added: the shorter form, a reverse
// cumulative sum of q.dq + k.dk+ - k.dk-, loses strong decays in the rounding
// of larger sums. For t in sub-chunk s the pairs are: both in s; i in s and j
// before; i behind and j in s; i behind and j before ("across").

#include "kernels/linear_attention/chunk_channel.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = kChannelWarps;
constexpr int kThreads = kChannelThreads;
constexpr int kOwnLd = kTile + 4;  // of f32 [64, 16]: the diagonal's tiles

struct Problem {
  Layout layout;
  PrepareInputs in;
  const float *dqe, *dkd, *dp, *dend;
  bf16 *dq, *dk;
  float* dg;
  // The delta rule's.
  const float *dke, *db, *dr_v;
  DeltaGradient delta;
};

template <bool kDelta>
struct GradientShared {
  __host__ __device__ explicit GradientShared(unsigned char* base)
      : GradientShared(Carver(base)) {}
  __host__ __device__ explicit GradientShared(Carver carver) : slice(carver) {
    for (int i = 0; i < (kDelta ? 2 : 1); ++i) {
      near[i] = carver.Take<bf16>(kChunk * kSliceLd);
      square[i] = carver.Take<bf16>(kChunk * kSquare);
      own[i] = carver.Take<float>(kChunk * kOwnLd);
      plus[i] = carver.Take<float>(kChunk * kSliceF32);
      far_plus[i] = carver.Take<float>(kTile * kSliceF32);
    }
    earlier = carver.Take<bf16>(kEarlierRows * kSliceLd);
    minus = carver.Take<float>(kChunk * kSliceF32);
    far_minus = carver.Take<float>(kTile * kSliceF32);
    from_total = carver.Take<float>(kRowTiles * kSlice);
    to_total = carver.Take<float>(kRowTiles * kSlice);
    across = carver.Take<float>(kRowTiles * kSlice);
    beta = carver.Take<float>(kChunk);
    dbeta = carver.Take<float>(kChunk);
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  ChannelSlice slice;
  // [0] belongs to q and Z, [1] to k and X.
  bf16* near[2];    // e^{G_i - R_I} times q and k
  bf16* square[2];  // Z and X, tiles below the diagonal
  float* own[2];    // Z and X, the diagonal's tiles
  float* plus[2];   // sum over earlier sub-chunks j of Z_ij k_j e^{R_I - G_j}
  float* far_plus[2];  // of the last sub-chunk, without its neighbour's part
  bf16* earlier;       // StoreEarlier's rows
  float* minus;        // sum over later sub-chunks i of (Z_ij q_i + X_ij k_i) e
  float* far_minus;    // of the first sub-chunk, without its neighbour's part
  float *from_total, *to_total, *across;  // [4, 32]
  float *beta, *dbeta, *patches;
  int bytes;
};

__device__ __forceinline__ void StoreFloats(float* to, const Share& s) {
  float4* p = reinterpret_cast<float4*>(to);
  p[0] = make_float4(s.x[0], s.x[1], s.x[2], s.x[3]);
  p[1] = make_float4(s.x[4], s.x[5], s.x[6], s.x[7]);
}

// One chunk of one head.
template <bool kDelta>
class Chunk {
 public:
  __device__ Chunk(const Problem& problem, const GradientShared<kDelta>& shared)
      : a(problem),
        l(problem.layout),
        s(shared),
        c(blockIdx.x),
        h(blockIdx.y),
        b(blockIdx.z),
        valid(l.valid(c)),
        n(l.chunk_index(b, h, c)),
        warp(threadIdx.x / 32),
        lane(threadIdx.x % 32),
        patch(s.patches + warp * kPatch) {}

  // Z and X; of dP and dB only elements below the diagonal count (and dP's on
  // it). Begins dbeta. A warp has the rows of its sub-chunk.
  __device__ void Squares() {
    const int64_t gates = l.gate_start(b, h, c);
    for (int r = 0; r < kTile; ++r) {
      const int i = warp * kTile + r;
      const float beta =
          kDelta && i < valid
              ? a.delta.beta[gates + static_cast<int64_t>(i) * l.v_heads]
              : 0.0f;
      float sum = 0;
      for (int j = lane; j < (warp + 1) * kTile; j += 32) {
        const int64_t at = (n * kChunk + i) * kChunk + j;
        Set(0, i, j, j <= i ? a.in.scale * a.dp[at] : 0.0f);
        if constexpr (kDelta) {
          const float db = j < i ? a.db[at] : 0.0f;
          Set(1, i, j, beta * db);
          if (j < i) sum += db * a.delta.kk[at];
        }
      }
      if constexpr (kDelta) {
        sum = cuda::WarpSum(sum);
        if (lane == 0) {
          s.beta[i] = beta;
          s.dbeta[i] = a.dr_v[n * kChunk + i] + sum;
        }
      }
    }
  }

  // The slice's rows as operands.
  __device__ void DecayRows(int width) {
    const int vectors = width / 8;
    for (int e = threadIdx.x; e < kChunk * vectors; e += kThreads) {
      const int row = e / vectors, column = e % vectors * 8;
      const int at = row * kSliceLd + column;
      const Share local = s.slice.Local(row, column);
      const Share key = LoadShare(s.slice.k + at);
      StoreShare(s.near[0] + at, Decayed(LoadShare(s.slice.q + at), local));
      if constexpr (kDelta) StoreShare(s.near[1] + at, Decayed(key, local));
      StoreEarlier(s.slice, key, local, row, column, s.earlier);
    }
  }

  // Pairs of different sub-chunks.
  __device__ void Products(int width) {
    constexpr int kKinds = kDelta ? 3 : 2;
    const int tasks = width / kTile * kKinds * (kRowTiles - 1);
    for (int task = warp; task < tasks; task += kWarps) {
      const int kind = task % kKinds, rest = task / kKinds;
      const int i = rest % (kRowTiles - 1), j = rest / (kRowTiles - 1);
      if (kind == 0) {
        Minus(i, j);
      } else {
        Plus(kind - 1, i + 1, j);
      }
    }
  }

  // A warp has its sub-chunk and each lane a channel: pairs of the same
  // sub-chunk, and everything put together.
  __device__ void Combine(int first, int width) {
    const bool in = lane < width;  // others compute the last channel again
    const int column = in ? lane : width - 1;
    const int channel = first + column;
    const float base = s.slice.base[warp * kSlice + column];
    const float whole = s.slice.base[kRowTiles * kSlice + column];
    float e[kTile];         // e^{G_i - G_j} for the row i at hand
    float key[kTile];       // k_j
    float dk_after[kTile];  // to k_j from later rows of the sub-chunk
    float dk_rest[kTile];
    float dg[kTile];
    float from_row[kTile];  // what counts for all t <= i of the sub-chunk
#pragma unroll
    for (int i = 0; i < kTile; ++i) dg[i] = 0;
    float from_total = 0, to_total = 0, across = 0, before = 0, last = 0;
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const int row = warp * kTile + i;
      const int64_t at = (n * kChunk + row) * l.d_k + channel;
      const float local = s.slice.local[row * kSliceF32 + column];
      const float q = __bfloat162float(s.slice.q[row * kSliceLd + column]);
      const float k = __bfloat162float(s.slice.k[row * kSliceLd + column]);
      const float alpha = __expf(local - last);
      last = local;

      float dq = s.own[0][row * kOwnLd + i] * k;
      float dk = 0, prefix = 0;
      dk_after[i] = s.own[0][row * kOwnLd + i] * q;
      e[i] = 1;
      key[i] = k;
#pragma unroll
      for (int j = 0; j < i; ++j) {
        const float z = s.own[0][row * kOwnLd + j];
        e[j] *= alpha;
        const float decayed = e[j] * key[j];
        float weight = z * q;
        dq += z * decayed;
        if constexpr (kDelta) {
          const float x = s.own[1][row * kOwnLd + j];
          dk += x * decayed;
          weight += x * k;
        }
        weight *= e[j];
        dk_after[j] += weight;
        prefix += weight * key[j];
        dg[j + 1] += prefix;
      }

      const float near = __expf(local), from_start = __expf(base + local);
      const float to_end = __expf(whole - base - local);
      const float dq_state = a.in.scale * from_start * a.dqe[at];
      const float end = to_end * a.dkd[at];
      const int off = row * kSliceF32 + column;
      const int far = i * kSliceF32 + column;
      float from_state = q * dq_state, pairs = 0;
      dq += dq_state;
      if (warp > 0) {
        const float plus = near * s.plus[0][off];
        dq += plus;
        pairs += q * plus;
      }
      if (warp == kRowTiles - 1) across += q * near * s.far_plus[0][far];
      if constexpr (kDelta) {
        const float dk_state = from_start * a.dke[at];
        const float dbeta = cuda::WarpSum(in ? k * dk_state : 0.0f);
        if (lane == 0) s.dbeta[row] += dbeta;
        from_state += k * s.beta[row] * dk_state;
        dk += s.beta[row] * dk_state;
        if (warp > 0) {
          const float plus = near * s.plus[1][off];
          dk += plus;
          pairs += k * plus;
        }
        if (warp == kRowTiles - 1) across += k * near * s.far_plus[1][far];
      }
      float leaves = k * end;
      to_total += leaves;
      dk += end;
      if (warp < kRowTiles - 1) {
        dk += s.minus[off];
        leaves += k * s.minus[off];
      }
      if (warp == 0) across += k * s.far_minus[far];

      dk_rest[i] = dk;
      dg[i] += before;  // rows before this one
      before += leaves;
      from_total += from_state;
      from_row[i] = from_state + pairs;
      if (in && row < valid) {
        a.dq[l.qk_start(b, h, c) + row * l.qk_row() + channel] =
            __float2bfloat16(dq);
      }
    }
    s.from_total[warp * kSlice + lane] = from_total;
    s.to_total[warp * kSlice + lane] = to_total;
    s.across[warp * kSlice + lane] = across;
    __syncthreads();
    float all = __expf(whole) * a.dend[n * l.d_k + channel];
    for (int i = 0; i < warp; ++i) all += s.to_total[i * kSlice + lane];
    for (int i = warp + 1; i < kRowTiles; ++i) {
      all += s.from_total[i * kSlice + lane];
    }
    // i in 2 and 3, j in 0; i in 3, j in 0 and 1.
    if (warp == 1) all += s.across[lane];
    if (warp == 2) all += s.across[(kRowTiles - 1) * kSlice + lane];
#pragma unroll
    for (int i = kTile - 1; i >= 0; --i) {
      const int row = warp * kTile + i;
      all += from_row[i];
      if (!in || row >= valid) continue;
      const int64_t at = l.qk_start(b, h, c) + row * l.qk_row() + channel;
      a.dk[at] = __float2bfloat16(dk_rest[i] + dk_after[i]);
      a.dg[at] = dg[i] + all;
    }
  }

  __device__ void StoreBeta() {
    if constexpr (kDelta) {
      __syncthreads();
      const int i = threadIdx.x;
      if (i >= valid) return;
      a.delta
          .dbeta[l.gate_start(b, h, c) + static_cast<int64_t>(i) * l.v_heads] =
          s.dbeta[i];
    }
  }

 private:
  __device__ void Set(int which, int i, int j, float x) {
    if (j / kTile < i / kTile) {
      s.square[which][i * kSquare + j] = __float2bfloat16(x);
    } else {
      s.own[which][i * kOwnLd + j % kTile] = x;
    }
  }

  // To sub-chunk i from all before it, channels of tile j.
  __device__ void Plus(int which, int i, int j) {
    const bf16* rows = s.earlier + EarlierRow(i) * kSliceLd;
    Acc acc;
    MmaAdd<false, false>(acc, s.square[which], kSquare, i, rows, kSliceLd, j, 0,
                         i - 1);
    if (i == kRowTiles - 1) {
      StoreAcc(s.far_plus[which] + j * kTile, acc, kSliceF32);
    }
    MmaAdd<false, false>(acc, s.square[which], kSquare, i, rows, kSliceLd, j,
                         i - 1, i);
    StoreAcc(s.plus[which] + (i * kSliceF32 + j) * kTile, acc, kSliceF32);
  }

  // To sub-chunk i from all behind it, channels of tile j.
  __device__ void Minus(int i, int j) {
    const int row = i * kTile + ShareRow(), column = j * kTile + ShareColumn();
    const Share local = s.slice.Local(row, column);
    Share sum = {};
    for (int later = kRowTiles - 1; later > i; --later) {
      Acc acc;
#pragma unroll
      for (int which = 0; which < (kDelta ? 2 : 1); ++which) {
        MmaAdd<true, false>(acc, s.square[which], kSquare, i, s.near[which],
                            kSliceLd, j, later, later + 1);
      }
      const Share part = ReadTile(acc, patch);
      for (int e = 0; e < 8; ++e) {
        const float* base = s.slice.base + column + e;
        sum.x[e] += part.x[e] * __expf(base[later * kSlice] - base[i * kSlice] -
                                       local.x[e]);
      }
      if (i == 0 && later == 2) {
        StoreFloats(s.far_minus + ShareRow() * kSliceF32 + column, sum);
      }
    }
    StoreFloats(s.minus + row * kSliceF32 + column, sum);
  }

  const Problem& a;
  const Layout& l;
  const GradientShared<kDelta>& s;
  const int c, h, b, valid;
  const int64_t n;
  const int warp, lane;
  float* const patch;
};

// grid (chunks, v_heads, batch).
template <bool kDelta>
__global__ void __launch_bounds__(kThreads, 2)
    ChannelGradientKernel(Problem a) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const GradientShared<kDelta> shared(shared_bytes);
  Chunk<kDelta> chunk(a, shared);
  chunk.Squares();
  for (int first = 0; first < a.layout.d_k; first += kSlice) {
    const int width = min(kSlice, a.layout.d_k - first);
    shared.slice.Load(a.layout, a.in, blockIdx.z, blockIdx.y, blockIdx.x, first,
                      width);
    chunk.DecayRows(width);
    __syncthreads();
    chunk.Products(width);
    __syncthreads();
    chunk.Combine(first, width);
  }
  chunk.StoreBeta();
}

template <bool kDelta>
absl::Status Launch(Context& ctx, const Problem& a) {
  const dim3 grid(a.layout.chunks, a.layout.v_heads, a.layout.batch);
  const int bytes = GradientShared<kDelta>(nullptr).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(ChannelGradientKernel<kDelta>, bytes));
  ChannelGradientKernel<kDelta>
      <<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(a);
  LT2_RETURN_LAUNCH_ERROR("chunk gradient per channel");
  return absl::OkStatus();
}

}  // namespace

absl::Status ChannelGradient(Context& ctx, const Layout& l,
                             const PrepareInputs& inputs,
                             const OperandGradients& gradients,
                             const DeltaGradient& delta,
                             const InputGradients& results) {
  Problem a;
  a.layout = l;
  a.in = inputs;
  a.dqe = cuda::Data<float>(gradients.dqe);
  a.dkd = cuda::Data<float>(gradients.dkd);
  a.dp = cuda::Data<float>(gradients.dp);
  a.dend = cuda::Data<float>(gradients.dend);
  a.dq = cuda::Data<BFloat16>(results.dq);
  a.dk = cuda::Data<BFloat16>(results.dk);
  a.dg = cuda::Data<float>(results.dg);
  a.dke = cuda::Data<float>(gradients.dke);
  a.db = cuda::Data<float>(gradients.db);
  a.dr_v = cuda::Data<float>(gradients.dr_v);
  a.delta = delta;
  return delta.beta != nullptr ? Launch<true>(ctx, a) : Launch<false>(ctx, a);
}

}  // namespace lt2::kernels::chunked
