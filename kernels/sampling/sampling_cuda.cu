#include "kernels/sampling/sampling_internal.h"
namespace lt2::kernels {
absl::Status SampleCuda(Context&, const SamplingArgs&, Tensor*) { return absl::UnimplementedError("cuda"); }
}
