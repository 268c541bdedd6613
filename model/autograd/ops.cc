#include "model/autograd/ops.h"

#include <utility>

#include "kernels/activation/activation.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gemm/gemm.h"
#include "model/autograd/op_macros.h"

namespace lt2::model {

Var Reshape(Tape& tape, const Var& x, const Shape& shape) {
  if (!tape.ok()) return Var();
  return tape.Record(x.value().Reshape(shape), {x}, false,
                     [&tape, x](const Tensor& dy) {
                       return tape.Accumulate(x, dy.Reshape(x.shape()));
                     });
}

Var Embedding(Tape& tape, const Tensor& ids, const Parameter& table) {
  if (!tape.ok()) return Var();
  const int64_t dim = table.compute.dim(1);
  const Tensor flat = ids.Reshape({ids.numel()});
  Tensor rows;
  LT2_TAPE_OP(tape,
              kernels::Embedding(tape.ctx(), {flat, table.compute}, &rows));
  Shape shape({ids.dim(0), ids.dim(1), dim});
  return tape.Record(rows.Reshape(shape), {}, true,
                     [&tape, flat, &table](const Tensor& dy) -> absl::Status {
                       Tensor dtable;
                       LT2_RETURN_IF_ERROR(kernels::EmbeddingGrad(
                           tape.ctx(),
                           {flat, dy.Reshape({flat.numel(), dy.dim(-1)}),
                            table.compute.dim(0)},
                           &dtable));
                       return tape.Accumulate(table, dtable);
                     });
}

namespace {

Var LinearInto(Tape& tape, const Var& x, const Parameter& weight, DType out) {
  if (!tape.ok()) return Var();
  Context& ctx = tape.ctx();
  std::vector<int64_t> dims(x.shape().dims().begin(), x.shape().dims().end());
  dims.back() = weight.compute.dim(0);
  auto y = ctx.Empty(out, Shape(dims));
  if (!y.ok()) return tape.Fail(y.status());
  LT2_TAPE_OP(
      tape,
      Annotate(
          kernels::Gemm(
              ctx, {.a = x.value(), .b = weight.compute, .transpose_b = true},
              &*y),
          weight.name));
  return tape.Record(
      *y, {x}, true, [&tape, x, &weight](const Tensor& dout) -> absl::Status {
        Context& c = tape.ctx();
        // An f32 result may have an f32 gradient: products want one type.
        Tensor dy = dout;
        if (dy.dtype() != x.value().dtype()) {
          dy = Tensor();
          LT2_RETURN_IF_ERROR(kernels::Cast(c, {dout, x.value().dtype()}, &dy));
        }
        // dW += dy' x, straight into the f32 gradient.
        Tensor dw = weight.grad;
        LT2_CHECK(dw.defined(), weight.name, " has no gradient");
        LT2_RETURN_IF_ERROR(kernels::Gemm(
            c,
            {.a = dy, .b = x.value(), .transpose_a = true, .accumulate = true},
            &dw));
        if (!x.requires_grad()) return absl::OkStatus();
        LT2_ASSIGN_OR_RETURN(Tensor dx, c.Empty(x.value().dtype(), x.shape()));
        LT2_RETURN_IF_ERROR(
            kernels::Gemm(c, {.a = dy, .b = weight.compute}, &dx));
        return tape.Accumulate(x, dx);
      });
}

}  // namespace

Var Linear(Tape& tape, const Var& x, const Parameter& weight) {
  if (!tape.ok()) return Var();
  return LinearInto(tape, x, weight, x.value().dtype());
}

Var LinearF32(Tape& tape, const Var& x, const Parameter& weight) {
  return LinearInto(tape, x, weight, DType::kF32);
}

Var RmsNorm(Tape& tape, const Var& x, const Parameter& weight, float eps) {
  if (!tape.ok()) return Var();
  kernels::RmsNormResults r;
  LT2_TAPE_OP(
      tape, kernels::RmsNorm(tape.ctx(), {x.value(), weight.compute, eps}, &r));
  return tape.Record(
      r.y, {x}, true,
      [&tape, x, &weight, rstd = r.rstd](const Tensor& dy) -> absl::Status {
        kernels::RmsNormGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::RmsNormGrad(
            tape.ctx(), {x.value(), weight.compute, rstd, dy}, &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(weight, grad.dweight));
        return tape.Accumulate(x, grad.dx);
      });
}

Var GatedRmsNorm(Tape& tape, const Var& x, const Var& gate,
                 const Parameter& weight, float eps,
                 kernels::GateActivation activation) {
  if (!tape.ok()) return Var();
  kernels::GatedRmsNormResults r;
  LT2_TAPE_OP(tape, kernels::GatedRmsNorm(tape.ctx(),
                                          {x.value(), gate.value(),
                                           weight.compute, eps, activation},
                                          &r));
  return tape.Record(
      r.y, {x, gate}, true,
      [&tape, x, gate, &weight, rstd = r.rstd,
       activation](const Tensor& dy) -> absl::Status {
        kernels::GatedRmsNormGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::GatedRmsNormGrad(
            tape.ctx(),
            {x.value(), gate.value(), weight.compute, rstd, dy, activation},
            &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(weight, grad.dweight));
        LT2_RETURN_IF_ERROR(tape.Accumulate(gate, grad.dgate));
        return tape.Accumulate(x, grad.dx);
      });
}

Var L2Norm(Tape& tape, const Var& x) {
  if (!tape.ok()) return Var();
  kernels::L2NormResults r;
  LT2_TAPE_OP(tape, kernels::L2Norm(tape.ctx(), {x.value()}, &r));
  return tape.Record(
      r.y, {x}, false, [&tape, x, r](const Tensor& dy) -> absl::Status {
        Tensor dx;
        LT2_RETURN_IF_ERROR(
            kernels::L2NormGrad(tape.ctx(), {r.y, r.rstd, dy}, &dx));
        return tape.Accumulate(x, dx);
      });
}

Var Rope(Tape& tape, const Var& x, float theta, kernels::RopeLayout layout,
         const Position& position) {
  if (!tape.ok()) return Var();
  kernels::RopeArgs args;
  args.x = x.value();
  args.theta = theta;
  args.layout = layout;
  args.position = position.host;
  args.positions = position.device;
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Rope(tape.ctx(), args, &y));
  args.x = Tensor();  // the rotation's gradient needs no input
  return tape.Record(
      y, {x}, false, [&tape, x, args](const Tensor& dy) -> absl::Status {
        kernels::RopeArgs inverse = args;
        inverse.x = dy;
        inverse.inverse = true;
        Tensor dx;
        LT2_RETURN_IF_ERROR(kernels::Rope(tape.ctx(), inverse, &dx));
        return tape.Accumulate(x, dx);
      });
}

