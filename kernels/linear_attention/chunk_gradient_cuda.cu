// The chunk engine backward, second part: per chunk, all at once, the gradients
// of the operands and dv.

#include "kernels/linear_attention/chunk_engine.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxValueTiles = 16;  // d_v <= 256

// Arguments of the kernel; names of chunk_engine.cuh.
struct Problem {
  Layout layout;
  const bf16 *kd, *p, *states, *dstates;
  ValueRows news, dout;
  Correction correction;  // only with kCorrect
  bf16* dv;
  float *dqe, *dkd, *dp, *dend;
  float *dke, *db, *dr_v;  // only with kCorrect
};

template <bool kCorrect>
struct GradientShared {
  __host__ __device__ GradientShared(unsigned char* base, int d_v) {
    Carver carver(base);
    dout = carver.Take<bf16>(kChunk * (d_v + kPad));
    news = carver.Take<bf16>(kChunk * (d_v + kPad));
    if (kCorrect) {
      dr = carver.Take<bf16>(kChunk * (d_v + kPad));
      dr_v = carver.Take<float>(kChunk * kMaxValueTiles);
      beta = carver.Take<float>(kChunk);
    }
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  bf16 *dout, *news, *dr;
  float *dr_v, *beta, *patches;
  int bytes;
};

// One chunk of one value head.
template <bool kCorrect>
class Chunk {
 public:
  __device__ Chunk(const Problem& problem,
                   const GradientShared<kCorrect>& shared)
      : a(problem),
        l(problem.layout),
        s(shared),
        c(blockIdx.x),
        h(blockIdx.y),
        b(blockIdx.z),
        valid(l.valid(c)),
        narrow(l.d_v + kPad),
        n(l.chunk_index(b, h, c)),
        warp(threadIdx.x / 32),
        patch(s.patches + warp * kPatch),
        state(a.states + n * l.d_k * l.d_v),
        dstate(a.dstates + n * l.d_k * l.d_v) {}

  __device__ void Load() {
    LoadRows(s.dout, narrow, a.dout.chunk(l, b, h, c), a.dout.row(l), l.d_v,
             a.dout.valid(l, c));
    LoadRows(s.news, narrow, a.news.chunk(l, b, h, c), a.news.row(l), l.d_v,
             a.news.valid(l, c));
    __pipeline_commit();
    if constexpr (kCorrect) {
      const int i = threadIdx.x;
      if (i < kChunk) {
        s.beta[i] = i < valid
                        ? a.correction.beta[l.gate_start(b, h, c) +
                                            static_cast<int64_t>(i) * l.v_heads]
                        : 0.0f;
      }
    }
    __pipeline_wait_prior(0);
    __syncthreads();
  }

  // dV = P' dO + Kd dS
  __device__ void Values() {
    const bf16* kd = a.kd + n * kChunk * l.d_k;
    const bf16* p = a.p + n * kChunk * kChunk;
    bf16* to = a.dv + l.v_start(b, h, c);
    for (int j = warp; j < l.d_v / kTile; j += kWarps) {
      Acc acc[kRowTiles];
      Zero(acc);
      MmaColumn<false>(acc, kd, l.d_k, dstate, l.d_v, j, l.d_k / kTile);
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        MmaAdd<true, false>(acc[i], p, kChunk, i, s.dout, narrow, j, i,
                            kRowTiles);
        const Share share = ReadTile(acc[i], patch);
        const int row = i * kTile + ShareRow();
        if (row < valid) {
          StoreShare(to + row * l.v_row() + j * kTile + ShareColumn(), share);
        }
      }
    }
  }

  // dR = T' dVn; dV = diag(beta) dR.
  __device__ void CorrectedValues() {
    const bf16* t = a.correction.t + n * kChunk * kChunk;
    const bf16* dvn = a.correction.dvn + n * kChunk * l.d_v;
    const int64_t v_start = l.v_start(b, h, c);
    for (int tile = warp; tile < l.d_v / kTile * kRowTiles; tile += kWarps) {
      const int i = tile % kRowTiles, j = tile / kRowTiles;
      Acc acc;
      MmaAdd<true, false>(acc, t, kChunk, i, dvn, l.d_v, j, i, kRowTiles);
      Share dr = ReadTile(acc, patch);
      const int row = i * kTile + ShareRow();
      const int column = j * kTile + ShareColumn();
      StoreShare(s.dr + row * narrow + column, dr);
      const int64_t at = v_start + row * l.v_row() + column;
      float sum = 0;
      if (row < valid) {
        sum = Dot(dr, LoadShare(a.correction.v + at));
        for (int e = 0; e < 8; ++e) dr.x[e] *= s.beta[row];
        StoreShare(a.dv + at, dr);
      }
      sum = RowSum(sum);
      if (FirstOfRow()) s.dr_v[row * kMaxValueTiles + j] = sum;
    }
    __syncthreads();
    if (threadIdx.x < kChunk) {
      float sum = 0;
      for (int j = 0; j < l.d_v / kTile; ++j) {
        sum += s.dr_v[threadIdx.x * kMaxValueTiles + j];
      }
      a.dr_v[n * kChunk + threadIdx.x] = sum;
    }
  }

