// From the operands' gradients to those of q, k and g, for a decay per token.
// With G the running sum of g, C the chunk's last row, Z = scale dP .
// e^{G_i-G_j}:
//
//   dQ = scale e^{G_i} dQe + Z K        dK = e^{G_C-G_i} dKd + Z' Q
//   dg_t = sum_{i >= t > j} Z_ij q_i.k_j + sum_{i >= t} q_i.(scale e^{G_i}
//   dQe_i)
//        + sum_{i < t} k_i.(e^{G_C-G_i} dKd_i) + e^{G_C} sum dE
//
// dg has only terms that belong to it; the shorter reverse cumulative sum of
// q.dq - k.dk is a difference of larger sums, in which a strong decay is lost.

#include "kernels/linear_attention/chunk_group.cuh"
#include "kernels/linear_attention/chunk_scalar.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kMaxKeyTiles = 8;  // d_k <= 128

struct Problem {
  Layout layout;
  PrepareInputs in;
  const float *dqe, *dkd, *dp, *dend;
  KeyRows dq, dk;
  float* dg;  // may be null
};

// Sums over a row are collected as one partial sum per tile of the row and
// added up in order, so that they do not depend on which warp was first.
struct GradientShared {
  __host__ __device__ GradientShared(unsigned char* base, int d_k) {
    Carver carver(base);
    q = carver.Take<bf16>(kChunk * (d_k + kPad));
    k = carver.Take<bf16>(kChunk * (d_k + kPad));
    z = carver.Take<bf16>(kChunk * kSquare);
    m = carver.Take<float>(kChunk * kSquareF32);
    patches = carver.Take<float>(kWarps * kPatch);
    q_dq = carver.Take<float>(kChunk * kMaxKeyTiles);
    k_dk = carver.Take<float>(kChunk * kMaxKeyTiles);
    total = carver.Take<float>(kChunk);
    scratch = carver.Take<float>(kChunk);
    from_state = carver.Take<float>(kChunk);
    to_state = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *q, *k, *z;
  float *m, *patches, *q_dq, *k_dk, *total, *scratch, *from_state, *to_state;
  int bytes;
};

// 8 f32 values, 16-byte aligned.
__device__ __forceinline__ Share LoadFloats(const float* from) {
  const float4* p = reinterpret_cast<const float4*>(from);
  const float4 low = p[0], high = p[1];
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// One chunk of one value head.
class Chunk {
 public:
  __device__ Chunk(const Problem& problem, const GradientShared& shared)
      : a(problem),
        l(problem.layout),
        s(shared),
        c(blockIdx.x),
        h(blockIdx.y),
        b(blockIdx.z),
        valid(l.valid(c)),
        wide(l.d_k + kPad),
        n(l.chunk_index(b, h, c)),
        warp(threadIdx.x / 32),
        patch(s.patches + warp * kPatch) {}

  __device__ void Load() {
    const int64_t qk = l.qk_start(b, h, c);
    LoadRows(s.q, wide, a.in.q + qk, l.qk_row(), l.d_k, valid);
    LoadRows(s.k, wide, a.in.k + qk, l.qk_row(), l.d_k, valid);
    __pipeline_commit();
    LoadDecay(l, a.in, b, h, c, s.total, s.scratch);
    __pipeline_wait_prior(0);
    __syncthreads();
  }

  // Z, and m, the gradient of G_i - G_j. Tiles above the diagonal are never
  // read, nor are elements of dP above it.
  __device__ void Squares() {
    for (int tile = warp; tile < kRowTiles * kRowTiles; tile += kWarps) {
      const int i = tile / kRowTiles, j = tile % kRowTiles;
      if (j > i) continue;
      const int row = i * kTile + ShareRow();
      const int column = j * kTile + ShareColumn();
      Acc acc;
      MmaAdd<false, true>(acc, s.q, wide, i, s.k, wide, j, 0, l.d_k / kTile);
      const Share qk = ReadTile(acc, patch);
      Share z = LoadFloats(a.dp + (n * kChunk + row) * kChunk + column);
      for (int e = 0; e < 8; ++e) {
        const int at = column + e;
        z.x[e] = at <= row
                     ? a.in.scale * z.x[e] * __expf(s.total[row] - s.total[at])
                     : 0.0f;
        s.m[row * kSquareF32 + at] = at < row ? z.x[e] * qk.x[e] : 0.0f;
      }
      StoreShare(s.z + row * kSquare + column, z);
    }
  }

  __device__ void QueriesAndKeys() {
    const int tiles = l.d_k / kTile * kRowTiles;
    for (int task = warp; task < 2 * tiles; task += kWarps) {
      const int i = task % tiles % kRowTiles, j = task % tiles / kRowTiles;
      const int row = i * kTile + ShareRow();
      const int column = j * kTile + ShareColumn();
      const int64_t at = (n * kChunk + row) * l.d_k + column;
      Acc acc;
      if (task < tiles) {
        MmaAdd<false, false>(acc, s.z, kSquare, i, s.k, wide, j, 0, i + 1);
        Finish(acc, a.dqe + at, s.q, a.in.scale * __expf(s.total[row]), row,
               column, s.q_dq, a.dq);
      } else {
        MmaAdd<true, false>(acc, s.z, kSquare, i, s.q, wide, j, i, kRowTiles);
        Finish(acc, a.dkd + at, s.k, __expf(s.total[kChunk - 1] - s.total[row]),
               row, column, s.k_dk, a.dk);
      }
    }
  }

  // As the file's head says.
  __device__ void Gates() {
    float through = 0;
    if (threadIdx.x < l.d_k) through = a.dend[n * l.d_k + threadIdx.x];
    // Includes barriers: all partial sums are there afterwards.
    through = cuda::BlockSum(through, s.scratch) * __expf(s.total[kChunk - 1]);
    const int i = threadIdx.x;
    if (i < kChunk) {
      float query = 0, key = 0;
      for (int j = 0; j < l.d_k / kTile; ++j) {
        query += s.q_dq[i * kMaxKeyTiles + j];
        key += s.k_dk[i * kMaxKeyTiles + j];
      }
      s.from_state[i] = query;
      s.to_state[i] = key;
      float prefix = 0;  // m[i][t] becomes the sum over j < t
      for (int j = 0; j <= i; ++j) {
        const float term = s.m[i * kSquareF32 + j];
        s.m[i * kSquareF32 + j] = prefix;
        prefix += term;
      }
    }
    __syncthreads();
    if (i >= valid) return;
    float dg = through;
    for (int j = 0; j < i; ++j) dg += s.to_state[j];
    for (int j = i; j < kChunk; ++j) {
      dg += s.from_state[j] + s.m[j * kSquareF32 + i];
    }
    a.dg[l.gate_start(b, h, c) + static_cast<int64_t>(i) * l.v_heads] = dg;
  }

 private:
  // gradient = factor * outside + acc; what `outside` adds to the row's share
  // of dg goes to `sums`.
  __device__ void Finish(const Acc& acc, const float* outside, const bf16* x,
                         float factor, int row, int column, float* sums,
                         const KeyRows& to) {
    const Share inside = ReadTile(acc, patch);
    Share gradient = LoadFloats(outside);
    for (int e = 0; e < 8; ++e) gradient.x[e] *= factor;
    const float sum = RowSum(Dot(gradient, LoadShare(x + row * wide + column)));
    if (FirstOfRow()) sums[row * kMaxKeyTiles + column / kTile] = sum;
    for (int e = 0; e < 8; ++e) gradient.x[e] += inside.x[e];
    if (row < valid) to.Store(l, b, h, c, row, column, gradient);
  }

  const Problem& a;
  const Layout& l;
  const GradientShared& s;
  const int c, h, b, valid, wide;
  const int64_t n;
  const int warp;
  float* const patch;
};

// grid (chunks, v_heads, batch).
__global__ void __launch_bounds__(kThreads) ScalarGradientKernel(Problem a) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const GradientShared shared(shared_bytes, a.layout.d_k);
  Chunk chunk(a, shared);
  chunk.Load();
  chunk.Squares();
  __syncthreads();
  chunk.QueriesAndKeys();
  if (a.dg != nullptr) chunk.Gates();
}

}  // namespace

