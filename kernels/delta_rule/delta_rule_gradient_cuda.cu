// CUDA backward, last part: per chunk, all at once, dq, dk, dv, dbeta and dg.

#include "kernels/delta_rule/delta_rule_backward_cuda.cuh"
#include "kernels/linear_attention/chunk_group.cuh"

namespace lt2::kernels::delta_rule {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxKeyTiles = 8;     // d_k <= 128
constexpr int kMaxValueTiles = 16;  // d_v <= 256

// Sums over a row are collected as one partial sum per tile of the row and
// added up in order, so that they do not depend on which warp was first.
//
// Tensor-core tiles read straight from global memory cost its latency at every
// step, which eight warps do not hide. So where there is room (`staged`) all
// that is read more than once is copied here first: t and dvn, which only
// Values() reads, to where Squares() will write, and the states and Vn.
struct GradientShared {
  __host__ __device__ GradientShared(unsigned char* base, int d_k, int d_v,
                                     bool staged) {
    Carver carver(base);
    const int rows = kChunk * (d_v + kPad), square = kChunk * kSquare;
    q = carver.Take<bf16>(kChunk * (d_k + kPad));
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    dout = carver.Take<bf16>(rows);
    dr = carver.Take<bf16>(rows);
    dvn = carver.Take<bf16>(staged && rows > 2 * square ? rows : 2 * square);
    z = dvn;
    x = dvn + square;
    m = carver.Take<float>(kChunk * kSquareF32);
    t = reinterpret_cast<bf16*>(m);
    vn = carver.Take<bf16>(staged ? rows : 0);
    state = carver.Take<bf16>(staged ? d_k * (d_v + kPad) : 0);
    dstate = carver.Take<bf16>(staged ? d_k * (d_v + kPad) : 0);
    patches = carver.Take<float>(kWarps * kPatch);
    dr_v = carver.Take<float>(kChunk * kMaxValueTiles);
    db_b = carver.Take<float>(kChunk * kRowTiles);
    q_dq = carver.Take<float>(kChunk * kMaxKeyTiles);
    k_dk = carver.Take<float>(kChunk * kMaxKeyTiles);
    k_end = carver.Take<float>(kChunk * kMaxKeyTiles);
    beta = carver.Take<float>(kChunk);
    total = carver.Take<float>(kChunk);
    scratch = carver.Take<float>(kChunk);
    from_state = carver.Take<float>(kChunk);
    to_state = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *q, *k, *dout, *dr, *dvn, *z, *x, *t, *vn, *state, *dstate;
  float *m, *patches, *dr_v, *db_b, *q_dq, *k_dk, *k_end;
  float *beta, *total, *scratch, *from_state, *to_state;
  int bytes;
};

// What the kernel reads of the other stages, and where it writes. With one
// value head per query head dq and dk are final; else partial f32 sums
// [batch, seq, v_heads, d_k], to be added by SumGroups.
struct Pointers {
  const bf16 *t, *states, *vn, *dstates, *dvn, *dout;
  bf16 *dq, *dk, *dv;
  float *dq_partial, *dk_partial;
  float *dbeta, *dg;  // dg may be null
};

// One chunk of one value head.
class Chunk {
 public:
  __device__ Chunk(const Problem& problem, const Pointers& pointers,
                   const GradientShared& shared, bool is_staged)
      : p(problem),
        a(pointers),
        s(shared),
        staged(is_staged),
        c(blockIdx.x),
        h(blockIdx.y),
        b(blockIdx.z),
        valid(p.valid(c)),
        wide(p.d_k + kPad),
        narrow(p.d_v + kPad),
        n(p.chunk_index(b, h, c)),
        warp(threadIdx.x / 32),
        patch(s.patches + warp * kPatch),
        ld(staged ? narrow : p.d_v),
        state(staged ? s.state : a.states + n * p.d_k * p.d_v),
        dstate(staged ? s.dstate : a.dstates + n * p.d_k * p.d_v),
        vn(staged ? s.vn : a.vn + n * kChunk * p.d_v),
        dvn(staged ? s.dvn : a.dvn + n * kChunk * p.d_v) {}

