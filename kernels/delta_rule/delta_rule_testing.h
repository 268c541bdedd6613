// The delta rule under the tests of
// kernels/linear_attention/recurrence_testing.h.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_

#include "kernels/delta_rule/delta_rule.h"
#include "kernels/delta_rule/delta_rule_reference.h"
#include "kernels/linear_attention/recurrence_testing.h"

namespace lt2::kernels {

struct DeltaRuleFamily {
  using Args = DeltaRuleArgs;
  using Results = DeltaRuleResults;
  using GradArgs = DeltaRuleGradArgs;
  using GradResults = DeltaRuleGradResults;
  static constexpr auto Forward = DeltaRule;
  static constexpr auto Grad = DeltaRuleGrad;
  static constexpr auto Step = DeltaRuleStep;
};

using DeltaRuleRecorded = RecurrenceRecorded;

struct DeltaRuleCaseOptions {
  bool gate = true;
  bool channel = false;  // a gate per channel
  double min_g = -0.3;   // g uniform in [min_g, 0]
  double max_beta = 1.0;
  bool states = true;    // initial_state and dfinal_state
  bool gradient = true;  // dout
  DType act = DType::kF32;
};

// Random inputs: keys and queries of norm 1, everything rounded to what the
// tensors will hold.
inline DeltaRuleInputs RandomDeltaRule(uint64_t seed,
                                       const DeltaRuleShape& shape,
                                       const DeltaRuleCaseOptions& options) {
  RecurrenceCaseOptions o;
  o.delta = true;
  o.decay = options.channel ? Decay::kChannel : Decay::kToken;
  if (!options.gate) o.decay = Decay::kNone;
  o.min_g = options.min_g;
  o.max_beta = options.max_beta;
  o.states = options.states;
  o.gradient = options.gradient;
  o.act = options.act;
  return RandomRecurrence(seed, shape, o);
}

// DeltaRule and, if there is a dout, DeltaRuleGrad on ctx.
inline absl::StatusOr<DeltaRuleOutputs> RunDeltaRule(
    Context& ctx, DType act, const DeltaRuleShape& shape,
    const DeltaRuleInputs& inputs) {
  return RunRecurrence<DeltaRuleFamily>(ctx, act, shape, inputs);
}

inline absl::StatusOr<DeltaRuleOutputs> RunDeltaRuleInSegments(
    Context& ctx, DType act, const DeltaRuleShape& shape,
    const DeltaRuleInputs& inputs, const std::vector<int64_t>& cuts,
    bool steps = false) {
  return RunRecurrenceInSegments<DeltaRuleFamily>(ctx, act, shape, inputs, cuts,
                                                  steps);
}

inline DeltaRuleOutputs DeltaRulePlainChunked(const DeltaRuleShape& shape,
                                              const DeltaRuleInputs& inputs,
                                              DType operands,
                                              bool wrong = false) {
  return RecurrencePlainChunked(shape, inputs, operands, wrong);
}

// Recorded by other people's code, with a gate per token or none, and (kda)
// with a gate per channel.
inline absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleOracles(
    const std::string& directory) {
  return ReadRecurrenceOracles(directory,
                               {"gated_delta_rule", "delta_rule", "kda"});
}
inline absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleGolden(
    const std::string& directory) {
  return ReadRecurrenceGolden(directory,
                              {"gated_delta_rule", "delta_rule", "kda"});
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_
