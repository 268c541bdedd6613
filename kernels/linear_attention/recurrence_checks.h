// Checks of arguments that linear attention and the delta rule have in common.
// `Args` is LinearAttentionArgs or DeltaRuleArgs.

#ifndef LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CHECKS_H_
#define LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CHECKS_H_

#include "kernels/linear_attention/linear_attention_internal.h"

namespace lt2::kernels {

// q and v are [batch, seq, heads, dim]: what RecurrenceSizes needs.
absl::Status ExpectSequence(absl::string_view what, const Tensor& t);

// OK if g is undefined or has one of the shapes of Decay that `allow_per_head`
// leaves. The others' shapes are named in the error.
absl::Status ExpectDecay(const Tensor& g, const RecurrenceSizes& n,
                         Device device, bool allow_per_head);

// q, k, v and initial_state.
template <typename Args>
absl::Status ExpectRecurrence(const Args& args) {
  LT2_RETURN_IF_ERROR(ExpectSequence("q", args.q));
  LT2_RETURN_IF_ERROR(ExpectSequence("v", args.v));
  const RecurrenceSizes n(args);
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
  if (args.initial_state.defined()) {
    LT2_RETURN_IF_ERROR(ExpectTensor("initial_state", args.initial_state,
                                     device, DType::kF32, n.state()));
  }
  return absl::OkStatus();
}

// dout and dfinal_state.
template <typename GradArgs>
absl::Status ExpectOutputGradients(const GradArgs& args) {
  const Tensor& v = args.forward.v;
  LT2_RETURN_IF_ERROR(
      ExpectTensor("dout", args.dout, v.device(), v.dtype(), v.shape()));
  if (!args.dfinal_state.defined()) return absl::OkStatus();
  return ExpectTensor("dfinal_state", args.dfinal_state, v.device(),
                      DType::kF32, RecurrenceSizes(args.forward).state());
}

// A step takes one token.
absl::Status ExpectOneToken(const Tensor& q);

// destination = source, or zeros if there is none; nothing if they are one.
absl::Status CopyStateOrZero(Context& ctx, const Tensor& source,
                             Tensor* destination);

// Allocates or checks o and final_state.
template <typename Args, typename Results>
absl::Status PrepareRecurrence(Context& ctx, const Args& args,
                               Results* results) {
  if (args.q.device() != ctx.device()) {
    return InvalidArgument("q is ", args.q.ToString(),
                           " but the context is on ", Name(ctx.device()));
  }
  LT2_RETURN_IF_ERROR(
      ctx.Prepare("o", args.v.dtype(), args.v.shape(), &results->o));
  return ctx.Prepare("final_state", DType::kF32, RecurrenceSizes(args).state(),
                     &results->final_state);
}

// Allocates or checks the gradients of q, k, v, g and initial_state.
template <typename Args, typename GradResults>
absl::Status PrepareGradients(Context& ctx, const Args& forward,
                              GradResults* results) {
  if (forward.q.device() != ctx.device()) {
    return InvalidArgument("q is ", forward.q.ToString(),
                           " but the context is on ", Name(ctx.device()));
  }
  const DType act = forward.q.dtype();
  LT2_RETURN_IF_ERROR(ctx.Prepare("dq", act, forward.q.shape(), &results->dq));
  LT2_RETURN_IF_ERROR(ctx.Prepare("dk", act, forward.k.shape(), &results->dk));
  LT2_RETURN_IF_ERROR(ctx.Prepare("dv", act, forward.v.shape(), &results->dv));
  const Decay decay = DecayOf(forward.g);
  if (decay == Decay::kToken || decay == Decay::kChannel) {
    LT2_RETURN_IF_ERROR(
        ctx.Prepare("dg", DType::kF32, forward.g.shape(), &results->dg));
  }
  if (!forward.initial_state.defined()) return absl::OkStatus();
  return ctx.Prepare("dinitial_state", DType::kF32,
                     RecurrenceSizes(forward).state(),
                     &results->dinitial_state);
}

}  // namespace lt2::kernels

#endif  // LT2_KERNELS_LINEAR_ATTENTION_RECURRENCE_CHECKS_H_
