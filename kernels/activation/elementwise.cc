#include "kernels/activation/elementwise.h"

#include "kernels/activation/activation_internal.h"
#include "kernels/core/checks.h"

namespace lt2::kernels {
namespace {

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBF16;
}

// Checks the context's device and prepares a result.
absl::Status PrepareLike(Context& ctx, const Tensor& x, DType dtype,
                         absl::string_view what, Tensor* result) {
  LT2_RETURN_IF_ERROR(ExpectDevice("x", x, ctx.device()));
  return ctx.Prepare(what, dtype, x.shape(), result);
}

}  // namespace

absl::Status SiluSupports(const SiluArgs& args) {
  return ExpectActivation("x", args.x);
}

absl::Status Silu(Context& ctx, const SiluArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(SiluSupports(args), "Silu"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, args.x.dtype(), "y", y), "Silu"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SiluCpu(ctx, args, *y), SiluCuda(ctx, args, *y));
}

absl::Status SiluGradSupports(const SiluGradArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  return ExpectLike("dy", args.dy, args.x);
}

absl::Status SiluGrad(Context& ctx, const SiluGradArgs& args, Tensor* dx) {
  LT2_RETURN_IF_ERROR(Annotate(SiluGradSupports(args), "SiluGrad"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, args.x.dtype(), "dx", dx), "SiluGrad"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SiluGradCpu(ctx, args, *dx), SiluGradCuda(ctx, args, *dx));
}

absl::Status SigmoidSupports(const SigmoidArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  if (args.out == DType::kF32) return absl::OkStatus();
  if (args.out == DType::kBF16 && args.x.device() == Device::kCUDA) {
    return absl::OkStatus();
  }
  return InvalidArgument("out: expected f32, or bf16 on cuda, got ",
                         Name(args.out));
}

absl::Status Sigmoid(Context& ctx, const SigmoidArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(SigmoidSupports(args), "Sigmoid"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, args.out, "y", y), "Sigmoid"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SigmoidCpu(ctx, args, *y), SigmoidCuda(ctx, args, *y));
}

absl::Status SigmoidGradSupports(const SigmoidGradArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("x", args.x));
  LT2_RETURN_IF_ERROR(ExpectActivation("dy", args.dy));
  return ExpectTensor("dy", args.dy, args.x.device(), args.dy.dtype(),
                      args.x.shape());
}

absl::Status SigmoidGrad(Context& ctx, const SigmoidGradArgs& args,
                         Tensor* dx) {
  LT2_RETURN_IF_ERROR(Annotate(SigmoidGradSupports(args), "SigmoidGrad"));
  LT2_RETURN_IF_ERROR(Annotate(
      PrepareLike(ctx, args.x, args.x.dtype(), "dx", dx), "SigmoidGrad"));
  if (args.x.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SigmoidGradCpu(ctx, args, *dx),
               SigmoidGradCuda(ctx, args, *dx));
}

absl::Status AddSupports(const AddArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectActivation("a", args.a));
  return ExpectLike("b", args.b, args.a);
}

absl::Status Add(Context& ctx, const AddArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(AddSupports(args), "Add"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.a, args.a.dtype(), "y", y), "Add"));
  if (args.a.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, AddCpu(ctx, args, *y), AddCuda(ctx, args, *y));
}

absl::Status CastSupports(const CastArgs& args) {
  if (!args.x.defined() || !IsFloat(args.x.dtype())) {
    return InvalidArgument("x: expected f32 or bf16, got ", args.x.ToString());
  }
  if (!IsFloat(args.out)) {
    return InvalidArgument("out: expected f32 or bf16, got ", Name(args.out));
  }
  return absl::OkStatus();
}

absl::Status Cast(Context& ctx, const CastArgs& args, Tensor* y) {
  LT2_RETURN_IF_ERROR(Annotate(CastSupports(args), "Cast"));
  LT2_RETURN_IF_ERROR(
      Annotate(PrepareLike(ctx, args.x, args.out, "y", y), "Cast"));
  if (args.x.numel() == 0) return absl::OkStatus();
  if (args.x.dtype() == args.out) {
    if (args.x.raw() == y->raw()) return absl::OkStatus();
    return ctx.Copy(args.x, y);
  }
  LT2_DISPATCH(ctx, CastCpu(ctx, args, *y), CastCuda(ctx, args, *y));
}

}  // namespace lt2::kernels
