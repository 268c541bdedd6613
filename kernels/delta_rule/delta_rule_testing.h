// What the tests of the delta rule share: inputs, running an implementation on
// std::vectors, the plain chunked formula in low precision, and third-party
// vectors.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_

#include <string>
#include <utility>
#include <vector>

#include "kernels/core/context.h"
#include "kernels/delta_rule/delta_rule.h"
#include "kernels/delta_rule/delta_rule_reference.h"

namespace lt2::kernels {

struct DeltaRuleCaseOptions {
  bool gate = true;
  double min_g = -0.3;  // g uniform in [min_g, 0]
  double max_beta = 1.0;
  bool states = true;    // initial_state and dfinal_state
  bool gradient = true;  // dout
  DType act = DType::kF32;
};

// Random inputs: keys and queries of norm 1, everything rounded to what the
// tensors will hold.
DeltaRuleInputs RandomDeltaRule(uint64_t seed, const DeltaRuleShape& shape,
                                const DeltaRuleCaseOptions& options);

// DeltaRule and, if there is a dout, DeltaRuleGrad on ctx.
absl::StatusOr<DeltaRuleOutputs> RunDeltaRule(Context& ctx, DType act,
                                              const DeltaRuleShape& shape,
                                              const DeltaRuleInputs& inputs);

// The same results (no gradients) through consecutive calls on the segments
// that `cuts` (ascending, without 0 and seq) makes, passing the state on. With
// `steps`, DeltaRuleStep token by token.
absl::StatusOr<DeltaRuleOutputs> RunDeltaRuleInSegments(
    Context& ctx, DType act, const DeltaRuleShape& shape,
    const DeltaRuleInputs& inputs, const std::vector<int64_t>& cuts,
    bool steps = false);

// The textbook chunked formula (chunks of 64) with plain loops in f32. With
// `operands` kBF16 every operand of a matrix product is first rounded to bf16,
// and so are the results of that type: what the contract calls the plain
// formula in the same precision for CUDA. Chunk states and their gradients are
// such operands, and are the rounded ones wherever else they are used; the
// state that is passed on from chunk to chunk stays f32. `wrong` makes the
// deliberately wrong twin: its chunks forget what their tokens did to the same
// chunk's other tokens (T is taken to be the identity).
DeltaRuleOutputs DeltaRulePlainChunked(const DeltaRuleShape& shape,
                                       const DeltaRuleInputs& inputs,
                                       DType operands, bool wrong = false);

// Pairs (name, values) of the nonempty results.
std::vector<std::pair<std::string, const std::vector<double>*>> Fields(
    const DeltaRuleOutputs& outputs);

// A case computed by other people's code.
struct DeltaRuleRecorded {
  std::string name;
  DeltaRuleShape shape;
  DeltaRuleInputs inputs;
  DeltaRuleOutputs outputs;
};
// From linear_attention_cases.json and gdn_large.json in `directory`/oracles.
absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleOracles(
    const std::string& directory);
// From {gated_delta_rule,delta_rule}*.safetensors in `directory`.
absl::StatusOr<std::vector<DeltaRuleRecorded>> ReadDeltaRuleGolden(
    const std::string& directory);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_TESTING_H_
