// The delta rule with a decay per channel on the GPU: what is its own, U and W,
// is made here; the rest is the chunk engine of kernels/linear_attention.

#include "kernels/delta_rule/delta_rule_forms_cuda.cuh"
#include "kernels/delta_rule/delta_rule_transform.cuh"
#include "kernels/linear_attention/chunk_prepare.cuh"

namespace lt2::kernels {
namespace delta_rule {
namespace {

constexpr int kWarps = kTransformWarps;
constexpr int kThreads = 32 * kWarps;

struct TransformShared {
  __host__ __device__ TransformShared(unsigned char* base, int d_k, int d_v) {
    Carver carver(base);
    ke = carver.Take<bf16>(kChunk * (d_k + kPad));
    v = carver.Take<bf16>(kChunk * (d_v + kPad));
    b = carver.Take<float>(kChunk * kSquareF32);
    t = carver.Take<float>(kChunk * kSquareF32);
    m = carver.Take<bf16>(kChunk * kSquare);
    patches = carver.Take<float>(kWarps * kPatch);
    beta = carver.Take<float>(kChunk);
    bytes = carver.used();
  }
  bf16 *ke, *v, *m;
  float *b, *t, *patches, *beta;
  int bytes;
};

// grid (chunks, v_heads, batch). B = strict_lower(diag(beta) kk), T = (I +
// B)^-1, U = T diag(beta) V, W = T diag(beta) Ke. t_out may be null.
__global__ void __launch_bounds__(kThreads)
    TransformKernel(Layout l, const bf16* v, const float* beta, const bf16* ke,
                    const float* kk, bf16* t_out, bf16* u, bf16* w) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const TransformShared s(shared_bytes, l.d_k, l.d_v);
  const int c = blockIdx.x, h = blockIdx.y, batch = blockIdx.z;
  const int valid = l.valid(c);
  const int64_t n = l.chunk_index(batch, h, c);
  float* patch = s.patches + threadIdx.x / 32 * kPatch;

  LoadRows(s.ke, l.d_k + kPad, ke + n * kChunk * l.d_k, l.d_k, l.d_k, kChunk);
  LoadRows(s.v, l.d_v + kPad, v + l.v_start(batch, h, c), l.v_row(), l.d_v,
           valid);
  __pipeline_commit();
  if (threadIdx.x < kChunk) {
    const int i = threadIdx.x;
    s.beta[i] = i < valid ? beta[l.gate_start(batch, h, c) +
                                 static_cast<int64_t>(i) * l.v_heads]
                          : 0.0f;
  }
  __syncthreads();
  for (int e = threadIdx.x; e < kChunk * kChunk; e += kThreads) {
    const int i = e / kChunk, j = e % kChunk;
    s.b[i * kSquareF32 + j] =
        j < i ? s.beta[i] * kk[n * (kChunk * kChunk) + e] : 0.0f;
    s.t[i * kSquareF32 + j] = 0.0f;
  }
  __syncthreads();
  Invert(s.b, s.t, s.patches);

