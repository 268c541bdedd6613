// One chunk of one value head on the CPU, for linear attention and the delta
// rule with every kind of decay. README.md derives the form; names are its.
//
//   Vn = V, or for the delta rule (I + diag(beta) A)^-1 diag(beta) (V - Ke S)
//   O  = Qe S + P Vn
//   S <- diag(end) S + Kd' Vn
//
// Qe, Ke, Kd, P, A and end hold all that depends on q, k and the decay; what
// follows from them is the same for all mixers. f32; all exponents are <= 0.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CPU_H_
#define LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CPU_H_

#include <vector>

#include "kernels/linear_attention/recurrence_cpu.h"

namespace lt2::kernels {

inline constexpr int64_t kMaxChunk = 32;

// Rows of one chunk of one value head; null where the tensor is absent.
struct ChunkRows {
  int64_t n;  // tokens in the chunk
  const float *q, *k, *v, *beta, *g, *dout;
};

// Where the tensors of one value head of one batch row are.
struct HeadView {
  HeadView(const RecurrenceArgs& args, const Tensor& dout, int64_t b,
           int64_t h);

  ChunkRows Rows(int64_t begin, int64_t end) const;

  const RecurrenceArgs& args;
  const Tensor& dout;
  const RecurrenceSizes sizes;
  const Decay decay;
  const int64_t qk_row, v_row, beta_row, g_row;  // elements from token to token
  const int64_t qk, v, beta, g, state;           // first elements
};

class Chunk {
 public:
  explicit Chunk(const HeadView& head);

  // Tokens in a full chunk. Longer chunks mean longer matrix products, but more
  // work in the [n, n] parts, which pays once the heads are wide.
  int64_t capacity() const { return capacity_; }

  // All that depends on q, k and the decay. Without `queries`, not Qe and P.
  void Prepare(const ChunkRows& c, bool queries);
  // Vn, and for the delta rule rest = V - Ke S.
  void Correct(const ChunkRows& c, const float* state_before);
  // o = Qe S + P Vn; rows of o are v_row apart.
  void ReadOut(const ChunkRows& c, const float* state_before, float* o) const;
  // The state after the chunk from the one before it.
  void Advance(const ChunkRows& c, float* state_io) const;

  const HeadView& head;
  const bool delta;    // the delta rule, not linear attention
  const bool channel;  // decay per channel
  const int64_t d_k, d_v;
  const float scale;

  // [n, d_k], [n, d_k], [n, d_k]; [n, n] lower; [n, n] strictly lower; [d_k]
  std::vector<float> qe, ke, kd, p, a, end;
  std::vector<float> vn, rest;  // [n, d_v]
  // The decay itself. One number per token: E_i, e^{G_C - G_i}, e^{G_i - G_j}.
  std::vector<float> from_start, to_end, lm;
  // Per channel: e^{g_i} and E_i, [n, d_k].
  std::vector<float> alpha, product;

 private:
  void PrepareScalar(const ChunkRows& c, bool queries);
  void PrepareChannel(const ChunkRows& c, bool queries);

  const int64_t capacity_;
  std::vector<float> key_t_;
};

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_CHUNK_CPU_H_
