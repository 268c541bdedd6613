#include "kernels/delta_rule/delta_rule.h"

#include "kernels/delta_rule/delta_rule_internal.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kCudaMaxKey = 128;
constexpr int64_t kCudaMaxValue = 256;

absl::Status Floating(absl::string_view what, const Tensor& t) {
  if (!t.defined()) return InvalidArgument(what, " is undefined");
  if (t.rank() != 4) {
    return InvalidArgument(what, " must be [batch, seq, heads, dim], got ",
                           t.ToString());
  }
  if (t.dtype() == DType::kF32) return absl::OkStatus();
  if (t.dtype() == DType::kBF16 && t.device() == Device::kCUDA) {
    return absl::OkStatus();
  }
  return InvalidArgument(what, " must be f32, or bf16 on CUDA; got ",
                         t.ToString());
}

// What the chunked form and the step have in common.
absl::Status CheckTensors(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(Floating("q", args.q));
  LT2_RETURN_IF_ERROR(Floating("v", args.v));
  const DeltaRuleSizes n(args);
  if (n.heads < 1 || n.d_k < 1 || n.d_v < 1 || n.v_heads < 1 ||
      n.v_heads % n.heads != 0) {
    return InvalidArgument(
        "v's heads must be a multiple of q's and no extent but batch and seq "
        "may be 0; q is ",
        args.q.ToString(), ", v is ", args.v.ToString());
  }
  const Device device = args.q.device();
  const DType dtype = args.q.dtype();
  LT2_RETURN_IF_ERROR(ExpectTensor("k", args.k, device, dtype, args.q.shape()));
  LT2_RETURN_IF_ERROR(ExpectTensor("v", args.v, device, dtype,
                                   {n.batch, n.seq, n.v_heads, n.d_v}));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("beta", args.beta, device, DType::kF32, n.gate()));
  if (args.g.defined()) {
    LT2_RETURN_IF_ERROR(
        ExpectTensor("g", args.g, device, DType::kF32, n.gate()));
  }
  if (args.initial_state.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("initial_state", args.initial_state,
                                     device, DType::kF32, n.state()));
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(const Context& ctx, const DeltaRuleArgs& args) {
  if (args.q.device() == ctx.device()) return absl::OkStatus();
  return InvalidArgument("q is ", args.q.ToString(), " but the context is on ",
                         Name(ctx.device()));
}

// destination = source, or zeros if there is none.
absl::Status CopyOrZero(Context& ctx, const Tensor& source,
                        Tensor* destination) {
  if (!source.defined()) return ctx.Zero(destination);
  if (source.raw() == destination->raw()) return absl::OkStatus();
  return ctx.Copy(source, destination);
}

absl::Status Prepare(Context& ctx, const DeltaRuleArgs& args,
                     DeltaRuleResults* results) {
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("o", args.v.dtype(), args.v.shape(), &results->o));
  return ctx.Prepare("final_state", DType::kF32, DeltaRuleSizes(args).state(),
                     &results->final_state);
}

}  // namespace

absl::Status DeltaRuleSupports(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  if (args.q.device() == Device::kCPU) return absl::OkStatus();
  const DeltaRuleSizes n(args);
  if (args.q.dtype() != DType::kBF16) {
    return InvalidArgument("on CUDA q, k, v must be bf16, got q ",
                           args.q.ToString());
  }
  if (n.d_k % 16 != 0 || n.d_v % 16 != 0 || n.d_k > kCudaMaxKey ||
      n.d_v > kCudaMaxValue) {
    return InvalidArgument(
        "on CUDA d_k and d_v must be multiples of 16, at most ", kCudaMaxKey,
        " and ", kCudaMaxValue, "; got d_k = ", n.d_k, ", d_v = ", n.d_v);
  }
  constexpr int64_t kMaxGrid = 65535;
  if (n.batch > kMaxGrid || n.v_heads > kMaxGrid) {
    return InvalidArgument("on CUDA batch and heads may be at most ", kMaxGrid,
                           "; got v ", args.v.ToString());
  }
  return absl::OkStatus();
}

