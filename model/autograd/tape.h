// A define-by-run tape for reverse-mode differentiation.
//
// A Var is a tensor that may have a gradient. An operation (ops.h) computes its
// value at once and, while the tape is recording, records one closure that maps
// the gradient of its result to gradients of its inputs. Backward runs the
// closures in reverse order.
//
//   Tape tape(ctx, Tape::kRecord);
//   Var h = Linear(tape, RmsNorm(tape, x, norm, 1e-6f), weight);
//   Var loss = CrossEntropy(tape, h, targets);
//   LT2_RETURN_IF_ERROR(tape.Backward(loss));   // first error of all the above
//
// Errors are sticky: the first failure is kept in status(), later operations do
// nothing and return undefined Vars, and Backward returns it. So model code
// reads like its formulas and loses no error.
//
// Weight sharing needs no special case: a Parameter used by every loop
// accumulates its gradient in f32, in the fixed order of the reversed tape.
//
// Memory: a closure and the activations it holds are released as soon as it has
// run. Not thread-safe.

#ifndef LT2_MODEL_AUTOGRAD_TAPE_H_
#define LT2_MODEL_AUTOGRAD_TAPE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/context.h"

namespace lt2::model {

// A trained tensor. `value` is the f32 master; `compute` is what operators
// read: a bf16 copy for matrices on a GPU, the master itself elsewhere.
struct Parameter {
  std::string name;  // "layers.0.mixer.q_proj.weight"
  Tensor value;
  Tensor compute;
  Tensor grad;          // f32, same shape; undefined when not training
  bool decay = true;    // takes weight decay
  bool frozen = false;  // never trained: no gradient reaches it
};

class Tape;

class Var {
 public:
  Var() = default;

  bool defined() const { return node_ != nullptr; }
  const Tensor& value() const { return node_->value; }
  // The gradient, after Backward; undefined if none reached this Var.
  const Tensor& grad() const { return node_->grad; }
  bool requires_grad() const {
    return node_ != nullptr && node_->requires_grad;
  }
  const Shape& shape() const { return node_->value.shape(); }
  int64_t dim(int i) const { return node_->value.dim(i); }

 private:
  friend class Tape;
  struct Node {
    Tensor value;
    Tensor grad;
    bool requires_grad = false;
    bool keep_grad = false;
    std::function<absl::Status(const Tensor& dy)> backward;
  };
  explicit Var(std::shared_ptr<Node> node) : node_(std::move(node)) {}
  std::shared_ptr<Node> node_;
};

class Tape {
 public:
  enum Mode { kRecord, kInference };

  Tape(Context& ctx, Mode mode) : ctx_(ctx), recording_(mode == kRecord) {}
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  Context& ctx() { return ctx_; }
  bool recording() const { return recording_; }
  bool ok() const { return status_.ok(); }
  const absl::Status& status() const { return status_; }
  // Keeps the first error; returns an undefined Var for `return tape.Fail(s)`.
  Var Fail(const absl::Status& status);

  // A value without a gradient.
  Var Constant(const Tensor& value);
  // A value whose gradient is kept (for tests and Checkpoint).
  Var Leaf(const Tensor& value);

  // The result of an operation on `inputs`. `backward` receives the gradient
  // of the result and calls Accumulate for each input that requires one; it is
  // dropped when none does or when the tape is not recording.
  Var Record(const Tensor& value, const std::vector<Var>& inputs,
             bool has_parameters,
             std::function<absl::Status(const Tensor& dy)> backward);

  // Adds `gradient` to that of `var`. Takes a share of the tensor: the caller
  // must not write to it afterwards.
  absl::Status Accumulate(const Var& var, const Tensor& gradient);
  // Adds an f32 `gradient` to that of a parameter, in place.
  absl::Status Accumulate(const Parameter& parameter, const Tensor& gradient);

  // A loss beside the main one (ops.h: AttachLoss), with its weight in what
  // Backward differentiates. While recording, or under a Checkpoint from its
  // recomputation on.
  struct Attached {
    Tensor loss;  // f32 [1]
    float weight = 0;
  };
  void Attach(const Tensor& loss, float weight) {
    attached_.push_back({loss, weight});
  }
  const std::vector<Attached>& attached() const { return attached_; }

  // Runs the closures in reverse, starting from d(loss) = `seed` (ones if
  // undefined, of the loss's type), and empties the tape.
  absl::Status Backward(const Var& loss, const Tensor& seed = Tensor());

 private:
  Context& ctx_;
  const bool recording_;
  absl::Status status_;
  std::vector<std::shared_ptr<Var::Node>> nodes_;
  std::vector<Attached> attached_;
};

// Recomputes instead of remembering: runs `fn` without recording, and again
// with recording when its gradient is needed. Costs one more forward pass of
// `fn`, saves all activations inside it. `fn` must be a pure function of x and
// of parameters.
Var Checkpoint(Tape& tape, const std::function<Var(Tape&, const Var&)>& fn,
               const Var& x);

}  // namespace lt2::model

#endif  // LT2_MODEL_AUTOGRAD_TAPE_H_
