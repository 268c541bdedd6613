#include "kernels/optimizer/adamw_internal.h"
namespace lt2::kernels {
absl::Status GlobalNormCuda(Context&, absl::Span<const Tensor>, Tensor*) { return absl::UnimplementedError("cuda"); }
absl::Status AdamWStepCuda(Context&, absl::Span<const AdamWParameter>, const AdamWOptions&, const Tensor&, const Tensor&) { return absl::UnimplementedError("cuda"); }
}