  __device__ void Load() {
    const int64_t qk = p.qk_start(b, h, c);
    LoadRows(s.q, wide, p.q + qk, p.qk_row(), p.d_k, valid);
    LoadRows(s.k, wide, p.k + qk, p.qk_row(), p.d_k, valid);
    LoadRows(s.dout, narrow, a.dout + p.v_start(b, h, c), p.v_row(), p.d_v,
             valid);
    if (staged) {
      const int64_t values = n * kChunk * p.d_v, states = n * p.d_k * p.d_v;
      LoadRows(s.t, kSquare, a.t + n * kChunk * kChunk, kChunk, kChunk, kChunk);
      LoadRows(s.dvn, narrow, a.dvn + values, p.d_v, p.d_v, kChunk);
      __pipeline_commit();
      LoadRows(s.vn, narrow, a.vn + values, p.d_v, p.d_v, kChunk);
      LoadRows(s.state, narrow, a.states + states, p.d_v, p.d_v, p.d_k, p.d_k);
      LoadRows(s.dstate, narrow, a.dstates + states, p.d_v, p.d_v, p.d_k,
               p.d_k);
    }
    __pipeline_commit();
    LoadGates(p, b, h, c, s.beta, s.total, s.scratch);
    // What Values() needs; the rest comes during it.
    __pipeline_wait_prior(staged ? 1 : 0);
    __syncthreads();
  }

  // dR = T' dVn, the gradient of diag(beta) (V - diag(E) K S); dv = beta dR.
  __device__ void Values() {
    const bf16* t = staged ? s.t : a.t + n * kChunk * kChunk;
    const int ld_t = staged ? kSquare : kChunk;
    const int64_t v_start = p.v_start(b, h, c);
    for (int tile = warp; tile < p.d_v / kTile * kRowTiles; tile += kWarps) {
      const int i = tile % kRowTiles, j = tile / kRowTiles;
      Acc acc;
      MmaAdd<true, false>(acc, t, ld_t, i, dvn, ld, j, i, kRowTiles);
      Share dr = ReadTile(acc, patch);
      const int row = i * kTile + ShareRow();
      const int column = j * kTile + ShareColumn();
      StoreShare(s.dr + row * narrow + column, dr);
      const int64_t at = v_start + row * p.v_row() + column;
      float sum = 0;
      if (row < valid) {
        sum = Dot(dr, LoadShare(p.v + at));
        for (int e = 0; e < 8; ++e) dr.x[e] *= s.beta[row];
        StoreShare(a.dv + at, dr);
      }
      sum = RowSum(sum);
      if (FirstOfRow()) s.dr_v[row * kMaxValueTiles + j] = sum;
    }
    __pipeline_wait_prior(0);
  }

  // The [64, 64] matrices: Z = scale dP . Lm, X = diag(beta) (dB . Lm), and m,
  // the gradient of log Lm. Tiles above the diagonal are never read.
  __device__ void Squares() {
    const int key_tiles = p.d_k / kTile, value_tiles = p.d_v / kTile;
    for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
      const int i = tile / kRowTiles, j = tile % kRowTiles;
      if (j > i) continue;
      const int row = i * kTile + ShareRow();
      const int column = j * kTile + ShareColumn();
      Acc acc;
      MmaAdd<false, true>(acc, s.dout, narrow, i, vn, ld, j, 0, value_tiles);
      Share z = ReadTile(acc, patch);
      acc = Acc{};
      MmaAdd<false, true>(acc, s.q, wide, i, s.k, wide, j, 0, key_tiles);
      const Share qk = ReadTile(acc, patch);
      acc = Acc{};
      MmaAdd<false, true>(acc, s.dr, narrow, i, vn, ld, j, 0, value_tiles);
      Share x = ReadTile(acc, patch);
      acc = Acc{};
      MmaAdd<false, true>(acc, s.k, wide, i, s.k, wide, j, 0, key_tiles);
      const Share kk = ReadTile(acc, patch);
      float sum = 0;
      for (int e = 0; e < 8; ++e) {
        const int at = column + e;
        const float lm = at <= row ? __expf(s.total[row] - s.total[at]) : 0.0f;
        z.x[e] *= p.scale * lm;
        const float db = at < row ? -x.x[e] * lm : 0.0f;
        x.x[e] = s.beta[row] * db;
        sum += db * kk.x[e];
        s.m[row * kSquareF32 + at] =
            at < row ? z.x[e] * qk.x[e] + x.x[e] * kk.x[e] : 0.0f;
      }
      StoreShare(s.z + row * kSquare + column, z);
      StoreShare(s.x + row * kSquare + column, x);
      sum = RowSum(sum);
      if (FirstOfRow()) s.db_b[row * kRowTiles + j] = sum;
    }
  }

  __device__ void Write(bf16* whole, float* partial, int row, int column,
                        const Share& share) {
    if (row >= valid) return;
    KeyRows{whole, partial}.Store(p, b, h, c, row, column, share);
  }

