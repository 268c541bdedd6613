// Allocates parameters and gives them their first values (paper.md 1.5).
//
// A value is a function of (seed, parameter name, element index) alone: the
// same on every machine, whatever the order of parameters.

#ifndef LT2_MODEL_LOOPED_INIT_H_
#define LT2_MODEL_LOOPED_INIT_H_

#include <cstdint>
#include <vector>

#include "absl/types/optional.h"
#include "kernels/core/context.h"
#include "model/mixers/mixer.h"

namespace lt2::model {

// The first values of a parameter.
std::vector<float> InitialValues(const DeclaredParameter& parameter,
                                 uint64_t seed);

// Allocates value and compute (and a zero grad if `training`) on ctx's device.
// `matrices` is what matrices compute in: f32, or bf16, a copy; all else
// computes in f32. Without a seed the values are left for somebody else to set.
absl::Status Materialize(Context& ctx, absl::optional<uint64_t> seed,
                         bool training, DType matrices,
                         DeclaredParameter* parameter);

// Replaces the values and refreshes the compute copy.
absl::Status SetValues(Context& ctx, absl::Span<const float> values,
                       Parameter* parameter);

}  // namespace lt2::model

#endif  // LT2_MODEL_LOOPED_INIT_H_
