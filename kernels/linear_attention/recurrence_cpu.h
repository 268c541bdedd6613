// The CPU forms of linear attention and of the delta rule: one code for both,
// as the delta rule is linear attention with corrected values.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CPU_H_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CPU_H_

#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels {

// Checked arguments, f32 on the CPU; seq >= 1 and no other extent is 0.
struct RecurrenceArgs {
  Tensor q, k, v;
  Tensor beta;  // undefined: linear attention
  Tensor g;     // any Decay
  Tensor initial_state;
  float scale;
};

// Allocated results. dbeta and dg are undefined where there is nothing to make.
struct RecurrenceGradients {
  Tensor dq, dk, dv, dbeta, dg, dinitial_state;
};

void RecurrenceCpu(Context& ctx, const RecurrenceArgs& args, const Tensor& o,
                   const Tensor& final_state);
void RecurrenceStepCpu(Context& ctx, const RecurrenceArgs& args,
                       const Tensor& o, const Tensor& final_state);
absl::Status RecurrenceGradCpu(Context& ctx, const RecurrenceArgs& args,
                               const Tensor& dout, const Tensor& dfinal_state,
                               RecurrenceGradients results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CPU_H_
