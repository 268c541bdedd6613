// The chunk engine forward: states along the sequence, then outputs.

#include "kernels/linear_attention/chunk_engine.cuh"
#include "kernels/linear_attention/chunk_walk.cuh"

namespace lt2::kernels::chunked {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

struct OutputShared {
  __host__ __device__ OutputShared(unsigned char* base, int d_k, int d_v) {
    Carver carver(base);
    qe = carver.Take<bf16>(kChunk * (d_k + kPad));
    p = carver.Take<bf16>(kChunk * kSquare);
    news = carver.Take<bf16>(kChunk * (d_v + kPad));
    patches = carver.Take<float>(kWarps * kPatch);
    bytes = carver.used();
  }
  bf16 *qe, *p, *news;
  float* patches;
  int bytes;
};

// grid (chunks, v_heads, batch). Each element of S is used by one warp only, so
// it comes straight from global memory.
__global__ void __launch_bounds__(kThreads)
    OutputKernel(Layout l, const bf16* qe, const bf16* p, ValueRows news,
                 const bf16* states, bf16* o) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const OutputShared s(shared_bytes, l.d_k, l.d_v);
  const int c = blockIdx.x, h = blockIdx.y, b = blockIdx.z;
  const int warp = threadIdx.x / 32, valid = l.valid(c);
  const int wide = l.d_k + kPad, narrow = l.d_v + kPad;
  const int64_t n = l.chunk_index(b, h, c);
  float* patch = s.patches + warp * kPatch;

  LoadRows(s.qe, wide, qe + n * kChunk * l.d_k, l.d_k, l.d_k, kChunk);
  LoadRows(s.p, kSquare, p + n * kChunk * kChunk, kChunk, kChunk, kChunk);
  LoadRows(s.news, narrow, news.chunk(l, b, h, c), news.row(l), l.d_v,
           news.valid(l, c));
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();

  const bf16* state = states + n * l.d_k * l.d_v;
  bf16* to = o + l.v_start(b, h, c);
  for (int j = warp; j < l.d_v / kTile; j += kWarps) {
    Acc acc[kRowTiles];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) acc[i] = Acc{};
    MmaColumn<false>(acc, s.qe, wide, state, l.d_v, j, l.d_k / kTile);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      MmaAdd<false, false>(acc[i], s.p, kSquare, i, s.news, narrow, j, 0,
                           i + 1);
      const Share share = ReadTile(acc[i], patch);
      const int row = i * kTile + ShareRow();
      if (row < valid) {
        StoreShare(to + row * l.v_row() + j * kTile + ShareColumn(), share);
      }
    }
  }
}

}  // namespace

absl::Status AllocateOperands(Context& ctx, const Layout& l,
                              Operands* operands) {
  const int64_t n = ChunkCount(l);
  const DType bf = DType::kBF16;
  LT2_ASSIGN_OR_RETURN(operands->qe, ctx.Empty(bf, {n, kChunk, l.d_k}));
  LT2_ASSIGN_OR_RETURN(operands->kd, ctx.Empty(bf, {n, kChunk, l.d_k}));
  LT2_ASSIGN_OR_RETURN(operands->p, ctx.Empty(bf, {n, kChunk, kChunk}));
  LT2_ASSIGN_OR_RETURN(operands->end, ctx.Empty(DType::kF32, {n, l.d_k}));
  return absl::OkStatus();
}

int SliceColumns(const Context& ctx, const Layout& l) {
  const int64_t blocks =
      static_cast<int64_t>(l.batch) * l.v_heads * (l.d_v / 32);
  return l.d_v % 32 == 0 && blocks >= ctx.info().multiprocessors ? 32 : 16;
}

absl::Status RunStates(Context& ctx, const Layout& l, const Operands& operands,
                       const ValueRows& values, const float* initial_state,
                       const Tensor& states, const Tensor& vn,
                       float* final_state) {
  Walk walk;
  walk.layout = l;
  walk.slice = SliceColumns(ctx, l);
  walk.reverse = false;
  walk.a = cuda::Data<BFloat16>(operands.kd);
  walk.x = values;
  walk.w = cuda::Data<BFloat16>(operands.w);
  walk.end = cuda::Data<float>(operands.end);
  walk.first = initial_state;
  walk.states = cuda::Data<BFloat16>(states);
  walk.corrected = cuda::Data<BFloat16>(vn);
  walk.last = final_state;
  return RunWalk(ctx, walk);
}

absl::Status RunOutputs(Context& ctx, const Layout& l, const Operands& operands,
                        const ValueRows& news, const Tensor& states, bf16* o) {
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = OutputShared(nullptr, l.d_k, l.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(OutputKernel, bytes));
  OutputKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(
      l, cuda::Data<BFloat16>(operands.qe), cuda::Data<BFloat16>(operands.p),
      news, cuda::Data<BFloat16>(states), o);
  LT2_RETURN_LAUNCH_ERROR("chunk outputs");
  return absl::OkStatus();
}

}  // namespace lt2::kernels::chunked
