#include "kernels/linear_attention/linear_attention.h"

#include "kernels/linear_attention/recurrence_checks.h"

namespace lt2::kernels {
namespace {

constexpr int64_t kCudaMaxKey = 128;
constexpr int64_t kCudaMaxValue = 256;
constexpr int64_t kCudaMaxGrid = 65535;

absl::Status CheckTensors(const LinearAttentionArgs& args) {
  LT2_RETURN_IF_ERROR(ExpectRecurrence(args));
  return ExpectDecay(args.g, RecurrenceSizes(args), args.q.device(),
                     /*allow_per_head=*/true);
}

// The limits of every CUDA form.
absl::Status CheckCudaSizes(const LinearAttentionArgs& args) {
  if (args.q.device() == Device::kCPU) return absl::OkStatus();
  const RecurrenceSizes n(args);
  if (n.d_k > kCudaMaxKey || n.batch > kCudaMaxGrid ||
      n.v_heads > kCudaMaxGrid) {
    return InvalidArgument("on CUDA d_k may be at most ", kCudaMaxKey,
                           " and batch and heads at most ", kCudaMaxGrid,
                           "; got q ", args.q.ToString(), ", v ",
                           args.v.ToString());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LinearAttentionSupports(const LinearAttentionArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  LT2_RETURN_IF_ERROR(CheckCudaSizes(args));
  const RecurrenceSizes n(args);
  if (args.q.dtype() == DType::kBF16 &&
      (n.d_k % 16 != 0 || n.d_v % 16 != 0 || n.d_v > kCudaMaxValue)) {
    return InvalidArgument(
        "in bf16 d_k and d_v must be multiples of 16, at most ", kCudaMaxKey,
        " and ", kCudaMaxValue, "; got d_k = ", n.d_k, ", d_v = ", n.d_v);
  }
  return absl::OkStatus();
}

absl::Status LinearAttentionStepSupports(const LinearAttentionArgs& args) {
  LT2_RETURN_IF_ERROR(CheckTensors(args));
  LT2_RETURN_IF_ERROR(ExpectOneToken(args.q));
  return CheckCudaSizes(args);
}

absl::Status LinearAttentionGradSupports(const LinearAttentionGradArgs& args) {
  LT2_RETURN_IF_ERROR(LinearAttentionSupports(args.forward));
  const Tensor& q = args.forward.q;
  if (q.device() == Device::kCUDA && q.dtype() != DType::kBF16) {
    return InvalidArgument("on CUDA only bf16 has a gradient, got q ",
                           q.ToString());
  }
  return ExpectOutputGradients(args);
}

absl::Status LinearAttention(Context& ctx, const LinearAttentionArgs& args,
                             LinearAttentionResults* results) {
  constexpr absl::string_view kName = "LinearAttention";
  LT2_RETURN_IF_ERROR(Annotate(LinearAttentionSupports(args), kName));
  LT2_RETURN_IF_ERROR(Annotate(PrepareRecurrence(ctx, args, results), kName));
  if (args.q.numel() == 0) {
    return CopyStateOrZero(ctx, args.initial_state, &results->final_state);
  }
  // As the token recurrence: decay, rank-one update, S'q.
  ctx.CountFlops((args.g.defined() ? 5 : 4) * args.q.dim(-1) * args.v.numel());
  LT2_DISPATCH(ctx, LinearAttentionCpu(ctx, args, results),
               LinearAttentionCuda(ctx, args, results));
}

absl::Status LinearAttentionStep(Context& ctx, const LinearAttentionArgs& args,
                                 LinearAttentionResults* results) {
  constexpr absl::string_view kName = "LinearAttentionStep";
  LT2_RETURN_IF_ERROR(Annotate(LinearAttentionStepSupports(args), kName));
  LT2_RETURN_IF_ERROR(Annotate(PrepareRecurrence(ctx, args, results), kName));
  if (args.q.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, LinearAttentionStepCpu(ctx, args, results),
               LinearAttentionStepCuda(ctx, args, results));
}

absl::Status LinearAttentionGrad(Context& ctx,
                                 const LinearAttentionGradArgs& args,
                                 LinearAttentionGradResults* results) {
  constexpr absl::string_view kName = "LinearAttentionGrad";
  const LinearAttentionArgs& forward = args.forward;
  LT2_RETURN_IF_ERROR(Annotate(LinearAttentionGradSupports(args), kName));
  LT2_RETURN_IF_ERROR(Annotate(PrepareGradients(ctx, forward, results), kName));
  if (forward.q.numel() == 0) {
    if (!forward.initial_state.defined()) return absl::OkStatus();
    return CopyStateOrZero(ctx, args.dfinal_state, &results->dinitial_state);
  }
  LT2_DISPATCH(ctx, LinearAttentionGradCpu(ctx, args, results),
               LinearAttentionGradCuda(ctx, args, results));
}

}  // namespace lt2::kernels