absl::Status ScalarGradient(Context& ctx, const Layout& l,
                            const PrepareInputs& inputs,
                            const OperandGradients& gradients,
                            const InputGradients& results) {
  const bool grouped = l.v_heads > l.heads;
  Tensor dq_partial, dk_partial;
  if (grouped) {
    const Shape shape = {l.batch, l.seq, l.v_heads, l.d_k};
    LT2_ASSIGN_OR_RETURN(dq_partial, ctx.Empty(DType::kF32, shape));
    LT2_ASSIGN_OR_RETURN(dk_partial, ctx.Empty(DType::kF32, shape));
  }
  Problem a;
  a.layout = l;
  a.in = inputs;
  a.dqe = cuda::Data<float>(gradients.dqe);
  a.dkd = cuda::Data<float>(gradients.dkd);
  a.dp = cuda::Data<float>(gradients.dp);
  a.dend = cuda::Data<float>(gradients.dend);
  a.dq = {cuda::Data<BFloat16>(results.dq), cuda::Data<float>(dq_partial)};
  a.dk = {cuda::Data<BFloat16>(results.dk), cuda::Data<float>(dk_partial)};
  a.dg = cuda::Data<float>(results.dg);
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = GradientShared(nullptr, l.d_k).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(ScalarGradientKernel, bytes));
  ScalarGradientKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(a);
  LT2_RETURN_LAUNCH_ERROR("chunk gradient");
  if (!grouped) return absl::OkStatus();
  LT2_RETURN_IF_ERROR(SumGroups(ctx, l, dq_partial, results.dq));
  return SumGroups(ctx, l, dk_partial, results.dk);
}

}  // namespace lt2::kernels::chunked
