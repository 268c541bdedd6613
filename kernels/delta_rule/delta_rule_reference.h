// The delta rule's definition made runnable: one token after the other, and its
// gradient by walking back over the stored states. In Real = double this is
// what every other form is tested against; in Real = float it is the plain
// formula in the CPU's precision.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_

#include <cstdint>
#include <vector>

namespace lt2::kernels {

struct DeltaRuleShape {
  int64_t batch = 1, seq = 1, heads = 1, v_heads = 1, d_k = 1, d_v = 1;
};

// Row-major, in the layouts of delta_rule.h. Empty g is 0, an empty state or
// gradient of a state is 0; gradients are computed if dout is not empty.
struct DeltaRuleInputs {
  std::vector<double> q, k, v, beta, g, initial_state, dout, dfinal_state;
  double scale = 1;
};
struct DeltaRuleOutputs {
  std::vector<double> o, final_state;
  std::vector<double> dq, dk, dv, dbeta, dg, dinitial_state;
};

template <typename Real>
DeltaRuleOutputs DeltaRuleReference(const DeltaRuleShape& shape,
                                    const DeltaRuleInputs& inputs);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_
