// The stages of the forward pass that the backward pass runs again.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_CUDA_INTERNAL_CUH_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_CUDA_INTERNAL_CUH_

#include "kernels/delta_rule/delta_rule_forms_cuda.cuh"
#include "kernels/delta_rule/delta_rule_tiles.cuh"

namespace lt2::kernels::delta_rule {

// Per chunk, n of them; names of README.md. bf16 but for `total`.
struct ChunkTensors {
  Tensor total;   // f32 [n, 64]: G, the running sum of g
  Tensor t;       // [n, 64, 64]: (I + B)^-1; only for the backward pass
  Tensor u;       // [n, 64, d_v]
  Tensor w;       // [n, 64, d_k]
  Tensor states;  // [n, d_k, d_v] at the start of the chunk
  Tensor vn;      // [n, 64, d_v]
};

Problem MakeProblem(const DeltaRuleArgs& args);

// Columns of the state per block of the sequential kernels.
int SliceColumns(const Context& ctx, const DeltaRuleArgs& args);

// Allocates and computes all but t, or with it. Writes final_state if it is not
// null.
absl::Status ComputeChunks(Context& ctx, const DeltaRuleArgs& args, bool with_t,
                           float* final_state, ChunkTensors* chunks);

}  // namespace lt2::kernels::delta_rule

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_CUDA_INTERNAL_CUH_
