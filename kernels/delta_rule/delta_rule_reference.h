// The delta rule token by token: the shared recurrence with a beta
// (kernels/linear_attention/recurrence_reference.h).

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_

#include "kernels/linear_attention/recurrence_reference.h"

namespace lt2::kernels {

using DeltaRuleShape = RecurrenceShape;
using DeltaRuleInputs = RecurrenceInputs;
using DeltaRuleOutputs = RecurrenceOutputs;

template <typename Real>
DeltaRuleOutputs DeltaRuleReference(const DeltaRuleShape& shape,
                                    const DeltaRuleInputs& inputs) {
  return RecurrenceReference<Real>(shape, inputs);
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_REFERENCE_H_
