#include "kernels/optimizer/adamw.h"

#include "kernels/optimizer/adamw_internal.h"

namespace lt2::kernels {

absl::Status GlobalNorm(Context& ctx, absl::Span<const Tensor> tensors,
                        Tensor* norm) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Tensor& t = tensors[i];
    if (!t.defined() || t.dtype() != DType::kF32 ||
        t.device() != ctx.device()) {
      return InvalidArgument("global norm: tensor ", i, " must be f32 on ",
                             Name(ctx.device()), ", got ", t.ToString());
    }
  }
  LT2_RETURN_IF_ERROR(ctx.Prepare("global norm", DType::kF32, {1}, norm));
  LT2_DISPATCH(ctx, GlobalNormCpu(ctx, tensors, norm),
               GlobalNormCuda(ctx, tensors, norm));
}

absl::Status AdamWSupports(absl::Span<const AdamWParameter> parameters,
                           const AdamWOptions& options, Device device) {
  // Written so that NaN fails.
  if (!(options.beta1 >= 0 && options.beta1 < 1) ||
      !(options.beta2 >= 0 && options.beta2 < 1) || !(options.eps >= 0)) {
    return InvalidArgument("adamw: beta1 ", options.beta1, ", beta2 ",
                           options.beta2, ", eps ", options.eps,
                           ": betas must be in [0, 1) and eps >= 0");
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const AdamWParameter& p = parameters[i];
    if (!p.value.defined()) {
      return InvalidArgument("adamw: value of parameter ", i, " is undefined");
    }
    auto check = [&](absl::string_view name, const Tensor& t, DType dtype) {
      return ExpectTensor(absl::StrCat("adamw: ", name, " of parameter ", i), t,
                          device, dtype, p.value.shape());
    };
    LT2_RETURN_IF_ERROR(check("value", p.value, DType::kF32));
    LT2_RETURN_IF_ERROR(check("grad", p.grad, DType::kF32));
    LT2_RETURN_IF_ERROR(check("m", p.m, DType::kF32));
    LT2_RETURN_IF_ERROR(check("v", p.v, DType::kF32));
    if (p.compute.defined()) {
      LT2_RETURN_IF_ERROR(check("compute", p.compute, DType::kBF16));
    }
  }
  return absl::OkStatus();
}

absl::Status AdamWStep(Context& ctx,
                       absl::Span<const AdamWParameter> parameters,
                       const AdamWOptions& options, const Tensor& schedule,
                       const Tensor& norm) {
  LT2_RETURN_IF_ERROR(AdamWSupports(parameters, options, ctx.device()));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("adamw schedule", schedule, ctx.device(), DType::kF32, {3}));
  LT2_RETURN_IF_ERROR(
      ExpectTensor("adamw norm", norm, ctx.device(), DType::kF32, {1}));
  LT2_DISPATCH(ctx, AdamWStepCpu(ctx, parameters, options, schedule, norm),
               AdamWStepCuda(ctx, parameters, options, schedule, norm));
}

}  // namespace lt2::kernels