absl::Status DeltaRuleStepSupports(const DeltaRuleArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  const DeltaRuleSizes n(args);
  if (n.seq != 1) {
    return InvalidArgument("a step takes one token, got q ", args.q.ToString());
  }
  if (args.q.device() == Device::kCUDA &&
      (n.d_k > kCudaMaxKey || n.batch > 65535 || n.v_heads > 65535)) {
    return InvalidArgument("on CUDA d_k may be at most ", kCudaMaxKey,
                           " and batch and heads at most 65535; got q ",
                           args.q.ToString(), ", v ", args.v.ToString());
  }
  return absl::OkStatus();
}

absl::Status DeltaRuleGradSupports(const DeltaRuleGradArgs& args) {
  const DeltaRuleArgs& forward = args.forward;
  LT2_RETURN_IF_ERROR(DeltaRuleSupports(forward));
  LT2_RETURN_IF_ERROR(ExpectTensor("dout", args.dout, forward.v.device(),
                                   forward.v.dtype(), forward.v.shape()));
  if (args.dfinal_state.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("dfinal_state", args.dfinal_state,
                                     forward.v.device(), DType::kF32,
                                     DeltaRuleSizes(forward).state()));
  }
  return absl::OkStatus();
}

absl::Status DeltaRule(Context& ctx, const DeltaRuleArgs& args,
                       DeltaRuleResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleSupports(args), "DeltaRule"));
  LT2_RETURN_IF_ERROR(Annotate(Prepare(ctx, args, results), "DeltaRule"));
  if (args.q.numel() == 0) {
    return CopyOrZero(ctx, args.initial_state, &results->final_state);
  }
  // As the token recurrence: decay, S'k, rank-one update, S'q.
  ctx.CountFlops((args.g.defined() ? 7 : 6) * args.q.dim(-1) * args.v.numel());
  LT2_DISPATCH(ctx, DeltaRuleCpu(ctx, args, results),
               DeltaRuleCuda(ctx, args, results));
}

absl::Status DeltaRuleStep(Context& ctx, const DeltaRuleArgs& args,
                           DeltaRuleResults* results) {
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleStepSupports(args), "DeltaRuleStep"));
  LT2_RETURN_IF_ERROR(Annotate(Prepare(ctx, args, results), "DeltaRuleStep"));
  if (args.q.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, DeltaRuleStepCpu(ctx, args, results),
               DeltaRuleStepCuda(ctx, args, results));
}

absl::Status DeltaRuleGrad(Context& ctx, const DeltaRuleGradArgs& args,
                           DeltaRuleGradResults* results) {
  const DeltaRuleArgs& forward = args.forward;
  LT2_RETURN_IF_ERROR(Annotate(DeltaRuleGradSupports(args), "DeltaRuleGrad"));
  LT2_RETURN_IF_ERROR(Annotate(CheckDevice(ctx, forward), "DeltaRuleGrad"));
  const DeltaRuleSizes n(forward);
  const DType act = forward.q.dtype();
  const auto prepare = [&](absl::string_view what, DType dtype,
                           const Shape& shape, Tensor* out) {
    return Annotate(ctx.Prepare(what, dtype, shape, out), "DeltaRuleGrad");
  };
  LT2_RETURN_IF_ERROR(prepare("dq", act, forward.q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(prepare("dk", act, forward.k.shape(), &results->dk));
  LT2_RETURN_IF_ERROR(prepare("dv", act, forward.v.shape(), &results->dv));
  LT2_RETURN_IF_ERROR(prepare("dbeta", DType::kF32, n.gate(), &results->dbeta));
  if (forward.g.defined()) {
    LT2_RETURN_IF_ERROR(prepare("dg", DType::kF32, n.gate(), &results->dg));
  }
  if (forward.initial_state.defined()) {
    LT2_RETURN_IF_ERROR(prepare("dinitial_state", DType::kF32, n.state(),
                                &results->dinitial_state));
  }
  if (forward.q.numel() == 0) {
    if (!forward.initial_state.defined()) return absl::OkStatus();
    return CopyOrZero(ctx, args.dfinal_state, &results->dinitial_state);
  }
  LT2_DISPATCH(ctx, DeltaRuleGradCpu(ctx, args, results),
               DeltaRuleGradCuda(ctx, args, results));
}

}  // namespace lt2::kernels
