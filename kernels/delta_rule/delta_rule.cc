#include "kernels/delta_rule/delta_rule.h"

#include "kernels/delta_rule/delta_rule_internal.h"
#include "kernels/linear_attention/recurrence_checks.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kCudaMaxKey = 128;
constexpr int64_t kCudaMaxValue = 256;
constexpr int64_t kCudaMaxGrid = 65535;

// What the chunked form and the step have in common.
absl::Status CheckTensors(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectRecurrence(args));
  const DeltaRuleSizes n(args);
  const Device device = args.q.device();
  LT2_RETURN_IF_ERROR(
      ExpectTensor("beta", args.beta, device, DType::kF32, n.gate()));
  return ExpectDecay(args.g, n, device, /*allow_per_head=*/false);
}

// The limits of every CUDA form.
absl::Status CheckCudaSizes(const DeltaRuleArgs& args) {
  if (args.q.device() == Device::kCPU) return absl::OkStatus();
  const DeltaRuleSizes n(args);
  if (n.d_k > kCudaMaxKey || n.batch > kCudaMaxGrid ||
      n.v_heads > kCudaMaxGrid) {
    return InvalidArgument("on CUDA d_k may be at most ", kCudaMaxKey,
                           " and batch and heads at most ", kCudaMaxGrid,
                           "; got d_k = ", n.d_k, ", v ", args.v.ToString());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DeltaRuleSupports(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  LT2_RETURN_IF_ERROR(CheckCudaSizes(args));
  const DeltaRuleSizes n(args);
  if (args.q.dtype() == DType::kBF16 &&
      (n.d_k % 16 != 0 || n.d_v % 16 != 0 || n.d_v > kCudaMaxValue)) {
    return InvalidArgument(
        "in bf16 d_k and d_v must be multiples of 16, at most ", kCudaMaxKey,
        " and ", kCudaMaxValue, "; got d_k = ", n.d_k, ", d_v = ", n.d_v);
  }
  return absl::OkStatus();
}

absl::Status DeltaRuleStepSupports(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  LT2_RETURN_IF_ERROR(ExpectOneToken(args.q));
  return CheckCudaSizes(args);
}

absl::Status DeltaRuleGradSupports(const DeltaRuleGradArgs& args) {
  LT2_RETURN_IF_ERROR(DeltaRuleSupports(args.forward));
  const Tensor& q = args.forward.q;
  if (q.device() == Device::kCUDA && q.dtype() != DType::kBF16) {
    return InvalidArgument("on CUDA only bf16 has a gradient, got q ",
                           q.ToString());
  }
  return ExpectOutputGradients(args);
}

absl::Status DeltaRule(Context& ctx, const DeltaRuleArgs& args,
                       DeltaRuleResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleSupports(args), "DeltaRule"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareRecurrence(ctx, args, results), "DeltaRule"));
  if (args.q.numel() == 0) {
    return CopyStateOrZero(ctx, args.initial_state, &results->final_state);
  }
  // As the token recurrence: decay, S'k, rank-one update, S'q.
  ctx.CountFlops((args.g.defined() ? 7 : 6) * args.q.dim(-1) * args.v.numel());
  LT2_DISPATCH(ctx, DeltaRuleCpu(ctx, args, results),
               DeltaRuleCuda(ctx, args, results));
}

absl::Status DeltaRuleStep(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleStepSupports(args), "DeltaRuleStep"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareRecurrence(ctx, args, results), "DeltaRuleStep"));
  if (args.q.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, DeltaRuleStepCpu(ctx, args, results),
               DeltaRuleStepCuda(ctx, args, results));
}

absl::Status DeltaRuleGrad(Context& ctx, const DeltaRuleGradArgs& args,
                           DeltaRuleGradResults* results) {
  const DeltaRuleArgs& forward = args.forward;
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleGradSupports(args), "DeltaRuleGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareGradients(ctx, forward, results), "DeltaRuleGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      ctx.Prepare("dbeta", DType::kF32, forward.beta.shape(), &results->dbeta),
      "DeltaRuleGrad"));
  if (forward.q.numel() == 0) {
    if (!forward.initial_state.defined()) return absl::OkStatus();
    return CopyStateOrZero(ctx, args.dfinal_state, &results->dinitial_state);
  }
  LT2_DISPATCH(ctx, DeltaRuleGradCpu(ctx, args, results),
               DeltaRuleGradCuda(ctx, args, results));
}

}  // namespace lt2::kernels