  // dP = dO Vn' and dB = -dR Vn', tiles on and below the diagonal.
  __device__ void Squares() {
    for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
      const int i = tile / kRowTiles, j = tile % kRowTiles;
      if (j > i) continue;
      const int64_t at = n * kChunk * kChunk + (i * kChunk + j) * kTile;
      Acc acc;
      MmaAdd<false, true>(acc, s.dout, narrow, i, s.news, narrow, j, 0,
                          l.d_v / kTile);
      StoreAcc(a.dp + at, acc, kChunk);
      if constexpr (kCorrect) {
        acc = Acc{};
        MmaAdd<false, true>(acc, s.dr, narrow, i, s.news, narrow, j, 0,
                            l.d_v / kTile);
        Scale(acc, -1.0f);
        StoreAcc(a.db + at, acc, kChunk);
      }
    }
  }

  // dQe = dO S', dKd = Vn dS', dKe = -dR S'.
  __device__ void Keys() {
    const int tiles = l.d_k / kTile;
    for (int task = warp; task < (kCorrect ? 3 : 2) * tiles; task += kWarps) {
      const int j = task % tiles;
      if (task < tiles) {
        KeyColumn(s.dout, state, j, 1.0f, a.dqe);
      } else if (task < 2 * tiles) {
        KeyColumn(s.news, dstate, j, 1.0f, a.dkd);
      } else if constexpr (kCorrect) {
        KeyColumn(s.dr, state, j, -1.0f, a.dke);
      }
    }
  }

  // dE = rowsum(S . dS)
  __device__ void End() {
    const int lane = threadIdx.x % 32;
    for (int i = warp; i < l.d_k; i += kWarps) {
      float sum = 0;
      if (lane < l.d_v / 8) {
        sum = Dot(LoadShare(state + i * l.d_v + lane * 8),
                  LoadShare(dstate + i * l.d_v + lane * 8));
      }
      sum = cuda::WarpSum(sum);
      if (lane == 0) a.dend[n * l.d_k + i] = sum;
    }
  }

 private:
  __device__ static void Zero(Acc (&acc)[kRowTiles]) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) acc[i] = Acc{};
  }

  // Column tile j of sign x m', all 64 rows.
  __device__ void KeyColumn(const bf16* x, const bf16* m, int j, float sign,
                            float* out) {
    Acc acc[kRowTiles];
    Zero(acc);
    MmaColumn<true>(acc, x, narrow, m, l.d_v, j, l.d_v / kTile);
    float* to = out + n * kChunk * l.d_k + j * kTile;
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      Scale(acc[i], sign);
      StoreAcc(to + i * kTile * l.d_k, acc[i], l.d_k);
    }
  }

  const Problem& a;
  const Layout& l;
  const GradientShared<kCorrect>& s;
  const int c, h, b, valid, narrow;
  const int64_t n;
  const int warp;
  float* const patch;
  const bf16 *const state, *const dstate;
};

// grid (chunks, v_heads, batch).
template <bool kCorrect>
__global__ void __launch_bounds__(kThreads) OperandGradientKernel(Problem a) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const GradientShared<kCorrect> shared(shared_bytes, a.layout.d_v);
  Chunk<kCorrect> chunk(a, shared);
  chunk.Load();
  if constexpr (kCorrect) {
    chunk.CorrectedValues();  // dR is complete after its barrier
  } else {
    chunk.Values();
  }
  chunk.Squares();
  chunk.Keys();
  chunk.End();
}

template <bool kCorrect>
absl::Status Launch(Context& ctx, const Problem& a) {
  const Layout& l = a.layout;
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = GradientShared<kCorrect>(nullptr, l.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(OperandGradientKernel<kCorrect>, bytes));
  OperandGradientKernel<kCorrect>
      <<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(a);
  LT2_RETURN_LAUNCH_ERROR("chunk operand gradients");
  return absl::OkStatus();
}

}  // namespace

absl::Status RunOperandGradients(Context& ctx, const Layout& l,
                                 const Operands& operands,
                                 const ValueRows& news, const ValueRows& dout,
                                 const Tensor& states, const Tensor& dstates,
                                 const Correction* correction, bf16* dv,
                                 OperandGradients* gradients) {
  const int64_t n = ChunkCount(l);
  const DType f32 = DType::kF32;
  const Shape keys = {n, kChunk, l.d_k}, square = {n, kChunk, kChunk};
  LT2_ASSIGN_OR_RETURN(gradients->dqe, ctx.Empty(f32, keys));
  LT2_ASSIGN_OR_RETURN(gradients->dkd, ctx.Empty(f32, keys));
  LT2_ASSIGN_OR_RETURN(gradients->dp, ctx.Empty(f32, square));
  LT2_ASSIGN_OR_RETURN(gradients->dend, ctx.Empty(f32, {n, l.d_k}));
  if (correction != nullptr) {
    LT2_ASSIGN_OR_RETURN(gradients->dke, ctx.Empty(f32, keys));
    LT2_ASSIGN_OR_RETURN(gradients->db, ctx.Empty(f32, square));
    LT2_ASSIGN_OR_RETURN(gradients->dr_v, ctx.Empty(f32, {n, kChunk}));
  }
  Problem a;
  a.layout = l;
  a.kd = cuda::Data<BFloat16>(operands.kd);
  a.p = cuda::Data<BFloat16>(operands.p);
  a.states = cuda::Data<BFloat16>(states);
  a.dstates = cuda::Data<BFloat16>(dstates);
  a.news = news;
  a.dout = dout;
  a.correction = correction != nullptr ? *correction : Correction{};
  a.dv = dv;
  a.dqe = cuda::Data<float>(gradients->dqe);
  a.dkd = cuda::Data<float>(gradients->dkd);
  a.dp = cuda::Data<float>(gradients->dp);
  a.dend = cuda::Data<float>(gradients->dend);
  a.dke = cuda::Data<float>(gradients->dke);
  a.db = cuda::Data<float>(gradients->db);
  a.dr_v = cuda::Data<float>(gradients->dr_v);
  return correction != nullptr ? Launch<true>(ctx, a) : Launch<false>(ctx, a);
}

}  // namespace lt2::kernels::chunked