  for (int e = threadIdx.x; e < kChunk * kChunk; e += kThreads) {
    const int i = e / kChunk, j = e % kChunk;
    const float t = s.t[i * kSquareF32 + j];
    s.m[i * kSquare + j] = __float2bfloat16(t * s.beta[j]);
    if (t_out != nullptr) {
      t_out[n * (kChunk * kChunk) + e] = __float2bfloat16(t);
    }
  }
  __pipeline_wait_prior(0);
  __syncthreads();
  TriangularProduct(s.m, s.v, l.d_v, patch, u + n * kChunk * l.d_v);
  TriangularProduct(s.m, s.ke, l.d_k, patch, w + n * kChunk * l.d_k);
}

// What the forward pass knows of all chunks.
struct Chunks {
  Operands operands;
  Tensor kk, t, states, vn;
};

absl::Status ForwardChunks(Context& ctx, const DeltaRuleArgs& args,
                           const Layout& l, bool with_t, float* final_state,
                           Chunks* chunks) {
  const int64_t n = ChunkCount(l);
  const DType bf = DType::kBF16;
  Operands& operands = chunks->operands;
  Tensor ke;
  LT2_RETURN_IF_ERROR(AllocateOperands(ctx, l, &operands));
  LT2_ASSIGN_OR_RETURN(ke, ctx.Empty(bf, {n, kChunk, l.d_k}));
  LT2_ASSIGN_OR_RETURN(chunks->kk, ctx.Empty(DType::kF32, {n, kChunk, kChunk}));
  LT2_RETURN_IF_ERROR(PrepareChannel(ctx, l, MakePrepareInputs(args), operands,
                                     ke, chunks->kk));

  LT2_ASSIGN_OR_RETURN(operands.u, ctx.Empty(bf, {n, kChunk, l.d_v}));
  LT2_ASSIGN_OR_RETURN(operands.w, ctx.Empty(bf, {n, kChunk, l.d_k}));
  if (with_t) {
    LT2_ASSIGN_OR_RETURN(chunks->t, ctx.Empty(bf, {n, kChunk, kChunk}));
  }
  const dim3 grid(l.chunks, l.v_heads, l.batch);
  const int bytes = TransformShared(nullptr, l.d_k, l.d_v).bytes;
  LT2_RETURN_IF_ERROR(AllowShared(TransformKernel, bytes));
  TransformKernel<<<grid, kThreads, bytes, cuda::StreamOf(ctx)>>>(
      l, cuda::Data<BFloat16>(args.v), cuda::Data<float>(args.beta),
      cuda::Data<BFloat16>(ke), cuda::Data<float>(chunks->kk),
      cuda::Data<BFloat16>(chunks->t), cuda::Data<BFloat16>(operands.u),
      cuda::Data<BFloat16>(operands.w));
  LT2_RETURN_LAUNCH_ERROR("delta rule transform");

  LT2_ASSIGN_OR_RETURN(chunks->states, ctx.Empty(bf, {n, l.d_k, l.d_v}));
  LT2_ASSIGN_OR_RETURN(chunks->vn, ctx.Empty(bf, {n, kChunk, l.d_v}));
  return RunStates(ctx, l, operands, WorkspaceRows(operands.u),
                   cuda::Data<float>(args.initial_state), chunks->states,
                   chunks->vn, final_state);
}

}  // namespace
}  // namespace delta_rule

absl::Status DeltaRuleChannelCuda(Context& ctx, const DeltaRuleArgs& args,
                                  DeltaRuleResults* results) {
  using namespace delta_rule;  // NOLINT
  const Layout l = MakeLayout(RecurrenceSizes(args));
  Chunks chunks;
  LT2_RETURN_IF_ERROR(ForwardChunks(ctx, args, l, /*with_t=*/false,
                                    cuda::Data<float>(results->final_state),
                                    &chunks));
  return RunOutputs(ctx, l, chunks.operands, WorkspaceRows(chunks.vn),
                    chunks.states, cuda::Data<BFloat16>(results->o));
}

absl::Status DeltaRuleChannelGradCuda(Context& ctx,
                                      const DeltaRuleGradArgs& args,
                                      DeltaRuleGradResults* results) {
  using namespace delta_rule;  // NOLINT
  const DeltaRuleArgs& forward = args.forward;
  const Layout l = MakeLayout(RecurrenceSizes(forward));
  Chunks chunks;
  LT2_RETURN_IF_ERROR(ForwardChunks(ctx, forward, l, /*with_t=*/true,
                                    /*final_state=*/nullptr, &chunks));

  // U is not needed any more; its memory takes P' dO.
  Tensor dstates, dvn;
  LT2_ASSIGN_OR_RETURN(dstates, ctx.Empty(DType::kBF16, chunks.states.shape()));
  LT2_ASSIGN_OR_RETURN(dvn, ctx.Empty(DType::kBF16, chunks.vn.shape()));
  const ValueRows dout = ActivationRows(args.dout);
  LT2_RETURN_IF_ERROR(RunReverse(ctx, l, chunks.operands, dout,
                                 cuda::Data<float>(args.dfinal_state),
                                 chunks.operands.u, dstates, dvn,
                                 cuda::Data<float>(results->dinitial_state)));

  const float* beta = cuda::Data<float>(forward.beta);
  const Correction correction = {cuda::Data<BFloat16>(chunks.t),
                                 cuda::Data<BFloat16>(dvn),
                                 cuda::Data<BFloat16>(forward.v), beta};
  OperandGradients gradients;
  LT2_RETURN_IF_ERROR(RunOperandGradients(
      ctx, l, chunks.operands, WorkspaceRows(chunks.vn), dout, chunks.states,
      dstates, &correction, cuda::Data<BFloat16>(results->dv), &gradients));
  return ChannelGradient(
      ctx, l, MakePrepareInputs(forward), gradients,
      {beta, cuda::Data<float>(chunks.kk), cuda::Data<float>(results->dbeta)},
      {results->dq, results->dk, results->dg});
}

}  // namespace lt2::kernels
