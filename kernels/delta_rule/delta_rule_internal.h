// The device forms behind delta_rule.h. Arguments are checked and results
// prepared; seq >= 1 and no other extent is 0.

#ifndef LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_
#define LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_

#include "kernels/delta_rule/delta_rule.h"

namespace lt2::kernels {

struct DeltaRuleSizes {
  explicit DeltaRuleSizes(const DeltaRuleArgs& args)
      : batch(args.q.dim(0)),
        seq(args.q.dim(1)),
        heads(args.q.dim(2)),
        v_heads(args.v.dim(2)),
        d_k(args.q.dim(3)),
        d_v(args.v.dim(3)) {}

  int64_t group() const { return v_heads / heads; }
  Shape state() const { return {batch, v_heads, d_k, d_v}; }
  Shape gate() const { return {batch, seq, v_heads}; }

  int64_t batch, seq, heads, v_heads, d_k, d_v;
};

absl::Status DeltaRuleCpu(Context& ctx, const DeltaRuleArgs& args,
                          DeltaRuleResults* results);
absl::Status DeltaRuleGradCpu(Context& ctx, const DeltaRuleGradArgs& args,
                              DeltaRuleGradResults* results);
absl::Status DeltaRuleStepCpu(Context& ctx, const DeltaRuleArgs& args,
                              DeltaRuleResults* results);

absl::Status DeltaRuleCuda(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results);
absl::Status DeltaRuleGradCuda(Context& ctx, const DeltaRuleGradArgs& args,
                               DeltaRuleGradResults* results);
absl::Status DeltaRuleStepCuda(Context& ctx, const DeltaRuleArgs& args,
                               DeltaRuleResults* results);

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_DELTA_RULE_DELTA_RULE_INTERNAL_H_
