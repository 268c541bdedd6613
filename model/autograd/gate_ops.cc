// Operations on single elements and rows: gates, biases, products,
// interleaving.

#include "kernels/activation/activation.h"
#include "model/autograd/op_macros.h"
#include "model/autograd/ops.h"

namespace lt2::model {

Var Sigmoid(Tape& tape, const Var& x, float scale, float slope, DType out) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape,
              kernels::Sigmoid(tape.ctx(), {x.value(), scale, out, slope}, &y));
  return tape.Record(
      y, {x}, false,
      [&tape, x, scale, slope](const Tensor& dy) -> absl::Status {
        Tensor dx;
        LT2_RETURN_IF_ERROR(kernels::SigmoidGrad(
            tape.ctx(), {x.value(), dy, scale, slope}, &dx));
        return tape.Accumulate(x, dx);
      });
}

Var Silu(Tape& tape, const Var& x) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Silu(tape.ctx(), {x.value()}, &y));
  return tape.Record(y, {x}, false,
                     [&tape, x](const Tensor& dy) -> absl::Status {
                       Tensor dx;
                       LT2_RETURN_IF_ERROR(
                           kernels::SiluGrad(tape.ctx(), {x.value(), dy}, &dx));
                       return tape.Accumulate(x, dx);
                     });
}

Var AddBias(Tape& tape, const Var& x, const Parameter& bias) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, Annotate(kernels::AddBias(tape.ctx(),
                                              {x.value(), bias.compute}, &y),
                             bias.name));
  return tape.Record(
      y, {x}, true, [&tape, x, &bias](const Tensor& dy) -> absl::Status {
        Tensor dbias;
        LT2_RETURN_IF_ERROR(kernels::AddBiasGrad(tape.ctx(), {dy}, &dbias));
        LT2_RETURN_IF_ERROR(tape.Accumulate(bias, dbias));
        return tape.Accumulate(x, dy);
      });
}

Var Softplus(Tape& tape, const Var& x, const Parameter* bias, float slope,
             float scale) {
  if (!tape.ok()) return Var();
  const kernels::SoftplusArgs args{
      x.value(), bias == nullptr ? Tensor() : bias->compute, slope, scale};
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Softplus(tape.ctx(), args, &y));
  return tape.Record(
      y, {x}, bias != nullptr,
      [&tape, x, bias, args](const Tensor& dy) -> absl::Status {
        kernels::SoftplusGradResults grad;
        LT2_RETURN_IF_ERROR(
            kernels::SoftplusGrad(tape.ctx(), {args, dy}, &grad));
        if (bias != nullptr) {
          LT2_RETURN_IF_ERROR(tape.Accumulate(*bias, grad.dbias));
        }
        return tape.Accumulate(x, grad.dx);
      });
}

Var Multiply(Tape& tape, const Var& a, const Var& b) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Multiply(tape.ctx(), {a.value(), b.value()}, &y));
  return tape.Record(y, {a, b}, false,
                     [&tape, a, b](const Tensor& dy) -> absl::Status {
                       kernels::MultiplyGradResults grad;
                       LT2_RETURN_IF_ERROR(kernels::MultiplyGrad(
                           tape.ctx(), {a.value(), b.value(), dy}, &grad));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(a, grad.da));
                       return tape.Accumulate(b, grad.db);
                     });
}

Var ScaleRows(Tape& tape, const Var& x, const Var& s) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::ScaleRows(tape.ctx(), {x.value(), s.value()}, &y));
  return tape.Record(y, {x, s}, false,
                     [&tape, x, s](const Tensor& dy) -> absl::Status {
                       kernels::ScaleRowsGradResults grad;
                       LT2_RETURN_IF_ERROR(kernels::ScaleRowsGrad(
                           tape.ctx(), {x.value(), s.value(), dy}, &grad));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(x, grad.dx));
                       return tape.Accumulate(s, grad.ds);
                     });
}

Var Interleave(Tape& tape, const Var& x, int64_t n, int64_t slot) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Interleave(tape.ctx(), {x.value(), n, slot}, &y));
  return tape.Record(
      y, {x}, false, [&tape, x, n, slot](const Tensor& dy) -> absl::Status {
        Tensor dx;
        LT2_RETURN_IF_ERROR(kernels::TakeEvery(tape.ctx(), {dy, n, slot}, &dx));
        return tape.Accumulate(x, dx);
      });
}

Var TakeEvery(Tape& tape, const Var& x, int64_t n, int64_t slot) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::TakeEvery(tape.ctx(), {x.value(), n, slot}, &y));
  return tape.Record(y, {x}, false,
                     [&tape, x, n, slot](const Tensor& dy) -> absl::Status {
                       Tensor dx;
                       LT2_RETURN_IF_ERROR(
                           kernels::Interleave(tape.ctx(), {dy, n, slot}, &dx));
                       return tape.Accumulate(x, dx);
                     });
}

Var AttachLoss(Tape& tape, const Var& y, const Var& loss, float weight) {
  if (!tape.ok()) return Var();
  if (tape.recording()) tape.Attach(loss.value(), weight);
  return tape.Record(
      y.value(), {y, loss}, false,
      [&tape, y, loss, weight](const Tensor& dy) -> absl::Status {
        // On the device, so that a graph can capture it: 2 w sg(0) = w.
        LT2_ASSIGN_OR_RETURN(const Tensor zero,
                             tape.ctx().Zeros(DType::kF32, loss.shape()));
        Tensor seed;
        LT2_RETURN_IF_ERROR(kernels::Sigmoid(
            tape.ctx(), {zero, 2 * weight, DType::kF32}, &seed));
        LT2_RETURN_IF_ERROR(tape.Accumulate(loss, seed));
        return tape.Accumulate(y, dy);
      });
}

}  // namespace lt2::model
