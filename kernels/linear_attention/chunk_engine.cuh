// The chunk engine: what linear attention and the delta rule do with a chunk of
// 64 tokens once a family-specific kernel has prepared its operands. Per value
// head, with S the state at the chunk's start and E its decay to the end:
//
//   Vn = U - W S          delta rule; linear attention has Vn = V
//   O  = Qe S + P Vn
//   S  <- diag(E) S + Kd' Vn
//
// and, given dO and the gradient dS of the state at the chunk's end,
//
//   dVn = P' dO + Kd dS
//   dQe = dO S'     dKd = Vn dS'     dP = lower(dO Vn')     dE = rowsum(S . dS)
//   dS  <- diag(E) dS + Qe' dO - W' dVn
//
// Decays are in the operands, so one engine serves every kind of decay. The
// lines for S and dS run along the sequence, chunk after chunk; everything else
// is a chunk per block. README.md derives the operands.
//
// Cost per chunk and value head in bytes, C = 64: forward reads and writes
// about C (4 d_k + 6 d_v) + 4 d_k d_v + 2 C^2 plus what preparing costs; FLOPs
// 4 C d_k d_v + C^2 d_v, and with W 2 C d_k d_v more.
//
// Limits: d_k and d_v multiples of 16, d_k <= 128, d_v <= 256.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_ENGINE_CUH_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_ENGINE_CUH_

#include "kernels/linear_attention/chunk_tiles.cuh"

namespace lt2::kernels::chunked {

// The operands of all n chunks, bf16 where nothing is said. Rows of tokens
// beyond the sequence are zero.
struct Operands {
  Tensor
      qe;  // [n, 64, d_k]: scale e^G Q, G the sum of g from the chunk's start
  Tensor kd;   // [n, 64, d_k]: e^{G_C - G} K
  Tensor p;    // [n, 64, 64]: the lower 16x16 tiles, others are never read
  Tensor end;  // f32 [n, d_k]: E = e^{G_C}
  Tensor u;    // [n, 64, d_v], delta rule only
  Tensor w;    // [n, 64, d_k], delta rule only
};

// Rows of d_v values: an activation [batch, seq, v_heads, d_v], whose last
// chunk may be short, or a workspace tensor [n, 64, d_v].
struct ValueRows {
  const bf16* data;
  bool workspace;

  __device__ const bf16* chunk(const Layout& l, int b, int h, int c) const {
    return data + (workspace ? l.chunk_index(b, h, c) * kChunk * l.d_v
                             : l.v_start(b, h, c));
  }
  __device__ int64_t row(const Layout& l) const {
    return workspace ? l.d_v : l.v_row();
  }
  __device__ int valid(const Layout& l, int c) const {
    return workspace ? kChunk : l.valid(c);
  }
};

inline ValueRows ActivationRows(const Tensor& t) {
  return {cuda::Data<BFloat16>(t), false};
}
inline ValueRows WorkspaceRows(const Tensor& t) {
  return {cuda::Data<BFloat16>(t), true};
}

// Allocates qe, kd, p and end.
absl::Status AllocateOperands(Context& ctx, const Layout& layout,
                              Operands* operands);
// Chunks of all heads and rows.
inline int64_t ChunkCount(const Layout& l) {
  return static_cast<int64_t>(l.batch) * l.v_heads * l.chunks;
}
// Columns of the state per block of the sequential kernels. Wider slices reuse
// what a block loads; narrower ones make more blocks. The choice does not
// change a bit of the result.
int SliceColumns(const Context& ctx, const Layout& layout);

// Along the sequence: states [n, d_k, d_v] (at chunk starts), and final_state
// unless null. With operands.w also vn [n, 64, d_v] = values - W S.
absl::Status RunStates(Context& ctx, const Layout& layout,
                       const Operands& operands, const ValueRows& values,
                       const float* initial_state, const Tensor& states,
                       const Tensor& vn, float* final_state);

// o = Qe S + P Vn, for all chunks at once.
absl::Status RunOutputs(Context& ctx, const Layout& layout,
                        const Operands& operands, const ValueRows& news,
                        const Tensor& states, bf16* o);

// Against the sequence: dstates [n, d_k, d_v] (at chunk ends), and
// dinitial_state unless null. With operands.w also dvn [n, 64, d_v]; `local`
// [n, 64, d_v] is scratch for P' dO, needed only then.
absl::Status RunReverse(Context& ctx, const Layout& layout,
                        const Operands& operands, const ValueRows& dout,
                        const float* dfinal_state, const Tensor& local,
                        const Tensor& dstates, const Tensor& dvn,
                        float* dinitial_state);

// Gradients of the operands, f32, before any rounding.
struct OperandGradients {
  Tensor dqe, dkd;  // [n, 64, d_k]
  Tensor dp;        // [n, 64, 64]; lower 16x16 tiles, not masked inside them
  Tensor dend;      // [n, d_k]
  // Delta rule only. With dR = T' dVn, the gradient of diag(beta) (V - Ke S):
  Tensor dke;   // [n, 64, d_k]: -dR S', which is diag(beta)^-1 the one of Ke
  Tensor db;    // [n, 64, 64]: -dR Vn', the one of B; lower tiles, not masked
  Tensor dr_v;  // [n, 64]: dR_i . v_i
};

// What the gradients of a delta rule's chunk need on top.
struct Correction {
  const bf16* t;      // [n, 64, 64]: (I + B)^-1
  const bf16* dvn;    // [n, 64, d_v]
  const bf16* v;      // [batch, seq, v_heads, d_v]
  const float* beta;  // [batch, seq, v_heads]
};

// Allocates and computes the operands' gradients, and writes dv. Linear
// attention has news = V and no correction.
absl::Status RunOperandGradients(Context& ctx, const Layout& layout,
                                 const Operands& operands,
                                 const ValueRows& news, const ValueRows& dout,
                                 const Tensor& states, const Tensor& dstates,
                                 const Correction* correction, bf16* dv,
                                 OperandGradients* gradients);

}  // namespace lt2::kernels::chunked

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_ENGINE_CUH_
