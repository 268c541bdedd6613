// Embedding: rows of a table, and the gradient of the table.
//
//   out[i, :] = table[ids[i], :]
//   dtable[v, :] = sum over i with ids[i] = v of dout[i, :]   (in order of i)
//
// Cost: no FLOPs forward, n dim additions backward; bytes: forward 2 n dim
// elements, backward n dim read and vocab dim written.
//
// The gradient is deterministic: on the GPU the (id, position) pairs are sorted
// stably and runs of equal ids are summed in a fixed order, no atomics.
//
// An id outside [0, vocab) is an InvalidArgument on the CPU. On the GPU, where
// looking would cost a synchronisation, its output row is NaN, and its row of
// dout is left out of the gradient.

#ifndef LT2_KERNELS_EMBEDDING_EMBEDDING_H_
#define LT2_KERNELS_EMBEDDING_EMBEDDING_H_

#include "kernels/core/context.h"

namespace lt2::kernels {

struct EmbeddingArgs {
  Tensor ids;    // i32 [n]
  Tensor table;  // act [vocab, dim]
};

absl::Status EmbeddingSupports(const EmbeddingArgs& args);

// out: table's type [n, dim].
absl::Status Embedding(Context& ctx, const EmbeddingArgs& args, Tensor* out);

struct EmbeddingGradArgs {
  Tensor ids;   // i32 [n]
  Tensor dout;  // act [n, dim]
  int64_t vocab = 0;
};

absl::Status EmbeddingGradSupports(const EmbeddingGradArgs& args);

// dtable: f32 [vocab, dim], overwritten.
absl::Status EmbeddingGrad(Context& ctx, const EmbeddingGradArgs& args,
                           Tensor* dtable);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EMBEDDING_EMBEDDING_H_
