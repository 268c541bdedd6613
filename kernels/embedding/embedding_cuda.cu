#include "kernels/embedding/embedding_internal.h"
namespace lt2::kernels {
absl::Status EmbeddingCuda(Context&, const EmbeddingArgs&, Tensor*) { return absl::UnimplementedError("cuda"); }
absl::Status EmbeddingGradCuda(Context&, const EmbeddingGradArgs&, Tensor*) { return absl::UnimplementedError("cuda"); }
}