  // dQ = scale diag(E) dO S' + Z K
  __device__ void Query(int i, int j) {
    const int row = i * kTile + ShareRow();
    const int column = j * kTile + ShareColumn();
    Acc acc;
    MmaAdd<false, true>(acc, s.dout, narrow, i, state, ld, j, 0, p.d_v / kTile);
    Share dq = ReadTile(acc, patch);
    acc = Acc{};
    MmaAdd<false, false>(acc, s.z, kSquare, i, s.k, wide, j, 0, i + 1);
    const Share inside = ReadTile(acc, patch);
    const float factor = p.scale * __expf(s.total[row]);
    for (int e = 0; e < 8; ++e) dq.x[e] *= factor;
    const float sum = RowSum(Dot(dq, LoadShare(s.q + row * wide + column)));
    if (FirstOfRow()) s.q_dq[row * kMaxKeyTiles + j] = sum;
    for (int e = 0; e < 8; ++e) dq.x[e] += inside.x[e];
    Write(a.dq, a.dq_partial, row, column, dq);
  }

  // dK = -diag(beta E) dR S' + diag(d) Vn dS' + X K + X' K + Z' Q
  __device__ void Key(int i, int j) {
    const int row = i * kTile + ShareRow();
    const int column = j * kTile + ShareColumn();
    const Share k = LoadShare(s.k + row * wide + column);
    Acc acc;
    MmaAdd<false, true>(acc, s.dr, narrow, i, state, ld, j, 0, p.d_v / kTile);
    Share dk = ReadTile(acc, patch);
    acc = Acc{};
    MmaAdd<false, true>(acc, vn, ld, i, dstate, ld, j, 0, p.d_v / kTile);
    Share end = ReadTile(acc, patch);
    acc = Acc{};
    MmaAdd<false, false>(acc, s.x, kSquare, i, s.k, wide, j, 0, i + 1);
    MmaAdd<true, false>(acc, s.x, kSquare, i, s.k, wide, j, i, kRowTiles);
    MmaAdd<true, false>(acc, s.z, kSquare, i, s.q, wide, j, i, kRowTiles);
    const Share inside = ReadTile(acc, patch);
    const float from_start = -__expf(s.total[row]);
    const float to_end = __expf(s.total[kChunk - 1] - s.total[row]);
    for (int e = 0; e < 8; ++e) {
      dk.x[e] *= from_start;
      end.x[e] *= to_end;
    }
    const float dk_sum = RowSum(Dot(dk, k)), end_sum = RowSum(Dot(end, k));
    if (FirstOfRow()) {
      s.k_dk[row * kMaxKeyTiles + j] = dk_sum;
      s.k_end[row * kMaxKeyTiles + j] = end_sum;
    }
    for (int e = 0; e < 8; ++e) {
      dk.x[e] = s.beta[row] * dk.x[e] + end.x[e] + inside.x[e];
    }
    Write(a.dk, a.dk_partial, row, column, dk);
  }

  __device__ void QueriesAndKeys() {
    const int tiles = p.d_k / kTile * kRowTiles;
    for (int task = warp; task < 2 * tiles; task += kWarps) {
      const int i = task % tiles % kRowTiles, j = task % tiles / kRowTiles;
      if (task < tiles) {
        Query(i, j);
      } else {
        Key(i, j);
      }
    }
  }

  // g_t scales every path that crosses from before token t to t or later: pairs
  // i >= t > j, what tokens from t on take from the chunk's first state, what
  // tokens before t leave in its last, and state to state. Sums of just these
  // terms; differences of larger sums would lose strong decays.
  __device__ void Gates() {
    float through = 0;
    const int vectors = p.d_v / 8;
    for (int e = threadIdx.x; e < p.d_k * vectors; e += kThreads) {
      const int at = e / vectors * ld + e % vectors * 8;
      through += Dot(LoadShare(state + at), LoadShare(dstate + at));
    }
    // Includes barriers: all partial sums are there afterwards.
    through = cuda::BlockSum(through, s.scratch) * __expf(s.total[kChunk - 1]);
    const int64_t start = p.gate_start(b, h, c);
    if (threadIdx.x < kChunk) {
      const int i = threadIdx.x;
      float dbeta = 0, query = 0, key = 0, end = 0;
      for (int j = 0; j < p.d_v / kTile; ++j) {
        dbeta += s.dr_v[i * kMaxValueTiles + j];
      }
      for (int j = 0; j <= i / kTile; ++j) dbeta += s.db_b[i * kRowTiles + j];
      for (int j = 0; j < p.d_k / kTile; ++j) {
        query += s.q_dq[i * kMaxKeyTiles + j];
        key += s.k_dk[i * kMaxKeyTiles + j];
        end += s.k_end[i * kMaxKeyTiles + j];
      }
      if (i < valid) {
        a.dbeta[start + static_cast<int64_t>(i) * p.v_heads] = dbeta + key;
      }
      s.from_state[i] = query + s.beta[i] * key;
      s.to_state[i] = end;
    }
    if (a.dg == nullptr) return;
    // m[i][t] becomes the sum over j < t: a warp for each row, a lane for two
    // neighbours. Elements from the diagonal on count as 0, whatever is there.
    const int lane = threadIdx.x % 32;
    for (int i = warp; i < kChunk; i += kWarps) {
      float* pair = s.m + i * kSquareF32 + 2 * lane;
      const float first = 2 * lane < i ? pair[0] : 0.0f;
      const float second = 2 * lane + 1 < i ? pair[1] : 0.0f;
      const float before = SumBefore(first + second);
      pair[0] = before;
      pair[1] = before + first;
    }
    __syncthreads();
    // Four lanes for each token.
    const int i = threadIdx.x / 4;
    float dg = 0;
    for (int j = threadIdx.x % 4; j < kChunk; j += 4) {
      dg += j < i ? s.to_state[j] : s.from_state[j] + s.m[j * kSquareF32 + i];
    }
    dg += __shfl_xor_sync(0xffffffffu, dg, 1);
    dg += __shfl_xor_sync(0xffffffffu, dg, 2);
    if (threadIdx.x % 4 == 0 && i < valid) {
      a.dg[start + static_cast<int64_t>(i) * p.v_heads] = through + dg;
    }
  }