Var Add(Tape& tape, const Var& a, const Var& b) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::Add(tape.ctx(), {a.value(), b.value()}, &y));
  return tape.Record(y, {a, b}, false,
                     [&tape, a, b](const Tensor& dy) -> absl::Status {
                       LT2_RETURN_IF_ERROR(tape.Accumulate(a, dy));
                       return tape.Accumulate(b, dy);
                     });
}

Var ScaledAdd(Tape& tape, const Var& a, const Var& b, const Parameter& rho) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape, kernels::ScaledAdd(
                        tape.ctx(), {a.value(), b.value(), rho.compute}, &y));
  return tape.Record(y, {a, b}, true,
                     [&tape, a, b, &rho](const Tensor& dy) -> absl::Status {
                       kernels::ScaledAddGradResults grad;
                       LT2_RETURN_IF_ERROR(kernels::ScaledAddGrad(
                           tape.ctx(), {b.value(), rho.compute, dy}, &grad));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(rho, grad.drho));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(a, dy));
                       return tape.Accumulate(b, grad.db);
                     });
}

Var SwiGlu(Tape& tape, const Var& gate, const Var& up) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape,
              kernels::SwiGlu(tape.ctx(), {gate.value(), up.value()}, &y));
  return tape.Record(y, {gate, up}, false,
                     [&tape, gate, up](const Tensor& dy) -> absl::Status {
                       kernels::SwiGluGradResults grad;
                       LT2_RETURN_IF_ERROR(kernels::SwiGluGrad(
                           tape.ctx(), {gate.value(), up.value(), dy}, &grad));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(gate, grad.dgate));
                       return tape.Accumulate(up, grad.dup);
                     });
}

Var SigmoidGate(Tape& tape, const Var& x, const Var& gate) {
  if (!tape.ok()) return Var();
  Tensor y;
  LT2_TAPE_OP(tape,
              kernels::SigmoidGate(tape.ctx(), {x.value(), gate.value()}, &y));
  return tape.Record(y, {x, gate}, false,
                     [&tape, x, gate](const Tensor& dy) -> absl::Status {
                       kernels::SigmoidGateGradResults grad;
                       LT2_RETURN_IF_ERROR(kernels::SigmoidGateGrad(
                           tape.ctx(), {x.value(), gate.value(), dy}, &grad));
                       LT2_RETURN_IF_ERROR(tape.Accumulate(gate, grad.dgate));
                       return tape.Accumulate(x, grad.dx);
                     });
}

Var DecayGate(Tape& tape, const Var& a, const Parameter& a_log,
              const Parameter& dt_bias) {
  if (!tape.ok()) return Var();
  Tensor g;
  LT2_TAPE_OP(tape,
              kernels::DecayGate(
                  tape.ctx(), {a.value(), a_log.compute, dt_bias.compute}, &g));
  return tape.Record(
      g, {a}, true,
      [&tape, a, &a_log, &dt_bias](const Tensor& dg) -> absl::Status {
        kernels::DecayGateGradResults grad;
        LT2_RETURN_IF_ERROR(kernels::DecayGateGrad(
            tape.ctx(), {a.value(), a_log.compute, dt_bias.compute, dg},
            &grad));
        LT2_RETURN_IF_ERROR(tape.Accumulate(a_log, grad.da_log));
        LT2_RETURN_IF_ERROR(tape.Accumulate(dt_bias, grad.ddt_bias));
        return tape.Accumulate(a, grad.da);
      });
}

Var CrossEntropy(Tape& tape, const Var& logits, const Tensor& targets,
                 DType gradient_dtype) {
  if (!tape.ok()) return Var();
  kernels::CrossEntropyResults r;
  LT2_TAPE_OP(tape,
              kernels::CrossEntropy(tape.ctx(), {logits.value(), targets}, &r));
  return tape.Record(
      r.mean, {logits}, false,
      [&tape, logits, targets, lse = r.lse, count = r.count,
       gradient_dtype](const Tensor&) -> absl::Status {
        // The loss is where Backward starts: its gradient is one.
        Tensor dlogits;
        LT2_RETURN_IF_ERROR(kernels::CrossEntropyGrad(
            tape.ctx(), {logits.value(), targets, lse, count, gradient_dtype},
            &dlogits));
        return tape.Accumulate(logits, dlogits);
      });
}

}  // namespace lt2::model
