#include "kernels/cross_entropy/cross_entropy.h"

#include "kernels/cross_entropy/cross_entropy_internal.h"

namespace lt2::kernels {
namespace {

absl::Status CheckLogits(const Tensor& logits, const Tensor& targets) {
  if (!logits.defined() || logits.rank() != 2 ||
      logits.dtype() != DType::kF32 || logits.dim(1) < 1 ||
      logits.dim(1) >= (int64_t{1} << 31) ||
      logits.dim(0) >= (int64_t{1} << 31)) {
    return InvalidArgument(
        "cross entropy: logits must be f32 [n, vocab] with vocab >= 1 and both "
        "below 2^31, got ",
        logits.ToString());
  }
  return ExpectTensor("cross entropy targets", targets, logits.device(),
                      DType::kI32, {logits.dim(0)});
}

absl::Status CheckDevice(const Context& ctx, const Tensor& logits) {
  if (logits.device() == ctx.device()) return absl::OkStatus();
  return InvalidArgument("cross entropy: logits ", logits.ToString(),
                         " in a context on ", Name(ctx.device()));
}

}  // namespace

absl::Status CrossEntropySupports(const CrossEntropyArgs& args) {
  return CheckLogits(args.logits, args.targets);
}

absl::Status CrossEntropy(Context& ctx, const CrossEntropyArgs& args,
                          CrossEntropyResults* results) {
  LT2_RETURN_IF_ERROR(CrossEntropySupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args.logits));
  const int64_t n = args.logits.dim(0);
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("cross entropy loss", DType::kF32, {n}, &results->loss));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("cross entropy lse", DType::kF32, {n}, &results->lse));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("cross entropy argmax", DType::kI32, {n}, &results->argmax));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("cross entropy mean", DType::kF32, {1}, &results->mean));
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("cross entropy count", DType::kF32, {1}, &results->count));
  LT2_DISPATCH(ctx, CrossEntropyCpu(ctx, args, results),
               CrossEntropyCuda(ctx, args, results));
}

absl::Status CrossEntropyGradSupports(const CrossEntropyGradArgs& args) {
  LT2_RETURN_IF_ERROR(CheckLogits(args.logits, args.targets));
  const Device device = args.logits.device();
  LT2_RETURN_IF_ERROR(ExpectTensor("cross entropy lse", args.lse, device,
                                   DType::kF32, {args.logits.dim(0)}));
  LT2_RETURN_IF_ERROR(ExpectTensor("cross entropy count", args.count, device,
                                   DType::kF32, {1}));
  if (args.out != DType::kF32 &&
      (args.out != DType::kBF16 || device == Device::kCPU)) {
    return InvalidArgument("cross entropy: gradient type ", Name(args.out),
                           " on ", Name(device),
                           ", must be f32, or bf16 on the GPU");
  }
  return absl::OkStatus();
}

absl::Status CrossEntropyGrad(Context& ctx, const CrossEntropyGradArgs& args,
                              Tensor* dlogits) {
  LT2_RETURN_IF_ERROR(CrossEntropyGradSupports(args));
  LT2_RETURN_IF_ERROR(CheckDevice(ctx, args.logits));
  LT2_RETURN_IF_ERROR(ctx.Prepare("cross entropy dlogits", args.out,
                                  args.logits.shape(), dlogits));
  if (args.logits.dim(0) == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, CrossEntropyGradCpu(ctx, args, dlogits),
               CrossEntropyGradCuda(ctx, args, dlogits));
}

}  // namespace lt2::kernels
