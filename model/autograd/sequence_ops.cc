// The operations that mix tokens: short convolution, attention, delta rule,
// linear attention.

#include "kernels/attention/attention.h"
#include "kernels/conv/short_conv.h"
#include "kernels/delta_rule/delta_rule.h"
#include "kernels/linear_attention/linear_attention.h"
#include "model/autograd/ops.h"

namespace lt2::model {

Var ShortConv(Tape& tape, const Var& x, const Parameter& weight, Tensor* state,
              const Parameter* bias) {
  if (!tape.ok()) return Var();
  LT2_CHECK(state == nullptr || !tape.recording(), "state while training");
  // Checkpoints hold [channels, 1, width], as PyTorch's Conv1d.
  const Tensor w =
      weight.compute.Reshape({weight.compute.dim(0), weight.compute.dim(-1)});
  kernels::ShortConvArgs args;
  args.x = x.value();
  args.weight = w;
  if (bias != nullptr) args.bias = bias->compute;
  kernels::ShortConvResults r;
  if (state != nullptr) {
    args.initial_state = *state;
    r.final_state = *state;  // updated in place
  }
  const absl::Status status = kernels::ShortConv(tape.ctx(), args, &r);
  if (!status.ok()) return tape.Fail(Annotate(status, weight.name));
  return tape.Record(
      r.y, {x}, true,
      [&tape, x, w, &weight, bias](const Tensor& dy) -> absl::Status {
        kernels::ShortConvGradArgs grad_args;
        grad_args.x = x.value();
        grad_args.weight = w;
        grad_args.dy = dy;
        grad_args.silu = true;
        if (bias != nullptr) grad_args.bias = bias->compute;
        kernels::ShortConvGradResults grad;
        LT2_RETURN_IF_ERROR(
            kernels::ShortConvGrad(tape.ctx(), grad_args, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(weight, grad.dweight));
        if (bias != nullptr) {
          LT2_RETURN_IF_ERROR(tape.Accumulate(*bias, grad.dbias));
        }
        return tape.Accumulate(x, grad.dx);
      });
}

Var Attention(Tape& tape, const Var& q, const Var& k, const Var& v, float scale,
              int64_t window, Tensor* lse) {
  if (!tape.ok()) return Var();
  kernels::AttentionArgs args{q.value(), k.value(), v.value(), scale, window};
  kernels::AttentionResults r;
  const absl::Status status = kernels::Attention(tape.ctx(), args, &r);
  if (!status.ok()) return tape.Fail(status);
  if (lse != nullptr) *lse = r.lse;
  return tape.Record(
      r.o, {q, k, v}, false,
      [&tape, q, k, v, args, r](const Tensor& dout) -> absl::Status {
        kernels::AttentionGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::AttentionGrad(
            tape.ctx(), {args, r.o, r.lse, dout}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(k, grad.dk));
        return tape.Accumulate(v, grad.dv);
      });
}

Var DeltaRule(Tape& tape, const Var& q, const Var& k, const Var& v,
              const Var& beta, const Var& g, float scale, Tensor* state) {
  if (!tape.ok()) return Var();
  LT2_CHECK(state == nullptr || !tape.recording(), "state while training");
  kernels::DeltaRuleArgs args;
  args.q = q.value();
  args.k = k.value();
  args.v = v.value();
  args.beta = beta.value();
  if (g.defined()) args.g = g.value();
  args.scale = scale;
  kernels::DeltaRuleResults r;
  absl::Status status;
  if (state != nullptr && q.dim(1) == 1) {
    args.initial_state = *state;
    r.final_state = *state;  // updated in place
    status = kernels::DeltaRuleStep(tape.ctx(), args, &r);
  } else {
    if (state != nullptr) args.initial_state = *state;
    status = kernels::DeltaRule(tape.ctx(), args, &r);
    if (status.ok() && state != nullptr) {
      status = tape.ctx().Copy(r.final_state, state);
    }
  }
  if (!status.ok()) return tape.Fail(status);
  return tape.Record(
      r.o, {q, k, v, beta, g}, false,
      [&tape, q, k, v, beta, g, args](const Tensor& dout) -> absl::Status {
        kernels::DeltaRuleGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::DeltaRuleGrad(
            tape.ctx(), {.forward = args, .dout = dout}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(k, grad.dk));
        LT2_RETURN_IF_ERROR(tape.Accumulate(v, grad.dv));
        LT2_RETURN_IF_ERROR(tape.Accumulate(beta, grad.dbeta));
        if (!g.defined()) return absl::OkStatus();
        return tape.Accumulate(g, grad.dg);
      });
}

Var LinearAttention(Tape& tape, const Var& q, const Var& k, const Var& v,
                    const Var& g, float scale, Tensor* state) {
  if (!tape.ok()) return Var();
  LT2_CHECK(state == nullptr || !tape.recording(), "state while training");
  kernels::LinearAttentionArgs args;
  args.q = q.value();
  args.k = k.value();
  args.v = v.value();
  if (g.defined()) args.g = g.value();
  args.scale = scale;
  kernels::LinearAttentionResults r;
  if (state != nullptr) {
    args.initial_state = *state;
    r.final_state = *state;  // updated in place
  }
  const absl::Status status =
      state != nullptr && q.dim(1) == 1
          ? kernels::LinearAttentionStep(tape.ctx(), args, &r)
          : kernels::LinearAttention(tape.ctx(), args, &r);
  if (!status.ok()) return tape.Fail(status);
  return tape.Record(
      r.o, {q, k, v, g}, false,
      [&tape, q, k, v, g, args](const Tensor& dout) -> absl::Status {
        kernels::LinearAttentionGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::LinearAttentionGrad(
            tape.ctx(), {.forward = args, .dout = dout}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(q, grad.dq));
        LT2_RETURN_IF_ERROR(tape.Accumulate(k, grad.dk));
        LT2_RETURN_IF_ERROR(tape.Accumulate(v, grad.dv));
        if (!grad.dg.defined()) return absl::OkStatus();
        return tape.Accumulate(g, grad.dg);
      });
}

}  // namespace lt2::model