 private:
  const Problem& p;
  const Pointers& a;
  const GradientShared& s;
  const bool staged;
  const int c, h, b, valid, wide, narrow;
  const int64_t n;
  const int warp;
  float* const patch;
  const int ld;  // of the next four
  const bf16 *const state, *const dstate, *const vn, *const dvn;
};

// grid (chunks, v_heads, batch).
__global__ void __launch_bounds__(kThreads)
    GradientKernel(Problem p, Pointers pointers, bool staged) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const GradientShared shared(shared_bytes, p.d_k, p.d_v, staged);
  Chunk chunk(p, pointers, shared, staged);
  chunk.Load();
  chunk.Values();
  __syncthreads();
  chunk.Squares();
  __syncthreads();
  chunk.QueriesAndKeys();
  chunk.Gates();
}

}  // namespace

absl::Status ComputeGradients(Context& ctx, const DeltaRuleGradArgs& args,
                              const ChunkTensors& chunks,
                              const ChunkGradients& gradients,
                              DeltaRuleGradResults* results) {
  const Problem p = MakeProblem(args.forward);
  const DeltaRuleSizes sizes(args.forward);
  const cudaStream_t stream = cuda::StreamOf(ctx);
  Tensor dq_partial, dk_partial;
  if (sizes.group() > 1) {
    const Shape shape = {sizes.batch, sizes.seq, sizes.v_heads, sizes.d_k};
    LT2_ASSIGN_OR_RETURN(dq_partial, ctx.Empty(DType::kF32, shape));
    LT2_ASSIGN_OR_RETURN(dk_partial, ctx.Empty(DType::kF32, shape));
  }
  Pointers pointers;
  pointers.t = cuda::Data<BFloat16>(chunks.t);
  pointers.states = cuda::Data<BFloat16>(chunks.states);
  pointers.vn = cuda::Data<BFloat16>(chunks.vn);
  pointers.dstates = cuda::Data<BFloat16>(gradients.dstates);
  pointers.dvn = cuda::Data<BFloat16>(gradients.dvn);
  pointers.dout = cuda::Data<BFloat16>(args.dout);
  pointers.dq = cuda::Data<BFloat16>(results->dq);
  pointers.dk = cuda::Data<BFloat16>(results->dk);
  pointers.dv = cuda::Data<BFloat16>(results->dv);
  pointers.dq_partial = cuda::Data<float>(dq_partial);
  pointers.dk_partial = cuda::Data<float>(dk_partial);
  pointers.dbeta = cuda::Data<float>(results->dbeta);
  pointers.dg =
      args.forward.g.defined() ? cuda::Data<float>(results->dg) : nullptr;

  const dim3 grid(p.chunks, p.v_heads, sizes.batch);
  int device = 0, most = 0;
  LT2_CUDA_RETURN_IF_ERROR(cudaGetDevice(&device));
  LT2_CUDA_RETURN_IF_ERROR(cudaDeviceGetAttribute(
      &most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  int bytes = GradientShared(nullptr, p.d_k, p.d_v, true).bytes;
  const bool staged = bytes <= most;
  if (!staged) bytes = GradientShared(nullptr, p.d_k, p.d_v, false).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(GradientKernel, bytes));
  GradientKernel<<<grid, kThreads, bytes, stream>>>(p, pointers, staged);
  LT2_RETURN_LAUNCH_ERROR("delta rule gradient");
  if (sizes.group() == 1) return absl::OkStatus();

  LT2_RETURN_IF_ERROR(SumGroups(ctx, p, dq_partial, results->dq));
  return SumGroups(ctx, p, dk_partial, results->dk);
}

}  // namespace lt2::kernels::delta_rule
