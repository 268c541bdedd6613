// The two halves of the backward pass.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_BACKWARD_CUDA_CUH_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_BACKWARD_CUDA_CUH_

#include "kernels/delta_rule/delta_rule_cuda_internal.cuh"

namespace lt2::kernels::delta_rule {

struct ChunkGradients {
  Tensor dvn;      // bf16 [n, 64, d_v]
  Tensor dstates;  // bf16 [n, d_k, d_v], of the state at the chunk's end
};

// dq, dk, dv, dbeta, dg from what is known of each chunk.
absl::Status ComputeGradients(Context& ctx, const DeltaRuleGradArgs& args,
                              const ChunkTensors& chunks,
                              const ChunkGradients& gradients,
                              DeltaRuleGradResults* results);

}  // namespace lt2::kernels::delta_rule

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_BACKWARD_CUDA_CUH_
