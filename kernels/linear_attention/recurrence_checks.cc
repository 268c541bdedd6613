#include "kernels/linear_attention/recurrence_checks.h"

namespace lt2::kernels {

absl::Status ExpectSequence(absl::string_view what, const Tensor& t) {
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

absl::Status ExpectDecay(const Tensor& g, const RecurrenceSizes& n,
                         Device device, bool allow_per_head) {
  if (!g.defined()) return absl::OkStatus();
  const bool per_head = allow_per_head && g.shape() == Shape{n.v_heads};
  const bool per_channel = g.shape() == n.channel_gate();
  if (!per_head && !per_channel && g.shape() != n.gate()) {
    return InvalidArgument("g must be [batch, seq, v_heads] = ",
                           n.gate().ToString(), ", with d_k = ", n.d_k,
                           " after that, ", allow_per_head ? "[v_heads], " : "",
                           "or undefined; got ", g.ToString());
  }
  if (per_channel && n.v_heads != n.heads) {
    return InvalidArgument(
        "decay per channel needs as many value heads as "
        "query heads; got ",
        n.v_heads, " and ", n.heads, " with g ", g.ToString());
  }
  return ExpectTensor("g", g, device, DType::kF32, g.shape());
}

absl::Status ExpectOneToken(const Tensor& q) {
  if (q.dim(1) == 1) return absl::OkStatus();
  return InvalidArgument("a step takes one token, got q ", q.ToString());
}

absl::Status CopyStateOrZero(Context& ctx, const Tensor& source,
                             Tensor* destination) {
  if (!source.defined()) return ctx.Zero(destination);
  if (source.raw() == destination->raw()) return absl::OkStatus();
  return ctx.Copy(source, destination);
}

}  // namespace lt2::kernels
