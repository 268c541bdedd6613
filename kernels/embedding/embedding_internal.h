// The implementations behind Embedding and EmbeddingGrad; shapes are checked
// and results allocated.

#ifndef LT2_KERNELS_EMBEDDING_EMBEDDING_INTERNAL_H_
#define LT2_KERNELS_EMBEDDING_EMBEDDING_INTERNAL_H_

#include "kernels/embedding/embedding.h"

namespace lt2::kernels {

absl::Status EmbeddingCpu(Context& ctx, const EmbeddingArgs& args, Tensor* out);
absl::Status EmbeddingCuda(Context& ctx, const EmbeddingArgs& args,
                           Tensor* out);
absl::Status EmbeddingGradCpu(Context& ctx, const EmbeddingGradArgs& args,
                              Tensor* dtable);
absl::Status EmbeddingGradCuda(Context& ctx, const EmbeddingGradArgs& args,
                               Tensor* dtable);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_EMBEDDING_EMBEDDING_INTERNAL_H_
