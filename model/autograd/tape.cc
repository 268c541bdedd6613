#include "model/autograd/tape.h"

#include <utility>

#include "kernels/activation/activation.h"

namespace lt2::model {

Var Tape::Fail(const absl::Status& status) {
  if (status_.ok()) status_ = status;
  return Var();
}

Var Tape::Constant(const Tensor& value) {
  auto node = std::make_shared<Var::Node>();
  node->value = value;
  return Var(std::move(node));
}

Var Tape::Leaf(const Tensor& value) {
  Var var = Constant(value);
  var.node_->requires_grad = recording_;
  var.node_->keep_grad = true;
  return var;
}

Var Tape::Record(const Tensor& value, const std::vector<Var>& inputs,
                 bool has_parameters,
                 std::function<absl::Status(const Tensor& dy)> backward) {
  auto node = std::make_shared<Var::Node>();
  node->value = value;
  if (recording_) {
    bool needed = has_parameters;
    for (const Var& input : inputs) needed |= input.requires_grad();
    if (needed) {
      node->requires_grad = true;
      node->backward = std::move(backward);
      nodes_.push_back(node);
    }
  }
  return Var(std::move(node));
}

absl::Status Tape::Accumulate(const Var& var, const Tensor& gradient) {
  if (!var.requires_grad()) return absl::OkStatus();
  Tensor& grad = var.node_->grad;
  if (!grad.defined()) {
    grad = gradient;
    return absl::OkStatus();
  }
  // A new tensor: the old one may be shared with another Var's gradient.
  Tensor sum;
  LT2_RETURN_IF_ERROR(kernels::Add(ctx_, {grad, gradient}, &sum));
  grad = sum;
  return absl::OkStatus();
}

absl::Status Tape::Accumulate(const Parameter& parameter,
                              const Tensor& gradient) {
  LT2_CHECK(parameter.grad.defined(), parameter.name, " has no gradient");
  Tensor sum = parameter.grad;
  return kernels::Add(
      ctx_, {parameter.grad, gradient.Reshape(parameter.grad.shape())}, &sum);
}

absl::Status Tape::Backward(const Var& loss, const Tensor& seed) {
  LT2_RETURN_IF_ERROR(status_);
  LT2_CHECK(recording_ && loss.defined(), "nothing was recorded");
  if (!loss.requires_grad()) {
    nodes_.clear();
    return absl::OkStatus();
  }
  Tensor start = seed;
  if (!start.defined()) {
    LT2_CHECK(loss.value().dtype() == DType::kF32, "seed needed");
    const std::vector<float> ones(loss.value().numel(), 1.0f);
    LT2_ASSIGN_OR_RETURN(start, ctx_.FromHost<float>(ones, loss.shape()));
  }
  LT2_RETURN_IF_ERROR(Accumulate(loss, start));
  while (!nodes_.empty()) {
    const std::shared_ptr<Var::Node> node = std::move(nodes_.back());
    nodes_.pop_back();
    if (node->grad.defined()) {
      LT2_RETURN_IF_ERROR(node->backward(node->grad));
      if (!node->keep_grad) node->grad = Tensor();
    }
    node->backward = nullptr;
  }
  return absl::OkStatus();
}

Var Checkpoint(Tape& tape, const std::function<Var(Tape&, const Var&)>& fn,
               const Var& x) {
  if (!tape.ok()) return Var();
  if (!tape.recording()) return fn(tape, x);
  Tensor value;
  {
    Tape forward(tape.ctx(), Tape::kInference);
    const Var y = fn(forward, forward.Constant(x.value()));
    if (!forward.ok()) return tape.Fail(forward.status());
    value = y.value();
  }
  return tape.Record(value, {x}, /*has_parameters=*/true,
                     [&tape, fn, x](const Tensor& dy) -> absl::Status {
                       Tape again(tape.ctx(), Tape::kRecord);
                       const Var input = again.Leaf(x.value());
                       const Var y = fn(again, input);
                       LT2_RETURN_IF_ERROR(again.Backward(y, dy));
                       for (const Tape::Attached& a : again.attached()) {
                         tape.Attach(a.loss, a.weight);
                       }
                       if (!input.grad().defined()) return absl::OkStatus();
                       return tape.Accumulate(x, input.grad());
                     });
}

}  // namespace lt2::model
