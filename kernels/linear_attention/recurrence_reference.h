// The recurrence of linear attention and of the delta rule made runnable: one
// token after the other, and its gradient by walking back over the stored
// states. In Real = double this is what every other form is tested against; in
// Real = float it is the plain formula in the CPU's precision.
//
//   S <- diag(e^g) S;   u = v, or for the delta rule beta (v - S'k);
//   S <- S + k u';      o = scale S'q

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_REFERENCE_H_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_REFERENCE_H_

#include <cstdint>
#include <vector>

#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels {

struct RecurrenceShape {
  int64_t batch = 1, seq = 1, heads = 1, v_heads = 1, d_k = 1, d_v = 1;
};

// Row-major, in the layouts of linear_attention.h and delta_rule.h. An empty
// state or gradient of a state is 0; gradients are computed if dout is not
// empty.
struct RecurrenceInputs {
  std::vector<double> q, k, v;
  std::vector<double> beta;  // empty: linear attention
  std::vector<double> g;     // empty: no decay, whatever `decay` says
  std::vector<double> initial_state, dout, dfinal_state;
  double scale = 1;
  Decay decay = Decay::kToken;  // g's layout
};
struct RecurrenceOutputs {
  std::vector<double> o, final_state;
  // dbeta: only with beta. dg: only with g, and not for Decay::kHead.
  std::vector<double> dq, dk, dv, dbeta, dg, dinitial_state;
};

template <typename Real>
RecurrenceOutputs RecurrenceReference(const RecurrenceShape& shape,
                                      const RecurrenceInputs& inputs);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_REFERENCE_H_
