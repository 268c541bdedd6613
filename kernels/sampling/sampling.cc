#include "kernels/sampling/sampling.h"

#include <cmath>

#include "kernels/sampling/sampling_internal.h"

namespace lt2::kernels {

absl::Status SamplingSupports(const SamplingArgs& args) {
  const Tensor& logits = args.logits;
  // The bound keeps a sum of weights below 2^63.
  constexpr int64_t kMaxVocab = int64_t{1} << 22;
  if (!logits.defined() || logits.dtype() != DType::kF32 ||
      logits.rank() != 2 || logits.dim(1) < 1 || logits.dim(1) > kMaxVocab) {
    return InvalidArgument(
        "sampling: logits must be f32 [batch, vocab] with vocab in [1, ",
        kMaxVocab, "], got ", logits.ToString());
  }
  if (!std::isfinite(args.temperature) || args.temperature < 0) {
    return InvalidArgument("sampling: temperature ", args.temperature,
                           ", must be finite and >= 0");
  }
  if (args.top_k < 0) {
    return InvalidArgument("sampling: top_k ", args.top_k, ", must be >= 0");
  }
  if (!(args.top_p > 0 && args.top_p <= 1)) {
    return InvalidArgument("sampling: top_p ", args.top_p,
                           ", must be in (0, 1]");
  }
  if (!(args.min_p >= 0 && args.min_p <= 1)) {
    return InvalidArgument("sampling: min_p ", args.min_p,
                           ", must be in [0, 1]");
  }
  if (!std::isfinite(args.repetition_penalty) || args.repetition_penalty <= 0) {
    return InvalidArgument("sampling: repetition_penalty ",
                           args.repetition_penalty, ", must be finite and > 0");
  }
  if (args.repetition_penalty != 1 || args.counts.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("sampling: counts", args.counts,
                                     logits.device(), DType::kI32,
                                     logits.shape()));
  }
  if (args.streams.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("sampling: streams", args.streams,
                                     logits.device(), DType::kI32,
                                     {logits.dim(0)}));
  }
  return absl::OkStatus();
}

absl::Status Sample(Context& ctx, const SamplingArgs& args, Tensor* ids) {
  LT2_RETURN_IF_ERROR(SamplingSupports(args));
  if (args.logits.device() != ctx.device()) {
    return InvalidArgument("sampling: logits ", args.logits.ToString(),
                           " in a context on ", Name(ctx.device()));
  }
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("sampling ids", DType::kI32, {args.logits.dim(0)}, ids));
  if (args.logits.dim(0) == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, SampleCpu(ctx, args, ids), SampleCuda(ctx, args, ids));
}

absl::Status CountTokens(Context& ctx, const Tensor& ids, Tensor* counts) {
  if (!counts->defined() || counts->dtype() != DType::kI32 ||
      counts->rank() != 2 || counts->dim(1) < 1 ||
      counts->device() != ctx.device()) {
    return InvalidArgument("sampling: counts must be i32 [batch, vocab] on ",
                           Name(ctx.device()), ", got ", counts->ToString());
  }
  if (!ids.defined() || ids.dtype() != DType::kI32 || ids.rank() != 2 ||
      ids.dim(0) != counts->dim(0) || ids.device() != ctx.device()) {
    return InvalidArgument("sampling: ids must be i32 [", counts->dim(0),
                           ", n] on ", Name(ctx.device()), ", got ",
                           ids.ToString());
  }
  if (ids.numel() == 0) return absl::OkStatus();
  LT2_DISPATCH(ctx, CountTokensCpu(ctx, ids, counts),
               CountTokensCuda(ctx, ids, counts));
}

}  // namespace lt2::kernels
